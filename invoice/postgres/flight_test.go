package postgres_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/dropproxy"
	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// eachMode runs a test in every way in which the driver may send statements; the first is the default.
func eachMode(t *testing.T, test func(t *testing.T, b *site, way string)) {
	t.Helper()
	for _, mode := range []string{"cache_statement", "cache_describe", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			test(t, b, "&default_query_exec_mode="+mode)
		})
	}
}

// A broken connection leaves unknown whether the flight with COMMIT came to its end: all of it did here.
func TestLostReplyToTheLastFlight(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *site, mode string) {
		url, proxy := throughProxy(t, b.URL, dropproxy.First("INV-000001"))
		store := b.open(t, func(o *postgres.Options) { o.URL = url + mode })
		got, err := generator(t, store).Generate(t.Context(), request(b.id("job"), job(t, "T1")))
		if err != nil || got.Outcome != invoice.Created || proxy.Dropped() != 1 {
			t.Errorf("outcome %q, error %v, with %d replies lost; the row is there", got.Outcome, err, proxy.Dropped())
		}
		b.gapless(t)
	})
}

// The flight is broken off before COMMIT: nothing is there, and the next one gets the number.
func TestLastFlightBreaksOff(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *site, mode string) {
		url, proxy := cutting(t, b.URL, func(request []byte) int {
			if !bytes.Contains(request, []byte("INV-000001")) {
				return -1
			}
			return beforeCommit(request)
		})
		store := b.open(t, func(o *postgres.Options) { o.URL = url + mode })
		_, err := generator(t, store).Generate(t.Context(), request(b.id("job"), job(t, "T1")))
		if !errors.Is(err, invoice.ErrUnavailable) || proxy.Dropped() != 1 {
			t.Errorf("error %v, with %d requests broken off; want ErrUnavailable", err, proxy.Dropped())
		}
		if n := b.Count(t, "SELECT count(*) FROM invoices"); n != 0 {
			t.Errorf("%d invoices", n)
		}
		if made := b.create(t, b.id("next"), job(t, "T2")); made.Number != "INV-000001" {
			t.Errorf("number %s", made.Number)
		}
		b.gapless(t)
	})
}

// beforeCommit is how much of a flight comes before its last statement, which is COMMIT.
func beforeCommit(request []byte) int {
	if request[0] == 'Q' {
		return bytes.LastIndex(request, []byte("commit"))
	}
	last := 0
	for at := 0; at+5 <= len(request); at += 1 + int(binary.BigEndian.Uint32(request[at+1:])) {
		// Each statement begins with its text, or, where that has been prepared, with its parameters.
		if request[at] == 'P' || request[at] == 'B' && (at == 0 || request[last] != 'P' || !bytes.HasPrefix(request[last+5:], []byte("\x00commit"))) {
			last = at
		}
	}
	return last
}

// cutting is the URL of the same database by way of a proxy that breaks requests off.
func cutting(t *testing.T, url string, cut func(request []byte) int) (string, *dropproxy.Proxy) {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	network, target := "tcp", net.JoinHostPort(config.Host, fmt.Sprint(config.Port))
	if config.Host[0] == '/' {
		network, target = "unix", fmt.Sprintf("%s/.s.PGSQL.%d", config.Host, config.Port)
	}
	proxy := dropproxy.Cut(t, network, target, cut)
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", config.User, config.Password, proxy.Addr(), config.Database), proxy
}

// Who waits for the counter, in the same flight in which it looks for the transaction, sees what was committed meanwhile.
func TestFindSeesWhatWasCommittedDuringTheWait(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *site, mode string) {
		b.create(t, b.id("before"), job(t, "T0"))
		before := rig.NewGate(fault.Written)
		slow := generator(t, b.open(t, planted(before.Hook)))
		first := make(chan error, 1)
		go func() {
			_, err := slow.Generate(t.Context(), request(b.id("first"), job(t, "T1")))
			first <- err
		}()
		<-before.Reached
		second := make(chan invoice.Result, 1)
		other := generator(t, b.open(t, func(o *postgres.Options) { o.URL += mode }))
		go func() {
			r, err := other.Generate(t.Context(), request(b.id("second"), job(t, "T1")))
			if err != nil {
				t.Errorf("the second: %v", err)
			}
			second <- r
		}()
		b.AwaitBlocked(t)
		before.Open()
		if err := <-first; err != nil {
			t.Errorf("the first: %v", err)
		}
		if r := <-second; r.Outcome != invoice.Duplicate || r.Reason != invoice.AlreadyInvoiced {
			t.Errorf("the second: %s, %s; want a duplicate that found the invoice", r.Outcome, r.Reason)
		}
		b.gapless(t)
	})
}

// After a write that is refused, the COMMIT that was sent with it isn't carried out, and the connection is as good as before.
func TestRefusedFlightIsNotCommitted(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *site, mode string) {
		store := b.open(t, func(o *postgres.Options) { o.URL += mode; o.MaxConns = 1 })
		g := generator(t, store)
		if _, err := g.Generate(t.Context(), request(b.id("bad"), job(t, " no id", func(j *invoice.Job) { j.IdempotencyKey = "K" }))); err == nil || errors.Is(err, invoice.ErrUnavailable) {
			t.Errorf("error %v, want a refusal", err)
		}
		if n := b.Count(t, "SELECT coalesce(sum(last_number), 0) FROM invoice_series"); n != 0 {
			t.Errorf("the refused one used up %d numbers", n)
		}
		r, err := g.Generate(t.Context(), request(b.id("good"), job(t, "T1")))
		if err != nil || r.Invoice.Number != "INV-000001" {
			t.Errorf("%+v, error %v", r, err)
		}
		if n := b.Count(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND state LIKE 'idle in%'", b.Schema); n != 0 {
			t.Errorf("%d transactions were left open", n)
		}
	})
}
