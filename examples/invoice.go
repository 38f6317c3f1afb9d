// Command examples asks for the invoice of a transaction, and hears of invoices.
//
//	INVOICER_URL=http://127.0.0.1:8080 INVOICER_TOKEN=… go run ./examples [TRANSACTION_ID]
//
// asks for an invoice and prints its number. It asks again through broken connections and restarts, with the same Idempotency-Key.
// Running it again is safe, too: there is one invoice.
//
//	INVOICER_SECRET=whsec_… go run ./examples listen [PORT]
//
// receives the events of an endpoint on this machine (docs/events.md), verifies their signatures, and prints them.
package main

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"invoicer/invoice"
	"invoicer/worker/client"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 0 && args[0] == "listen" {
		return listen(os.Getenv("INVOICER_SECRET"), cmp.Or(strings.Join(args[1:], ""), "0"))
	}
	h, err := client.OverHTTP(cmp.Or(os.Getenv("INVOICER_URL"), "http://127.0.0.1:8080"), os.Getenv("INVOICER_TOKEN"), client.HTTPOptions{})
	if err != nil {
		return err
	}
	defer h.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	end, err := h.Invoice(ctx, &invoice.Job{
		TransactionID: cmp.Or(strings.Join(args, ""), "536365"),
		IssuedAt:      time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC), // the transaction's time, not the time of asking
		Currency:      "GBP",
		Lines:         []invoice.Line{{SKU: "85123A", Quantity: invoice.MustDecimal("6"), UnitPrice: invoice.MustDecimal("2.55")}},
	})
	switch {
	case err != nil:
		return err
	case !end.Invoiced():
		return fmt.Errorf("%s: %s", end.Outcome, end.Reason)
	}
	fmt.Println(end.InvoiceNumber)
	return nil
}

// listen takes events. A repeat has the same webhook-id: keep the ids that you have dealt with, for four days.
func listen(secret, port string) error {
	var mu sync.Mutex
	seen := make(map[string]bool)
	take := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil || !genuine(secret, r.Header, body, time.Now()) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var event struct {
			Type string
			Data struct {
				InvoiceNumber string `json:"invoice_number"`
			}
		}
		if err := json.Unmarshal(body, &event); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if id := r.Header.Get("webhook-id"); !seen[id] {
			fmt.Println(event.Type, event.Data.InvoiceNumber)
			seen[id] = true
		}
		w.WriteHeader(http.StatusNoContent)
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return err
	}
	fmt.Println("listening on http://" + listener.Addr().String())
	server := &http.Server{Handler: http.HandlerFunc(take), ReadTimeout: 10 * time.Second}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// genuine reports whether an event comes from whoever has the secret, as Standard Webhooks has it, and isn't an old one.
func genuine(secret string, header http.Header, body []byte, now time.Time) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) == 0 {
		return false
	}
	timestamp := header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", header.Get("webhook-id"), timestamp, body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for signature := range strings.SplitSeq(header.Get("webhook-signature"), " ") { // one for each secret; one that is right is enough
		if hmac.Equal([]byte(signature), []byte(want)) {
			return true
		}
	}
	return false
}
