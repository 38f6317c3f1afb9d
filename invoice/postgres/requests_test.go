package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
	"invoicer/invoice/ledger"
)

// What the database refuses of a job comes as one problem for each field, in its words.
func TestARefusalNamesEachField(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.KnowQueue(t, "default")
	several := 0
	var payloads []string
	for _, bad := range invoicetest.Bad() {
		payloads = append(payloads, string(bad.Payload))
	}
	for _, bad := range invoicetest.BadTerms() {
		payloads = append(payloads, string(bad.Payload))
	}
	for d := newDraw(t); len(payloads) < 500; {
		payloads = append(payloads, d.job())
	}
	for _, payload := range payloads {
		if !utf8.ValidString(payload) || strings.IndexByte(payload, 0) >= 0 {
			continue
		}
		var want []string
		if list := b.Text(t, "SELECT coalesce(array_to_string(problems, E'\\n'), '') FROM accept_check($1)", payload); list != "" {
			want = strings.Split(list, "\n")
		}
		if len(want) == 0 || len(want) > 20 {
			continue
		}
		_, err := b.store.Ledger.AcceptRequest(t.Context(), ledger.Request{JobID: uuid.NewString(), Queue: "default", TransactionID: "T", Payload: []byte(payload)})
		var invalid *invoice.InvalidError
		if !errors.As(err, &invalid) {
			t.Errorf("%.200s: %v", payload, err)
			continue
		}
		var got []string
		for _, p := range invalid.Problems {
			got = append(got, p.Field+" "+p.Message)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%.200s: %q, want %q", payload, got, want)
		}
		if len(got) > 1 {
			several++
		}
	}
	if several < 3 {
		t.Errorf("only %d have several problems", several)
	}
}

// Of each job of a batch it is said what was there of its transaction.
func TestABatchSaysWhatWasThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.KnowQueue(t, "default")
	b.OpenIssuers(t, "ACME")
	request := func(transaction, issuer string) ledger.Request {
		payload := fmt.Sprintf(`{"transaction_id":"%s","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":6,"unit_price":"2.55"}]`, transaction)
		if issuer != "" {
			payload += `,"issuer":"` + issuer + `"`
		}
		return ledger.Request{JobID: uuid.NewString(), Queue: "default", Issuer: issuer, TransactionID: transaction, Payload: []byte(payload + "}")}
	}
	accept := func(requests ...ledger.Request) []ledger.Acceptance {
		t.Helper()
		accepted, err := b.store.Ledger.AcceptRequests(t.Context(), "default", requests)
		if err != nil {
			t.Fatal(err)
		}
		return accepted
	}
	first := accept(request("T1", ""), request("T2", ""))
	b.Exec(t, "UPDATE invoice_jobs SET state = 'failed', outcome = 'failed', reason = 'r' WHERE job_id = $1", first[1].JobID)
	got := accept(request("T1", ""), request("T2", ""), request("T1", "ACME"), request("T3", ""), request("T3", ""), request("T1", ""), request("T3", ""))
	want := []ledger.Acceptance{
		{Standing: ledger.Known, KnownJobID: first[0].JobID},
		{Standing: ledger.Inserted},
		{Standing: ledger.Inserted},
		{Standing: ledger.Inserted},
		{Standing: ledger.Known, KnownJobID: got[3].JobID},
		{Standing: ledger.Known, KnownJobID: first[0].JobID},
		{Standing: ledger.Known, KnownJobID: got[3].JobID},
	}
	for i := range got {
		if want[i].JobID, want[i].Queue = got[i].JobID, "default"; got[i] != want[i] {
			t.Errorf("job %d: %+v, want %+v", i, got[i], want[i])
		}
	}
}
