package postgres_test

import (
	"errors"
	"net/url"
	"testing"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/servers"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// A job that waits at a primary when a newer one is found is broken off at once, and its error says that the next attempt meets another server.
func TestPromotionBreaksOff(t *testing.T) {
	t.Parallel()
	server, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{TCP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	way, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	way.Host += ",localhost:" + way.Port() // of a URL with one host, there is nowhere else to go
	d := rig.DatabaseOn(t, server.URL)
	store, err := postgres.Open(postgres.Options{URL: rig.With(t, way.String(), "application_name", d.Schema), Schema: d.Schema})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() }) // it says that connections were closed before
	b := &site{Database: d, way: way.String(), store: store, generator: generator(t, store)}
	b.create(t, b.id("before"), job(t, "T1"))
	tx, err := d.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // it only holds the counter
	if _, err := tx.ExecContext(t.Context(), "SELECT FROM invoice_series FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := b.generator.Generate(t.Context(), request(b.id("job"), job(t, "T2")))
		answered <- err
	}()
	rig.Eventually(t, "a session that waits for the counter", func() bool {
		return d.Is(t, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock')", d.Schema)
	})
	newer, err := b.store.Invoices.Standing(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	newer.Now.Timeline++
	b.store.Invoices.Promoted(newer.Now)
	if err := <-answered; !errors.Is(err, invoice.ErrBrokenOff) || !errors.Is(err, invoice.ErrUnavailable) {
		t.Errorf("the job's error is %v", err)
	}
}

// A process that was started while no host answered knows its primary once it has met it, so that it can find out that there is a newer one.
func TestAPrimaryThatHungAtTheStart(t *testing.T) {
	t.Parallel()
	server, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{TCP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	way, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	way.Host += ",localhost:" + way.Port()
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	store, err := postgres.Open(postgres.Options{URL: way.String(), Schema: "invoicer"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.Ping(t.Context()); err == nil {
		t.Error("a server that hangs has answered")
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	rig.Await(t, func() error { return store.Ping(t.Context()) })
	if known := store.Invoices.Known(); known.System == "" || known.Timeline != 1 {
		t.Errorf("it knows %+v", known)
	}
}
