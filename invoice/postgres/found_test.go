package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// A commit that is only found may be on the primary alone: its finder waits for the standbys, as its writer did.
func TestWhatIsFoundIsReplicatedBeforeItIsToldOf(t *testing.T) {
	t.Parallel()
	r := sandboxtest.Replicated(t)
	b := newSite(t, rig.DatabaseOn(t, r.Primary.URL), r.Primary.URL)

	asked := job(t, "T1")
	payload := encoded(t, asked)
	found := b.accepted(t, string(payload), "enqueued")
	ask := request(found, asked)
	ask.Payload = payload
	made, err := b.generator.Generate(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	direct := b.create(t, "direct", job(t, "T2"))
	dismissed := b.accepted(t, string(payload), "dismissed")
	replayed := b.accepted(t, string(payload), "failed")
	b.Exec(t, "UPDATE invoice_jobs SET state = 'accepted', outcome = NULL, reason = NULL WHERE job_id = $1", replayed)
	of := func(jobID string, o invoice.Outcome, i *invoice.Ref) ledger.End {
		e := end(jobID, o, i)
		e.Payload = payload
		return e
	}
	ofDirect := of("direct", invoice.Created, direct)
	ofDirect.TransactionID = "T2"
	again := of("again", invoice.Duplicate, made.Invoice)
	if err := b.store.Ledger.Record(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	record := func(e ledger.End) func(context.Context) error {
		return func(ctx context.Context) error { return b.store.Ledger.Record(ctx, e) }
	}
	known := uuid.New()
	accept := func(ctx context.Context) error { return b.store.Ledger.Accept(ctx, known.String(), "default", payload) }

	r.Cut(t)
	for _, c := range []struct {
		name string
		do   func(context.Context) error
		want error // once the standbys are back
	}{
		{"an accepted job, at first", accept, nil},
		{"an accepted job", accept, nil},
		{"an accepted job, in a caller's transaction", func(ctx context.Context) error {
			tx, err := b.DB.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer tx.Rollback() //nolint:errcheck // it is committed, or the test has failed
			if _, err := tx.ExecContext(ctx, "SELECT accept($1, 'default', $2)", string(payload), known); err != nil {
				return err
			}
			return tx.Commit()
		}, nil},
		{"created, in the ledger", record(of(found, invoice.Created, made.Invoice)), nil},
		{"created, not in the ledger", record(ofDirect), nil},
		{"a duplicate", record(again), nil},
		{"dismissed, by a good end", record(of(dismissed, invoice.Duplicate, made.Invoice)), &ledger.DismissedError{}},
		{"dismissed, by a bad end", record(of(dismissed, invoice.Failed, nil)), &ledger.DismissedError{}},
		{"replayed since", record(of(replayed, invoice.Failed, nil)), nil},
		{"ended well", record(of(found, invoice.Failed, nil)), invoice.ErrEnded},
	} {
		err := b.whileItWaits(t, c.name, c.do)
		// A session of the caller's own, which doesn't look at what the server warns of, takes it for a success.
		if c.name != "an accepted job, in a caller's transaction" && !errors.Is(err, invoice.ErrUnavailable) {
			t.Errorf("%s: error %v, want ErrUnavailable", c.name, err)
		}
	}
	r.Join(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := accept(ctx); err != nil {
		t.Errorf("once the standbys are back: %v", err)
	}
	var gone *ledger.DismissedError
	if err := b.store.Ledger.Record(ctx, of(dismissed, invoice.Failed, nil)); !errors.As(err, &gone) {
		t.Errorf("once the standbys are back: %v", err)
	}
	promoted := rig.OpenDatabase(t, r.Promote(t), b.Schema)
	if n := promoted.Count(t, "SELECT count(*) FROM invoice_jobs WHERE job_id = $1", known.String()); n != 1 {
		t.Errorf("the promoted standby has %d of it", n)
	}
}

// whileItWaits runs something whose commit waits for a standby, and cancels that. It fails the test if it ends by itself.
func (b *site) whileItWaits(t *testing.T, name string, do func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- do(ctx) }()
	for waiting := 0; waiting == 0; {
		select {
		case err := <-ended:
			t.Fatalf("%s: it was told at once, with error %v", name, err)
		default:
		}
		waiting = b.Count(t, `SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event = 'SyncRep' AND pid <> pg_backend_pid()`)
	}
	return <-ended
}
