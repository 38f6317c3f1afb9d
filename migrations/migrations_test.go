package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"invoicer/internal/rig"
	"invoicer/migrations"
)

// anInvoice is what it takes to have one, without lines.
const anInvoice = `INSERT INTO invoice_series (series, period, kind) VALUES ('INV', '', 'invoice');
INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint,
	currency, subtotal_minor, tax_minor, total_minor, issued_at)
VALUES ('INV', '', 1, 'INV-000001', 'invoice', 'T-1', 'T-1', 'job', 'v1:' || repeat('0', 64), 'GBP', 0, 0, 0, now())`

func TestUpDownUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	missing := func(current int64) {
		t.Helper()
		var err *migrations.MissingError
		if !errors.As(b.Check(t.Context()), &err) {
			t.Fatalf("Check: %v, want a MissingError", b.Check(t.Context()))
		}
		if want := (migrations.MissingError{Schema: b.Schema, Current: current, Needed: newest}); *err != want {
			t.Errorf("Check: %+v, want %+v", *err, want)
		}
		if !strings.Contains(err.Error(), "`invoicer migrate up`") {
			t.Errorf("%q doesn't say what to do", err)
		}
	}

	missing(0)
	if undone := b.down(t); undone != 0 {
		t.Errorf("Down of an empty schema took back %d", undone)
	}
	if tables := b.tables(t); len(tables) > 0 {
		t.Errorf("Down of an empty schema made %v", tables)
	}

	for _, round := range []string{"first", "second"} {
		if applied := b.up(t); !slices.Equal(applied, known) {
			t.Fatalf("%s Up applied %v", round, applied)
		}
		want := []string{
			"actions", "api_requests", "capabilities", "database_identity", "document_formats", "document_leftovers", "documents", "documents_owed", "duplicate_attempts", "erasure_holds", "erasures", "event_deliveries", "event_endpoints", "event_recording", "event_secrets", "events", "handover_channels", "handover_log", "handovers", "imported_invoices", "invoice_job_actions", "invoice_jobs", "invoice_lines", "invoice_links", "invoice_series",
			"invoice_taxes", "invoices", "issuers", "job_attempts", "ledger_queues", "list_marks", "producer_bindings", "producer_counts", "producer_queues", "queue_nonces", "replays", "reserved_numbers", "seen_server", "series", "settings", "tokens",
		}
		if tables := b.tables(t); !slices.Equal(tables, want) {
			t.Errorf("%s Up made %v", round, tables)
		}
		if applied := b.up(t); len(applied) > 0 {
			t.Errorf("%s Up again applied %v", round, applied)
		}
		if err := b.Check(t.Context()); err != nil {
			t.Errorf("Check after %s Up: %v", round, err)
		}
		for i, version := range slices.Backward(known) {
			if undone := b.down(t); undone != version {
				t.Errorf("Down from version %d took back %d", version, undone)
			}
			missing(append([]int64{0}, known...)[i])
		}
		if undone := b.down(t); undone != 0 {
			t.Errorf("one more Down took back %d", undone)
		}
		if tables := b.tables(t); len(tables) > 0 {
			t.Errorf("left over after %s round: %v", round, tables)
		}
		var functions int
		err := b.DB.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace`).Scan(&functions)
		if err != nil || functions > 0 {
			t.Errorf("%d functions left over after %s round: %v", functions, round, err)
		}
	}
}

func TestStatusTellsWhatIsApplied(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shown := func() (list []string) {
		t.Helper()
		all, err := b.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range all {
			if one.AppliedAt == nil {
				list = append(list, one.Name+" pending")
			} else if age := time.Since(*one.AppliedAt).Abs(); age < 12*time.Hour { // goose's column has no zone
				list = append(list, one.Name)
			}
		}
		return list
	}
	pending := func(from int) []string {
		list := slices.Clone(names)
		for i := range list[from:] {
			list[from+i] += " pending"
		}
		return list
	}
	for _, step := range []struct {
		do   func()
		want []string
	}{
		{func() {}, pending(0)},
		{func() { b.up(t) }, names},
		{func() { b.down(t) }, pending(len(names) - 1)},
	} {
		step.do()
		if got := shown(); !slices.Equal(got, step.want) {
			t.Errorf("Status: %q, want %q", got, step.want)
		}
	}
}

func TestUpCreatesTheSchema(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, "DROP SCHEMA "+b.Schema)
	if err := b.Check(t.Context()); !errors.As(err, new(*migrations.MissingError)) {
		t.Errorf("Check without a schema: %v, want a MissingError", err)
	}
	if undone := b.down(t); undone != 0 {
		t.Errorf("Down without a schema took back %d", undone)
	}
	if applied := b.up(t); !slices.Equal(applied, known) {
		t.Errorf("Up applied %v", applied)
	}
}

func TestUpFromMany(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, "DROP SCHEMA "+b.Schema)
	applied := make([][]migrations.Migration, 8)
	group, ctx := errgroup.WithContext(t.Context())
	for i := range applied {
		group.Go(func() (err error) {
			applied[i], err = b.Up(ctx)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if all := versions(slices.Concat(applied...)); !slices.Equal(all, known) {
		t.Errorf("together they applied %v", all)
	}
	if err := b.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// A waiting process must not hold anything that the working one could wait for.
func TestWaitingHoldsNoSnapshot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.up(t)
	worker, err := b.DB.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer worker.Close()
	run := func(statement string, args ...any) {
		t.Helper()
		if _, err := worker.ExecContext(t.Context(), statement, args...); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	run("SELECT pg_advisory_lock($1)", b.LockID())

	waiter, err := migrations.New(rig.With(t, b.URL, "application_name", b.Schema), b.Schema)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := waiter.Up(t.Context())
		done <- err
	}()
	b.eventually(t, "somebody who waits", `SELECT EXISTS (SELECT FROM pg_stat_activity
		WHERE application_name = current_schema() AND query LIKE '%advisory_xact_lock%')`)
	run("SET statement_timeout = '20s'")
	run("CREATE TABLE indexed (n int)")
	run("CREATE INDEX CONCURRENTLY ON indexed (n)")
	run("SELECT pg_advisory_unlock($1)", b.LockID())
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNewerSchemaIsGoodEnough(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.up(t)
	b.Exec(t, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)")

	if applied := b.up(t); len(applied) > 0 {
		t.Errorf("Up applied %v", applied)
	}
	if err := b.Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
	list, err := b.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if last := list[len(list)-1]; len(list) != len(known)+1 || last.Version != 99 || last.Name != "" || last.AppliedAt == nil {
		t.Errorf("Status: %+v, want version 99 at its end, without a name", list)
	}
	undone, err := b.Down(t.Context())
	var newer *migrations.NewerError
	if !errors.As(err, &newer) || newer.Version != 99 {
		t.Errorf("Down: %v, %v; want a NewerError about version 99", undone, err)
	}

	b.Exec(t, "DELETE FROM goose_db_version WHERE version_id = 2")
	var missing *migrations.MissingError
	if err := b.Check(t.Context()); !errors.As(err, &missing) || missing.Current != 1 || missing.Needed != newest {
		t.Errorf("Check without version 2: %v, want a MissingError about it", err)
	}
}

func TestUpKeepsWhatWorked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, "CREATE TABLE invoice_jobs ()") // stands in the second one's way
	applied, err := b.Up(t.Context())
	if !slices.Equal(versions(applied), []int64{1}) {
		t.Errorf("Up applied %v", applied)
	}
	oneLineAbout(t, err, "migration 00002_ledger.sql: ", "already exists")
	b.Exec(t, "DROP TABLE invoice_jobs")
	if applied := b.up(t); !slices.Equal(applied, known[1:]) {
		t.Errorf("the second Up applied %v", applied)
	}
}

func TestDownIsRefusedWhereItWouldLoseSomething(t *testing.T) {
	t.Parallel()
	const aDuplicate = `; INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, worker)
