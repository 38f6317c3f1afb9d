package events_test

import (
	"net/http"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/invoice/ledger"
	"invoicer/invoice/outbox"
)

// What has waited for an endpoint while it was disabled isn't given up at its first failure: its time begins when the endpoint is enabled.
func TestWhatWaitsForADisabledEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, func(int, *http.Request) int { return http.StatusBadGateway })
	b.add(t, "erp", r.URL)
	for _, change := range []string{outbox.DisableEndpoint, outbox.EnableEndpoint} {
		if change == outbox.EnableEndpoint {
			b.tell(t, outbox.InvoiceCreated, "T1", 1)
			b.Exec(t, "UPDATE event_deliveries SET since = now() - interval '4 days'")
		}
		if err := b.store.Outbox.Change(t.Context(), "erp", change, "", ledger.Actor{Name: "ada"}); err != nil {
			t.Fatal(err)
		}
	}
	b.deliver(t)
	rig.Eventually(t, "its first failure to be recorded", func() bool {
		return b.Count(t, "SELECT count(*) FROM event_deliveries WHERE transaction_id = 'T1' AND status = 502") == 1
	})
	if b.Is(t, "SELECT EXISTS (SELECT FROM event_deliveries WHERE state = 'dead')") {
		t.Error("it was given up")
	}
}

// What an endpoint says of itself can be recorded whatever it is: a certificate may have a name that no text column holds.
func TestErrorsThatATextCantHold(t *testing.T) {
	t.Parallel()
	b, r := setup(t), receive(t, taken)
	b.add(t, "erp", r.URL)
	b.tell(t, outbox.InvoiceCreated, "T1", 1)
	id := int64(b.Count(t, "SELECT id FROM event_endpoints"))
	claimed, err := b.store.Outbox.Claim(t.Context(), id, 10, time.Minute)
	if err != nil || len(claimed) != 1 {
		t.Fatal(claimed, err)
	}
	failed := outbox.Attempt{Row: claimed[0].Row, State: outbox.Pending, Again: time.Hour, Error: "x509: certificate is valid for a\x00b\xff, not erp"}
	if _, _, err := b.store.Outbox.Settle(t.Context(), id, []outbox.Attempt{failed}); err != nil {
		t.Fatal(err)
	}
	b.awaitState(t, "erp", "pending 1: x509: certificate is valid for a\uFFFDb\uFFFD, not erp")
}
