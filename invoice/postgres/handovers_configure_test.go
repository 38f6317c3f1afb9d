package postgres_test

import (
	"strconv"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/invoice/handover"
)

// holding has whoever writes the transaction "held" wait, in a trigger of that name, as long as somebody has the schema's advisory lock.
func (b *site) holding(t *testing.T, trigger string) {
	t.Helper()
	b.Exec(t, `CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF EXISTS (SELECT FROM added WHERE transaction_id = 'held') THEN
				PERFORM set_config('lock_timeout', '0', true), set_config('statement_timeout', '0', true);
				PERFORM pg_advisory_xact_lock(hashtext(TG_TABLE_SCHEMA));
			END IF;
			RETURN NULL;
		END $$`)
	b.Exec(t, "CREATE TRIGGER "+trigger+" AFTER INSERT ON invoices REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION hold()")
}

// Channels change beside a vacuum of the invoices, or an index that is built on them, which can take hours.
func TestChannelsChangeBesideAVacuum(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.invoiced(t, "before")
	vacuum := b.begin(t)
	in(t, vacuum, "LOCK TABLE invoices IN SHARE UPDATE EXCLUSIVE MODE") // as VACUUM, ANALYZE and CREATE INDEX CONCURRENTLY have it
	if err := b.store.Handovers.Configure(t.Context(), []handover.Rule{{Name: authority, Kind: "https"}}); err != nil {
		t.Fatal(err)
	}
	b.invoiced(t, "after")
	if got := b.Text(t, "SELECT string_agg(transaction_id, ',') FROM handovers JOIN invoices i ON i.id = invoice_id"); got != "after" {
		t.Error(got)
	}
}

// Whoever has an id already and comes to the channels after one has ended isn't owed through it, and that is noted for those who check what was owed.
func TestChannelsEndBesideWriters(t *testing.T) {
	t.Parallel()
	b := channelled(t)
	b.holding(t, "aa_held")
	gate := b.begin(t)
	in(t, gate, "SELECT pg_advisory_xact_lock(hashtext('"+b.Schema+"'))")
	held := make(chan error, 1)
	go func() {
		_, err := b.generator.Generate(t.Context(), request("held", job(t, "held")))
		held <- err
	}()
	rig.Eventually(t, "an invoice that is held", func() bool {
		return b.Is(t, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'advisory')", b.Schema)
	})
	b.credited(t, "other") // its id is the higher one
	if err := b.store.Handovers.Configure(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := gate.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-held; err != nil {
		t.Fatal(err)
	}
	b.invoiced(t, "after")
	if got := b.Text(t, "SELECT string_agg(transaction_id, ',') FROM handovers JOIN invoices i ON i.id = invoice_id"); got != "C-other" {
		t.Error(got)
	}
	if got := b.Text(t, "SELECT string_agg(transaction_id, ',') FROM handover_channels c JOIN invoices i ON i.id = ANY (c.late) AND i.id <= c.last_invoice"); got != "held" {
		t.Errorf("late: %q", got)
	}
}

// Where somebody is writing an invoice, channels wait for its end, so that it is known what they are owed; others get on with their invoices meanwhile.
func TestChannelsWaitForWriters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.holding(t, "zz_held")
	gate := b.begin(t)
	in(t, gate, "SELECT pg_advisory_xact_lock(hashtext('"+b.Schema+"'))")
	held := make(chan error, 1)
	go func() {
		_, err := b.generator.Generate(t.Context(), request("held", job(t, "held")))
		held <- err
	}()
	b.AwaitBlocked(t)
	configured := make(chan error, 1)
	go func() {
		configured <- b.store.Handovers.Configure(t.Context(), []handover.Rule{{Name: authority, Kind: "https"}})
	}()
	// For more than one of its attempts. Some of these come while it waits, others in between.
	const attempts, most = 1500 * time.Millisecond, 4 * time.Second
	for n, begun := 0, time.Now(); time.Since(begun) < attempts; n++ {
		begun := time.Now()
		b.credited(t, strconv.Itoa(n))
		if took := time.Since(begun); took > most {
			t.Errorf("another one took %v", took)
		}
	}
	if len(configured) > 0 {
		t.Fatalf("it didn't wait: %v", <-configured)
	}
	if err := gate.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-held; err != nil {
		t.Error(err)
	}
	if err := <-configured; err != nil {
		t.Error(err)
	}
	b.credited(t, "after")
	if got := b.Text(t, "SELECT string_agg(transaction_id, ',') FROM handovers JOIN invoices i ON i.id = invoice_id"); got != "C-after" {
		t.Error(got)
	}
	if n := b.Count(t, "SELECT count(*) FROM handover_channels WHERE after_invoice < (SELECT max(id) FROM invoices WHERE transaction_id <> 'C-after')"); n != 0 {
		t.Error("it is owed what was written before")
	}
}
