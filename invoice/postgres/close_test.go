package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"invoicer/internal/fault"
	"invoicer/internal/rig"
)

// abandoned has a transaction stand before its commit whose caller has gone, and returns what lets it go on.
func (b *site) abandoned(t *testing.T, jobID string) (goOn func()) {
	t.Helper()
	b.openSeries(t, "INV")
	ctx, leave := context.WithCancel(t.Context())
	before := rig.NewGate(fault.Written)
	b.store.Invoices.Plant(before.Hook)
	returned := make(chan error)
	go func() {
		_, err := b.generator.Generate(ctx, request(b.id(jobID), job(t, jobID)))
		returned <- err
	}()
	<-before.Reached
	leave()
	if err := <-returned; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller that has gone got %v", err)
	}
	return before.Open
}

func TestCloseWaitsForATransactionUnderWay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	goOn := b.abandoned(t, "T1")
	closed := make(chan error, 1)
	go func() { closed <- b.store.Close() }()
	select {
	case err := <-closed:
		goOn()
		t.Fatalf("it closed at once: %v", err)
	case <-time.After(100 * time.Millisecond): // that it waits, nothing tells
	}
	goOn()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	var n int
	if err := b.DB.QueryRowContext(t.Context(), "SELECT count(*) FROM invoices").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d invoices, %v", n, err)
	}
}

func TestCloseWaitsForNoTransactionForLong(t *testing.T) {
	t.Parallel()
	b := setup(t)
	goOn := b.abandoned(t, "T1")
	if err := b.store.Close(); err == nil {
		t.Error("what is left behind is told by nobody")
	}
	goOn()
}
