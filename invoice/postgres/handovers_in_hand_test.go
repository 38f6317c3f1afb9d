package postgres_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"invoicer/invoice/handover"
)

// While a process is handing an invoice over it is neither sent again nor cancelled, and who wants that is told until when. That it was rejected isn't
// noted either, since it could be sent again then, by another key; other answers are.
func TestAHandoverInHand(t *testing.T) {
	t.Parallel()
	b := channelled(t)
	b.invoiced(t, "T1")
	decide := func(o handover.Order) error {
		o.By = "ada"
		return b.store.Handovers.Decide(t.Context(), 1, o)
	}
	shown := func() bool {
		t.Helper()
		list, err := b.store.Handovers.List(t.Context(), handover.Filter{ID: 1})
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		return list[0].InHand
	}
	calledBack := map[string]handover.Order{"resend": {To: handover.Queued}, "resend --to": {To: handover.Queued, Address: "ap@buyer.example"}, "cancel": {To: handover.Cancelled}, "rejected": {To: handover.Rejected}}
	first, _ := b.claim(t)
	b.came(t, first, handover.Result{State: handover.Queued, Err: "away", Again: time.Nanosecond})
	if shown() {
		t.Error("it is in hand after its end")
	}
	slow, _ := b.claim(t)
	for name, o := range calledBack {
		err := decide(o)
		if inHand, ok := errors.AsType[*handover.InHandError](err); !ok || time.Until(inHand.Until) <= 0 || time.Until(inHand.Until) > 2*time.Minute {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !shown() {
		t.Error("it isn't shown to be in hand")
	}
	b.Exec(t, "UPDATE handovers SET due_at = clock_timestamp()") // whoever had it is gone
	if shown() {
		t.Error("it is in hand for ever")
	}
	if err := decide(calledBack["resend"]); err != nil {
		t.Errorf("nobody has it in hand: %v", err)
	}
	if err := b.store.Handovers.Settle(t.Context(), &slow, handover.Result{State: handover.Sent, Answered: true}); !errors.Is(err, handover.ErrGone) {
		t.Errorf("who was too slow is heard: %v", err)
	}
	asked, _ := b.claim(t)
	b.came(t, asked, handover.Result{State: handover.Sent, Again: time.Nanosecond})
	if c, found := b.claim(t); !found || c.State != handover.Sent || !shown() {
		t.Errorf("%v %+v", found, c)
	}
	if err := decide(calledBack["resend"]); err != nil { // asking does no harm
		t.Errorf("one that is asked about: %v", err)
	}
	answered, _ := b.claim(t)
	if err := decide(handover.Order{To: handover.Accepted}); err != nil || shown() {
		t.Errorf("an answer meanwhile: %v", err)
	}
	if err := b.store.Handovers.Settle(t.Context(), &answered, handover.Result{State: handover.Sent, Answered: true}); !errors.Is(err, handover.ErrGone) {
		t.Errorf("an answer is overwritten: %v", err)
	}
}

// What came of an attempt is recorded once, also where the answer to that was lost and it is recorded again.
func TestSettledOnce(t *testing.T) {
	t.Parallel()
	b := channelled(t)
	b.invoiced(t, "T1")
	c, _ := b.claim(t)
	doubt := handover.Result{State: handover.Queued, Err: "no answer", Uncertain: true, Again: time.Hour}
	b.came(t, c, doubt)
	if err := b.store.Handovers.Settle(t.Context(), &c, doubt); !errors.Is(err, handover.ErrGone) {
		t.Error(err)
	}
	if n := b.Count(t, "SELECT doubts FROM handovers"); n != 1 {
		t.Errorf("%d doubts", n)
	}
}

// Whoever is first has it: what is cancelled isn't handed over, and what is being handed over isn't cancelled.
func TestCancellingBesideAClaim(t *testing.T) {
	t.Parallel()
	b := channelled(t)
	const n = 40
	for i := range n {
		b.invoiced(t, fmt.Sprintf("T%d", i))
	}
	var mu sync.Mutex
	had := make(map[int64]string)
	note := func(id int64, what string) {
		mu.Lock()
		defer mu.Unlock()
		had[id] += what
	}
	var together sync.WaitGroup
	together.Go(func() {
		for {
			c, found, err := b.store.Handovers.Claim(t.Context(), authority, time.Minute)
			if err != nil {
				t.Error(err)
			}
			if !found {
				return
			}
			note(c.ID, "claimed")
		}
	})
	together.Go(func() {
		for id := int64(n); id > 0; id-- { // from the other end
			err := b.store.Handovers.Decide(t.Context(), id, handover.Order{To: handover.Cancelled, By: "ada"})
			if _, inHand := errors.AsType[*handover.InHandError](err); err != nil && !inHand {
				t.Error(err)
			} else if err == nil {
				note(id, "cancelled")
			}
		}
	})
	together.Wait()
	for id := int64(1); id <= n; id++ {
		if had[id] != "claimed" && had[id] != "cancelled" {
			t.Errorf("hand-over %d: %q", id, had[id])
		}
	}
}
