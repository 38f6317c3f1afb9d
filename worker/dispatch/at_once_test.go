package dispatch_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/worker/dispatch"
)

// express runs an Express beside no relay.
func (b *site) express(t *testing.T, o dispatch.RelayOptions) *dispatch.Express {
	t.Helper()
	e := dispatch.NewExpress(dispatch.NewRelay(b.store.Ledger, b.Redis, o), b.store.Ledger)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var run sync.WaitGroup
	run.Go(func() { e.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		run.Wait()
	})
	return e
}

func (b *site) ids(t *testing.T) []string {
	t.Helper()
	return strings.Fields(b.Text(t, "SELECT string_agg(job_id, ' ' ORDER BY id) FROM invoice_jobs"))
}

// What was just accepted is sent once, and nothing else is: what is another installation's, paused, or sent already stays as it is.
func TestAnExpressSendsWhatItIsTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	theirs := b.Queue + "_theirs"
	b.accept(t, 1, 400)
	b.Exec(t, "UPDATE invoice_jobs SET queue = $1 WHERE transaction_id = 'T1'", theirs)
	b.Exec(t, "UPDATE invoice_jobs SET paused_series = 'INV' WHERE transaction_id = 'T2'")
	b.Exec(t, "UPDATE invoice_jobs SET state = 'enqueued', dispatch = 1 WHERE transaction_id = 'T3'")
	e := b.express(t, dispatch.RelayOptions{Owners: &ownedElsewhere{queue: theirs}, Installation: b.databaseID})
	ids := b.ids(t)
	e.Send(ids[:399]...) // nobody tells of the last one
	e.Send(ids[4], "no such job")
	rig.Eventually(t, "396 tasks", func() bool { return b.Redis.LLen(t.Context(), b.Key("pending")).Val() == 396 })
	const accepted = "SELECT coalesce(string_agg(transaction_id, ' ' ORDER BY id), '') FROM invoice_jobs WHERE state = 'accepted'"
	rig.Within(t, 10*time.Second, func() error {
		if got := b.Text(t, accepted); got != "T1 T2 T400" {
			return errors.New("others' jobs put back; accepted are " + got)
		}
		return nil
	})
	if got := b.Text(t, "SELECT string_agg(transaction_id || ' ' || state || ' ' || dispatch, ', ' ORDER BY id) FROM invoice_jobs WHERE transaction_id IN ('T1', 'T2', 'T3', 'T4', 'T400')"); got != "T1 accepted 1, T2 accepted 0, T3 enqueued 1, T4 enqueued 1, T400 accepted 0" {
		t.Errorf("the ledger has %s", got)
	}
}

// Without Redis jobs stay accepted, so that a relay sends them once Redis is back.
func TestAnExpressWithoutRedisLeavesJobsToTheRelays(t *testing.T) {
	t.Parallel()
	b, server := private(t)
	e := b.express(t, dispatch.RelayOptions{})
	b.accept(t, 1, 1)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	e.Send(b.ids(t)...)
	rig.Eventually(t, "the job put back", func() bool {
		return b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'accepted' AND dispatch = 1") == 1
	})
	b.accept(t, 2, 3)
	e.Send(b.ids(t)...) // for a while it doesn't try
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'accepted'"); n != 3 {
		t.Errorf("%d of 3 jobs are accepted", n)
	}
}
