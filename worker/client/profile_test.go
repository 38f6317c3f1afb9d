package client_test

import (
	"errors"
	"strings"
	"testing"

	"invoicer/invoice"
	"invoicer/worker/client"
)

// A client with a profile refuses what lacks something before it sends anything, and names all of it.
func TestClientsProfile(t *testing.T) {
	t.Parallel()
	c, err := client.New(nil, client.Options{Profile: "en16931"})
	if err != nil {
		t.Fatal(err)
	}
	var invalid *invoice.InvalidError
	if _, err := c.Accept(t.Context(), unreachable{t}, jobOf("T1")); !errors.As(err, &invalid) {
		t.Fatalf("error %v", err)
	}
	text := ""
	for _, p := range invalid.Problems {
		text += p.Field + " " + p.Message + "\n"
	}
	for _, part := range []string{"version is 1", "seller.name is missing (BT-27, BR-06; profile en16931)\n", "buyer.address.country_code is missing (BT-55, BR-10; profile en16931)\n"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q isn't in %s", part, text)
		}
	}
	var batch *client.BatchError
	if _, err := c.AcceptMany(t.Context(), unreachable{t}, []*invoice.Job{jobOf("T1"), jobOf("T2")}); !errors.As(err, &batch) || len(batch.Jobs) != 2 {
		t.Errorf("error %v, want both jobs", err)
	}
	// Of an issuer, the seller isn't known here.
	ofIssuer := jobOf("T1")
	ofIssuer.Issuer = "ACME-DE"
	if _, err := c.Accept(t.Context(), unreachable{t}, ofIssuer); !errors.As(err, &invalid) || strings.Contains(err.Error(), "seller.") || !strings.Contains(err.Error(), "buyer.") {
		t.Errorf("error %v", err)
	}
	if _, err := client.New(nil, client.Options{Profile: "zugferd"}); err == nil || !strings.Contains(err.Error(), `client: profile "zugferd" is no profile: it must be one of none, en16931`) {
		t.Errorf("error %v", err)
	}
}
