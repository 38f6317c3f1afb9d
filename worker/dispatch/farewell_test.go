package dispatch_test

import (
	"context"
	"testing"
	"time"

	"invoicer/invoice/ledger"
	"invoicer/worker/dispatch"
)

// slowWatch answers a request for rights when it is told to, and tells of the end of its context and of rights given up.
type slowWatch struct {
	dispatch.Database
	asked   chan context.Context
	proceed chan struct{}
	gaveUp  chan struct{}
}

func (s *slowWatch) Watch(ctx context.Context, _ string, _ time.Duration, _ []ledger.Watch) ([]ledger.Watch, error) {
	s.asked <- ctx
	<-s.proceed
	return nil, nil
}

func (s *slowWatch) Unwatch(context.Context, string) error {
	close(s.gaveUp)
	return nil
}

// A statement that takes rights isn't broken off when the process ends, as it could be carried out after they are given up.
func TestRightsAreGivenUpAfterTheLastRequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	database := &slowWatch{Database: b.store.Ledger, asked: make(chan context.Context, 1), proceed: make(chan struct{}), gaveUp: make(chan struct{})}
	r, _ := b.newReconciler(t, "r", func(p *reconcilerParts) { p.database = database })
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	request := <-database.asked
	end()
	if err := request.Err(); err != nil {
		t.Errorf("the request is broken off: %v", err)
	}
	select {
	case <-database.gaveUp:
		t.Error("the rights are given up while they are asked for")
	default:
	}
	<-request.Done() // a server that doesn't answer isn't waited for without end
	close(database.proceed)
	<-database.gaveUp
	<-ended
}
