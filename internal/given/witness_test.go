package given_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"invoicer/internal/given"
	"invoicer/internal/witness"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// withWitness has the site's process write to a folder.
func (s *site) withWitness(t *testing.T, folder string) {
	t.Helper()
	f, err := witness.Open(folder, s.watch.DatabaseID, "w", s.store.Invoices, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	s.watch.Witness = f
}

// A witness counts as Redis does: for numbers above a counter, and for those that reach up to it. Where it can't be read, no number is
// given out.
func TestLookAsksTheWitness(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(t *testing.T, s *site, folder string)
		want   string // part of why it is paused, or of the error; "" if neither
	}{
		"nothing happened":        {func(*testing.T, *site, string) {}, ""},
		"it knows more":           {func(t *testing.T, s *site, _ string) { s.lowered(t) }, "numbers up to 3 were given out, and the database's counter is at 2"},
		"it knows another period": {func(t *testing.T, s *site, folder string) { s.witness(t, folder, 7, "2031", "X") }, "numbers up to 7 of period 2031 were given out"},
		"a promotion":             {func(t *testing.T, s *site, _ string) { s.moved(t, false) }, ""},
		"a promotion, and an empty witness": {func(t *testing.T, s *site, folder string) {
			s.moved(t, false)
			must(t, os.RemoveAll(filepath.Join(folder, s.watch.DatabaseID)))
		}, "nothing that remembers numbers reaches up to its counter, 3"},
		"a promotion, and a new witness": {func(t *testing.T, s *site, folder string) {
			s.moved(t, false)
			must(t, os.RemoveAll(filepath.Join(folder, s.watch.DatabaseID)))
			s.withWitness(t, folder) // which is to be filled
			ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer stop()
			s.watch.Witness.(*witness.Folder).Run(ctx)
		}, "nothing that remembers numbers reaches up to its counter, 3"},
		"it is away": {func(t *testing.T, s *site, folder string) {
			s.restart(t)
			s.withWitness(t, folder)
			must(t, os.RemoveAll(folder))
		}, "no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, folder := setup(t), filepath.Join(t.TempDir(), "witness")
			must(t, os.Mkdir(folder, 0o700))
			s.withWitness(t, folder)
			for _, id := range []string{"T1", "T2", "T3"} {
				must(t, s.job(t, id))
			}
			c.change(t, s, folder)
			s.rdb.Del(t.Context(), given.Key(s.watch.DatabaseID))
			if name != "it is away" {
				s.restart(t)
				s.withWitness(t, folder)
			}
			err := s.job(t, "N")
			state := s.state(t)
			switch {
			case c.want == "":
				if err != nil || !strings.HasPrefix(state, "open") {
					t.Errorf("%s, %v", state, err)
				}
				highest, err := given.Highest(t.Context(), s.rdb, s.watch.DatabaseID)
				if n := highest[invoice.SlotKey{Series: "INV"}]; err != nil || n != 4 {
					t.Errorf("Redis knows %d, %v", n, err)
				}
			case name == "it is away":
				if !errors.Is(err, invoice.ErrUnavailable) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v", err)
				}
			case err == nil || !strings.HasPrefix(state, "paused") || !strings.Contains(state, c.want):
				t.Errorf("%s, %v; want %s", state, err, c.want)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// witness has the folder name a transaction for a number.
func (s *site) witness(t *testing.T, folder string, number int64, period, id string) {
	t.Helper()
	f, err := witness.Open(folder, s.watch.DatabaseID, "other", s.store.Invoices, slog.New(slog.DiscardHandler))
	must(t, err)
	defer f.Close()
	f.Add([]invoice.Made{{
		Numbered:      invoice.Numbered{SlotKey: invoice.SlotKey{Series: "INV", Period: period}, Number: number, Date: "2026-03-02"},
		InvoiceNumber: fmt.Sprint("INV-", number), TransactionID: id,
	}})(t.Context())
}

// What the witness knows returns to its transactions. A number that two of them have is nobody's, and a transaction gets one alone.
func TestRecallAsksTheWitness(t *testing.T) {
	t.Parallel()
	s, folder := setup(t), t.TempDir()
	must(t, s.job(t, "T1"))
	standing, err := s.store.Invoices.Standing(t.Context())
	must(t, err)
	s.witness(t, folder, 1, "", "T1")
	s.witness(t, folder, 2, "", "L2")
	s.witness(t, folder, 3, "", "L3")
	s.witness(t, folder, 4, "", "L4")
	s.witness(t, folder, 4, "", "X4")
	s.witness(t, folder, 6, "", "L6")
	s.witness(t, folder, 7, "", "L2")
	for id, number := range map[string]int{"L2": 2, "X3": 3, "L5": 5} {
		entry := fmt.Sprintf(`{"invoice_number":"INV-%d","transaction_id":"%s","series":"INV","number":%d}`, number, id, number)
		must(t, s.rdb.Set(t.Context(), "invoicer:"+s.watch.DatabaseID+":done:{"+id+"}", entry, 0).Err())
	}
	s.remembers(t, "/INV/", 8)
	witnessed := func(ctx context.Context, each func(invoice.Made, func() string)) error {
		return witness.Each(ctx, folder, s.watch.DatabaseID, slog.New(slog.DiscardHandler), each)
	}
	id := invoice.SeriesID{Name: "INV"}
	found, err := given.Recall(t.Context(), s.rdb, []given.Record{{Source: "witness", Each: witnessed}}, s.watch.DatabaseID, id, standing.Counters)
	if err != nil || len(found) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	var got []string
	for _, n := range found[0].Numbers {
		got = append(got, fmt.Sprintf("%d %s %s: %s", n.Number, n.TransactionID, n.Date, n.Source))
	}
	want := []string{
		`2 L2 2026-03-02: witness`,
		`3  2026-03-02: given twice: to "L3" (witness), "X3" (done entry in Redis)`,
		`4  2026-03-02: given twice: to "L4" (witness), "X4" (witness)`,
		`5 L5 : done entry in Redis`,
		`6 L6 2026-03-02: witness`,
		`7  2026-03-02: witness: of "L2", which has number 2 too`,
		`8  : the highest number in Redis`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	must(t, s.store.Invoices.Reserve(t.Context(), found[0].Slot, found[0].Numbers, "ada", ""))

	s.witness(t, folder, 9_000_000_000, "", "FORGED")
	_, err = given.Recall(t.Context(), s.rdb, []given.Record{{Source: "witness", Each: witnessed}}, s.watch.DatabaseID, id, standing.Counters)
	if err == nil || !strings.Contains(err.Error(), ".jsonl line 1, and the counter is at 1") {
		t.Errorf("what can't be: %v", err)
	}
	if _, err := given.Recall(t.Context(), s.rdb, []given.Record{{Source: "witness", Each: witnessed}}, s.watch.DatabaseID, id, []postgres.Counter{}); err == nil {
		t.Error("likewise without a counter")
	}
}
