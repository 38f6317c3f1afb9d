package handovers_test

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"invoicer/events"
	"invoicer/internal/handovers"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice/document"
	"invoicer/invoice/handover"
	"invoicer/invoice/postgres"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// A bundle is a schema of its own, whose invoices are handed over through the channels one and two.
type bundle struct {
	*rig.Database
	store *postgres.DB
}

func setup(t *testing.T) *bundle {
	t.Helper()
	d := rig.NewDatabase(t)
	store, err := postgres.Open(postgres.Options{URL: d.URL, Schema: d.Schema})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := store.Handovers.Configure(t.Context(), []handover.Rule{{Name: "one", Kind: "https"}, {Name: "two", Kind: "program"}}); err != nil {
		t.Fatal(err)
	}
	return &bundle{d, store}
}

// invoiced adds invoices, each with the number INV-n.
func (b *bundle) invoiced(t *testing.T, from, to int) {
	t.Helper()
	b.Exec(t, `INSERT INTO invoice_series (series, period, kind) VALUES ('INV', '', 'invoice') ON CONFLICT DO NOTHING`)
	b.Exec(t, `INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at)
SELECT 'INV', '', n, 'INV-' || n, 'invoice', 'T' || n, 'T' || n, 'job ' || n, 'v1:' || repeat('0', 64), 'GBP', 100, 0, 100, now() FROM generate_series($1::int, $2::int) n`, from, to)
}

// A maker makes a document without an invoice.
type maker func(format document.Format) ([]byte, error)

func (m maker) Get(_ context.Context, id int64, format document.Format, _ string) (document.Kept, error) {
	content, err := m(format)
	return document.Kept{InvoiceID: id, Format: format, Content: content, SHA256: sum(content)}, err
}

func simple(format document.Format) ([]byte, error) { return []byte("<" + string(format) + "/>"), nil }

// work runs a worker until the test ends, or the returned function is called.
func (b *bundle) work(t *testing.T, routes ...handovers.Route) (stop func()) {
	t.Helper()
	return b.workWith(t, maker(simple), routes...)
}

func (b *bundle) workWith(t *testing.T, m handovers.Maker, routes ...handovers.Route) (stop func()) {
	t.Helper()
	for i := range routes {
		r := &routes[i]
		if r.Formats == nil {
			r.Formats = []document.Format{document.AsUBL}
		}
		if r.Timeout == 0 {
			r.Timeout = 20 * time.Second
		}
		if r.AtOnce == 0 {
			r.AtOnce = 2
		}
	}
	w := &handovers.Worker{Store: b.store.Handovers, Maker: m, Routes: routes, Random: func() float64 { return 0.5 }, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

// at returns a channel that posts to an address of this machine.
func at(t *testing.T, address string, within time.Duration) (*handovers.HTTPS, string) {
	t.Helper()
	secret := events.NewSecret()
	h, err := handovers.NewHTTPS(address, []string{secret}, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, within, 64, "v1")
	if err != nil {
		t.Fatal(err)
	}
	return h, secret
}

// script returns a channel whose program is a script.
func script(t *testing.T, text string) *handovers.Program {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	return &handovers.Program{Command: []string{"/bin/sh", file}}
}

// hurry has everything due at once that waits for another attempt.
func (b *bundle) hurry(t *testing.T) {
	t.Helper()
	b.Exec(t, "UPDATE handovers SET due_at = now() WHERE due_at IS NOT NULL")
}

func (b *bundle) state(t *testing.T, channel string, n int) string {
	t.Helper()
	return b.Text(t, `SELECT h.state || coalesce(' ' || h.their_id, '') || coalesce(' ' || h.clearance, '') || coalesce(' (' || h.answer || ')', '') || coalesce(': ' || h.error, '')
FROM handovers h JOIN invoices i ON i.id = h.invoice_id WHERE h.channel = $1 AND i.number = $2`, channel, n)
}
