package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
)

// The time is the database's word, and not this machine's: where the database can't be asked, there is none.
func TestNow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	clock := func() (now time.Time) {
		t.Helper()
		if err := b.DB.QueryRow("SELECT clock_timestamp()").Scan(&now); err != nil {
			t.Fatal(err)
		}
		return now
	}
	before := clock()
	now, err := b.store.Now(t.Context())
	if after := clock(); err != nil || now.Before(before) || now.After(after) {
		t.Errorf("it is %s, %v; want a time from %s to %s", now, err, before, after)
	}
	closed, err := postgres.Open(postgres.Options{URL: b.way, Schema: b.Schema})
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	if now, err := closed.Now(t.Context()); err == nil {
		t.Errorf("without its database, it is %s", now)
	}
}

// A database whose clock was set back, as by a failover to a standby with another one, gives the right to look after a
// queue to who asks for it, and not to who had it until an hour from now.
func TestRightsEndWhenTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	watch := func(holder string) int {
		t.Helper()
		held, err := b.store.Ledger.Watch(t.Context(), holder, 3*time.Second, []ledger.Watch{{Queue: "q"}})
		if err != nil {
			t.Fatal(err)
		}
		return len(held)
	}
	if watch("one") != 1 || watch("two") != 0 {
		t.Fatal("the first one has no right, or the second one has it")
	}
	b.Exec(t, "UPDATE ledger_queues SET expires_at = now() + interval '1 hour'")
	if watch("two") != 1 {
		t.Error("a right that lasts for an hour is nobody else's")
	}
}

// Jobs that were dispatched before the clock was set back are looked for, all of them, after the others.
func TestEnqueuedAheadOfTheClock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const jobs = 9
	for i := range jobs {
		payload, err := job(t, fmt.Sprint("T", i)).Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := b.store.Ledger.Accept(t.Context(), uuid.NewString(), "default", payload); err != nil {
			t.Fatal(err)
		}
	}
	if claimed, err := b.store.Ledger.Claim(t.Context(), jobs); err != nil || len(claimed) != jobs {
		t.Fatalf("%d claimed, error %v", len(claimed), err)
	}
	// Three are long in their queue, three were dispatched just now, and three an hour ahead.
	b.Exec(t, "UPDATE invoice_jobs SET updated_at = now() + make_interval(hours => (id % 3)::int - 1)")
	var after ledger.Dispatch
	var hours []float64
	for {
		found, err := b.store.Ledger.Enqueued(t.Context(), "default", after, 5*time.Second, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 {
			break
		}
		for _, d := range found {
			hours = append(hours, time.Until(d.At).Round(time.Hour).Hours())
		}
		after = found[len(found)-1]
	}
	if got, want := fmt.Sprint(hours), "[-1 -1 -1 1 1 1]"; got != want {
		t.Errorf("found jobs of %s hours from now, want %s", got, want)
	}
}
