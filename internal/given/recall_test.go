package given_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"invoicer/internal/given"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// What another program has written is told by its place, since nobody could recover the series else.
func TestRecallNamesWhatCantBe(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if err := s.job(t, "T1"); err != nil {
		t.Fatal(err)
	}
	standing, err := s.store.Invoices.Standing(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	recall := func() error {
		_, err := given.Recall(t.Context(), s.rdb, nil, s.watch.DatabaseID, invoice.SeriesID{Name: "INV"}, standing.Counters)
		return err
	}
	if err := recall(); err != nil {
		t.Error(err)
	}
	s.remembers(t, "/INV/", 9_000_000_000)
	if err := recall(); err == nil || !strings.Contains(err.Error(), `the field "/INV/" of the hash `+given.Key(s.watch.DatabaseID)) {
		t.Errorf("a field: %v", err)
	}
	s.remembers(t, "/INV/", 1)
	entry := `{"id":1,"invoice_number":"X","transaction_id":"FORGED","series":"INV","number":9000000000}`
	if err := s.rdb.Set(t.Context(), "invoicer:"+s.watch.DatabaseID+":done:{FORGED}", entry, time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	if err := recall(); err == nil || !strings.Contains(err.Error(), `the done entry of transaction_id "FORGED"`) {
		t.Errorf("an entry: %v", err)
	}
}

// The numbers of an issuer are its own, and a period that the database has lost altogether gets its counter back.
func TestRecallOfAnIssuerAndAPeriod(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.OpenIssuers(t, "ACME-DE")
	id := invoice.SeriesID{Issuer: "ACME-DE", Name: "INV"}
	if _, err := s.store.Series.Change(t.Context(), &postgres.SeriesChange{Issuer: id.Issuer, Name: id.Name, What: "opened", By: "ada", To: func(*invoice.Series) (invoice.Series, error) {
		numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
		if err != nil {
			return invoice.Series{}, err
		}
		yearly := numbering.First(id, invoice.KindInvoice)
		yearly.Period, yearly.Format = "year", "INV-{period}-{number}"
		return yearly, nil
	}}); err != nil {
		t.Fatal(err)
	}
	for key, entry := range map[string]string{
		"done:ACME-DE:{T1}": `{"invoice_number":"INV-2026-1","issuer":"ACME-DE","transaction_id":"T1","series":"INV","period":"2026","number":1}`,
		"done:ACME-DE:{T3}": `{"invoice_number":"INV-2026-3","issuer":"ACME-DE","transaction_id":"T3","series":"INV","period":"2026","number":3}`,
		"done:{T2}":         `{"invoice_number":"INV-2","transaction_id":"T2","series":"INV","period":"2026","number":2}`, // of the issuer without a name
	} {
		if err := s.rdb.Set(t.Context(), "invoicer:"+s.watch.DatabaseID+":"+key, entry, time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
	}
	s.remembers(t, "ACME-DE/INV/2026", 4)
	found, err := given.Recall(t.Context(), s.rdb, nil, s.watch.DatabaseID, id, nil)
	if err != nil || len(found) != 1 || len(found[0].Numbers) != 4 || found[0].Known() != 2 || found[0].Numbers[0].TransactionID != "T1" || found[0].Numbers[2].TransactionID != "T3" {
		t.Fatalf("%+v, %v", found, err)
	}
	if err := s.store.Invoices.Reserve(t.Context(), found[0].Slot, found[0].Numbers, "ada", ""); err != nil {
		t.Fatal(err)
	}
	if got := s.Text(t, "SELECT period || ' ' || last_number || ' ' || reserved_to FROM invoice_series WHERE issuer = 'ACME-DE'"); got != "2026 4 4" {
		t.Errorf("the counter is %s", got)
	}
}

// recoveredMeanwhile has a person recover the series between the look at its counter and the pause.
type recoveredMeanwhile struct {
	given.Books

	recover func()
}

func (r recoveredMeanwhile) PauseLost(ctx context.Context, id invoice.SeriesID, seen int, why string) (bool, error) {
	r.recover()
	return r.Books.PauseLost(ctx, id, seen, why)
}

// A worker that has looked at a counter before a series was recovered doesn't pause the series again.
func TestAStaleLookPausesNothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if err := s.job(t, "T1"); err != nil {
		t.Fatal(err)
	}
	books, id := s.watch.Books, invoice.SeriesID{Name: "INV"}
	slot := invoice.SlotKey{Series: "INV"}
	if _, err := books.PauseLost(t.Context(), id, 0, "another worker"); err != nil {
		t.Fatal(err)
	}
	recovered := sync.OnceFunc(func() {
		if err := s.store.Invoices.Reserve(t.Context(), slot, []postgres.Reserved{{Number: 2, Source: "a test"}}, "ada", ""); err != nil {
			t.Error(err)
		}
		if _, err := s.store.Series.ResumeRecovered(t.Context(), id, "recovered", "ada", ""); err != nil {
			t.Error(err)
		}
	})
	s.watch.Books = recoveredMeanwhile{books, recovered}
	if lost, err := s.watch.Lost(t.Context(), invoice.Numbered{SlotKey: slot, Number: 2}); lost || err != nil {
		t.Errorf("lost %t, %v", lost, err)
	}
	if state := s.state(t); !strings.HasPrefix(state, "open") {
		t.Errorf("the series is %s", state)
	}
}