SELECT 'other', 'T-1', 'T-1', id, 'lost_race', 'w' FROM invoices`
	const aJob = `INSERT INTO invoice_jobs (job_id, queue, state, outcome, reason) VALUES ('j', 'default', 'failed', 'invalid', 'r')`
	const waiting = `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state) VALUES ('j', 'T', 'T', 'default', '{}', '%s')`
	const anAction = `; INSERT INTO invoice_job_actions (job_id, action, actor, dispatch, outcome, reason) VALUES ('j', 'replay', 'ada', 1, 'invalid', 'r')`
	for name, test := range map[string]struct {
		stored  string
		version int64 // that it stays at
		says    string
	}{
		"an invoice":  {anInvoice, 1, "it would delete stored invoices"},
		"a duplicate": {anInvoice + aDuplicate, 2, "it would delete recorded jobs"},
		"a job":       {aJob, 2, "it would delete recorded jobs"},

		"an accepted job": {fmt.Sprintf(waiting, "accepted"), 3, "accepted jobs are waiting"},
		"an enqueued job": {fmt.Sprintf(waiting, "enqueued"), 3, "accepted jobs are waiting"},
		"a replayed job":  {aJob + anAction, 3, "it would delete the record of replays and dismissals"},

		"an invoice with a field that the release before doesn't know": {
			strings.NewReplacer("issued_at)", "issued_at, parties)", "now())", `now(), '{"payment":{"creditor_id":"DE98ZZZ09999999999"}}')`).Replace(anInvoice), 52, "invoices state payment.creditor_id",
		},
		"a job with a field that the release before doesn't know": {
			strings.Replace(fmt.Sprintf(waiting, "enqueued"), "'{}'", `'{"payment":{"creditor_id":"DE98ZZZ09999999999"}}'`, 1), 52, "jobs wait that state payment.creditor_id",
		},

		"an object that may be written": {
			"INSERT INTO document_leftovers (place, invoice_id, state, written_until, due_at) VALUES ('folder:/a', 1, 'announced', now(), now())", 50, "such that may be written there",
		},
		"a token of an issuer": {
			"INSERT INTO tokens (name, hash, roles, created_by, issuers) VALUES ('a', decode(repeat('ab', 32), 'hex'), '{read}', 'x', '{A}')", 26,
			"it would delete which issuers tokens are limited to",
		},
		"a token": {"INSERT INTO tokens (name, hash, roles, created_by) VALUES ('a', decode(repeat('ab', 32), 'hex'), '{read}', 'x')", 14, "it would delete tokens"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.up(t)
			b.Exec(t, test.stored)
			b.downTo(t, test.version)
			undone, err := b.Down(t.Context())
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || pg.Code != "23000" || !strings.Contains(pg.Message, test.says) {
				t.Fatalf("Down: %v, %v; want a refusal: %s", undone, err, test.says)
			}
			oneLineAbout(t, err, fmt.Sprintf("migration %05d_", test.version))
			list, err := b.Status(t.Context())
			if at := slices.IndexFunc(list, func(m migrations.Migration) bool { return m.Version == test.version }); err != nil || list[at].AppliedAt == nil {
				t.Errorf("version %d isn't there any more: %+v, %v", test.version, list, err)
			}
		})
	}
}

// What is committed between the look into a table and its end would be lost without anybody having seen it.
func TestDownWaitsForWhoIsWriting(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		version int64
		stored  string
	}{
		"an invoice":      {1, anInvoice},
		"an accepted job": {3, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state) VALUES ('j', 'T', 'T', 'default', '{}', 'accepted')`},
		"a job":           {2, `INSERT INTO invoice_jobs (job_id, queue, state, outcome, reason) VALUES ('j', 'default', 'failed', 'invalid', 'r')`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.up(t)
			b.downTo(t, test.version)
			writer, err := b.DB.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer writer.Rollback() //nolint:errcheck // it is committed below
			if _, err := writer.ExecContext(t.Context(), test.stored); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				_, err := b.Down(t.Context())
				done <- err
			}()
			b.eventually(t, "a Down that waits for the writer", `SELECT EXISTS (SELECT FROM pg_locks
				WHERE NOT granted AND relation IN (SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace))`)
			if err := writer.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err == nil {
				t.Error("Down went through, and what was written is gone")
			}
		})
	}
}

func TestUpSaysThatARoleMayNot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	role := b.Schema + "_role"
	b.Exec(t, "CREATE ROLE "+role)
	t.Cleanup(func() {
		if _, err := b.DB.ExecContext(context.WithoutCancel(t.Context()), "DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	m, err := migrations.New(rig.With(t, b.URL, "role", role), b.Schema+"_other")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "grant CREATE on the database") {
		t.Errorf("Up: %v; want what to grant", err)
	}
}
