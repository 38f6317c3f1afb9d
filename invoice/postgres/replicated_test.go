package postgres_test

import (
	"errors"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// replicated is a site on a primary whose commits wait for a standby.
func replicated(t *testing.T, change ...func(*postgres.Options)) (*site, *sandboxtest.Replication) {
	t.Helper()
	r := sandboxtest.Replicated(t)
	return newSite(t, rig.DatabaseOn(t, r.Primary.URL), r.Primary.URL, change...), r
}

// awaitUnreplicated returns once one of the store's sessions waits for a standby.
func (b *site) awaitUnreplicated(t *testing.T) {
	t.Helper()
	for !b.isUnreplicated(t) {
	}
}

func (b *site) isUnreplicated(t *testing.T) bool {
	t.Helper()
	return b.Count(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'SyncRep'", b.Schema) > 0
}

// A commit whose wait for a standby is broken off is on the primary alone: nothing is acknowledged before a standby has it.
func TestBrokenOffWaitForTheStandby(t *testing.T) {
	t.Parallel()
	for name, breakOff := range map[string]string{
		"cancelled":  "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'SyncRep'",
		"terminated": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'SyncRep'",
		"timed out":  "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, r := replicated(t)
			b.create(t, b.id("before"), job(t, "T1"))
			r.Cut(t)
			b.store = b.open(t, func(o *postgres.Options) {
				o.CommitCheckTimeout = time.Second
				if breakOff == "" {
					o.StatementTimeout, o.LockTimeout = 500*time.Millisecond, 500*time.Millisecond
				}
			})
			b.generator = generator(t, b.store)
			answered := make(chan error, 1)
			ask := func() {
				_, err := b.generator.Generate(t.Context(), request(b.id("job"), job(t, "T2")))
				answered <- err
			}
			go ask()
			for !b.isUnreplicated(t) {
				select {
				case err := <-answered: // on a busy machine, a short limit is over before the commit
					if !errors.Is(err, invoice.ErrUnavailable) {
						t.Fatal(err)
					}
					go ask()
				default:
				}
			}
			if breakOff != "" {
				b.Exec(t, breakOff, b.Schema)
			}
			if err := <-answered; !errors.Is(err, invoice.ErrUnavailable) {
				t.Errorf("error %v, while no standby has the invoice; want ErrUnavailable", err)
			}
			r.Join(t)
			for {
				result, err := b.generator.Generate(t.Context(), request(b.id("job"), job(t, "T2")))
				if errors.Is(err, invoice.ErrUnavailable) {
					continue // the session that waits still has the counter
				}
				if err != nil || result.Outcome != invoice.Created || result.Invoice.Number != "INV-000002" {
					t.Errorf("%+v, error %v", result, err)
				}
				break
			}
			b.generator = generator(t, b.open(t))
			b.create(t, b.id("after"), job(t, "T3"))
			promoted := &site{Database: rig.OpenDatabase(t, r.Promote(t), b.Schema)}
			if n := promoted.Count(t, "SELECT count(*) FROM invoices"); n != 3 {
				t.Errorf("%d invoices after the promotion, want 3", n)
			}
			promoted.gapless(t)
		})
	}
}

// A standby that comes back while the outcome of a commit is being found out has the invoice, and that is the answer.
func TestStandbyComesBackInTime(t *testing.T) {
	t.Parallel()
	b, r := replicated(t, func(o *postgres.Options) { o.CommitCheckTimeout = time.Minute })
	b.create(t, b.id("before"), job(t, "T1"))
	r.Cut(t)
	type answer struct {
		invoice.Result

		err error
	}
	answered := make(chan answer, 1)
	go func() {
		result, err := b.generator.Generate(t.Context(), request(b.id("job"), job(t, "T2")))
		answered <- answer{result, err}
	}()
	b.awaitUnreplicated(t)
	b.Exec(t, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'SyncRep'", b.Schema)
	for b.Count(t, "SELECT count(*) FROM invoices WHERE transaction_id = 'T2'") == 0 {
	}
	for waits := false; !waits; waits = b.isUnreplicated(t) { // once it has found the invoice
		select {
		case a := <-answered:
			t.Fatalf("it didn't wait: %+v", a)
		default:
		}
	}
	r.Join(t)
	if a := <-answered; a.err != nil || a.Outcome != invoice.Created || !a.Recorded {
		t.Errorf("%+v", a)
	}
	promoted := &site{Database: rig.OpenDatabase(t, r.Promote(t), b.Schema)}
	if n := promoted.Count(t, "SELECT count(*) FROM invoices"); n != 2 {
		t.Errorf("%d invoices after the promotion, want 2", n)
	}
}
