package invoice_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"

	"invoicer/internal/sample"
)

var updateFingerprints = flag.Bool("update-fingerprints", false, "write testdata/fingerprints.golden anew")

// The fingerprints of version 1 never change: jobs that are stored would become conflicts with themselves.
func TestFingerprintsOfVersion1(t *testing.T) {
	t.Parallel()
	jobs := sample.New(sample.Options{Seed: 1, Elaborate: true, MaxLines: 20, Currencies: []string{"GBP", "EUR", "JPY", "BHD"}})
	var got bytes.Buffer
	for range 300 {
		j := jobs.Next()
		fmt.Fprintln(&got, j.TransactionID, j.Fingerprint())
	}
	const file = "testdata/fingerprints.golden"
	if *updateFingerprints {
		if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got.Bytes()) {
		t.Error("the fingerprints have changed")
	}
}
