package witness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// A site is a database with documents.
type site struct {
	*rig.Database
	store *postgres.DB
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{Database: rig.NewDatabase(t)}
	var err error
	if s.store, err = postgres.Open(postgres.Options{URL: s.URL, Schema: s.Schema}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.Close() })
	return s
}

func (s *site) make(t *testing.T, series string, ids ...string) {
	t.Helper()
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	generator := invoice.NewGenerator(s.store.Invoices, numbering)
	for _, id := range ids {
		job, err := invoice.Decode([]byte(`{"transaction_id":"` + id + `","series":"` + series + `","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":2}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := generator.Generate(t.Context(), invoice.NewRequest("job of "+id, 1, job)); err != nil {
			t.Fatal(err)
		}
	}
}

// behindTriggers changes what the triggers refuse.
func (s *site) behindTriggers(t *testing.T, statements ...string) {
	t.Helper()
	tx, err := s.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range append([]string{"SET LOCAL session_replication_role = replica"}, statements...) {
		if _, err := tx.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// copies makes many documents of the one of a series.
func (s *site) copies(t *testing.T, series string, from, to int) {
	t.Helper()
	s.behindTriggers(t, fmt.Sprintf(`INSERT INTO invoices OVERRIDING SYSTEM VALUE SELECT (jsonb_populate_record(i, jsonb_build_object('id', 1000000 * ascii('%[1]s') + g, 'number', g, 'invoice_number', '%[1]s-' || g,
'transaction_id', '%[1]s' || g, 'idempotency_key', '%[1]s' || g, 'job_id', '%[1]s' || g))).* FROM invoices i, generate_series(%[2]d, %[3]d) g WHERE i.series = '%[1]s' AND i.number = 1`, series, from, to),
		fmt.Sprintf("UPDATE invoice_series SET last_number = %d WHERE series = '%s'", to, series))
}

// catchUp compares once, as each start of a process does.
func (s *site) catchUp(t *testing.T, folder string, held int) *diary {
	t.Helper()
	f, log := open(t, folder, s.store.Invoices)
	f.held = held
	if err := f.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Close()
	return log
}

func told(t *testing.T, folder string) (count int, each map[string]string) {
	t.Helper()
	each = make(map[string]string)
	for _, m := range all(t, folder, discard) {
		count++
		each[fmt.Sprintf("%s %d", m.Series, m.Number)] += m.TransactionID + " "
	}
	return count, each
}

// A new folder gets the documents of before, in as many pieces as it takes, and later what a crash has left out, each once.
func TestAFolderCatchesUp(t *testing.T) {
	t.Parallel()
	s, folder := newSite(t), t.TempDir()
	s.make(t, "A", "A1")
	s.make(t, "B", "B1")
	s.copies(t, "A", 2, 2345)
	s.copies(t, "B", 2, 30)
	s.catchUp(t, folder, 150)
	wants := func(documents int) {
		t.Helper()
		count, each := told(t, folder)
		if count != documents || len(each) != documents {
			t.Errorf("%d lines of %d documents, want %d", count, len(each), documents)
		}
		for place, id := range each {
			if want := strings.Replace(place, " ", "", 1) + " "; id != want {
				t.Errorf("%s is of %s", place, id)
			}
		}
	}
	wants(2375)
	if log := s.catchUp(t, folder, mostHeld); len(log.lines("were added")) != 0 {
		t.Errorf("again: %v", log.lines(""))
	}
	wants(2375)
	s.copies(t, "A", 2346, 2350)
	f, _ := open(t, folder, s.store.Invoices)
	lastOf := made("A", 2348)
	lastOf.SlotKey, lastOf.TransactionID = invoice.SlotKey{Series: "A"}, "A2348"
	f.Add([]invoice.Made{lastOf})(t.Context()) // the others were in the hands of a process that was killed
	f.Close()
	s.catchUp(t, folder, mostHeld)
	wants(2380)
	one := all(t, folder, discard)[0]
	if chain := s.Text(t, "SELECT chain FROM invoices WHERE transaction_id = $1", one.TransactionID); one.Chain != chain || chain == "" || one.InvoiceNumber == "" {
		t.Errorf("%+v", one)
	}
}

// A start reads what it hasn't read, and everything if what it knows of the folder can't be right.
func TestWhatAStartReads(t *testing.T) {
	t.Parallel()
	s, folder := newSite(t), t.TempDir()
	s.make(t, "A", "A1")
	s.copies(t, "A", 2, 50)
	s.catchUp(t, folder, 10)
	s.catchUp(t, folder, 10) // it moves on in the files
	s.copies(t, "A", 51, 52)
	s.catchUp(t, folder, 10)
	highest := func() int64 {
		f, _ := open(t, folder, s.store.Invoices)
		defer f.Close()
		highest, err := f.Highest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return highest[invoice.SlotKey{Series: "A"}]
	}
	f, _ := open(t, folder, s.store.Invoices)
	names := files(t, f)
	first := filepath.Join(f.dir, names[0])
	text, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	// What was read isn't read again, or this would be found.
	must(t, os.WriteFile(first, []byte(strings.Replace(string(text), `"number":1,`, `"number":9,`, 1)), 0o600))
	if n := highest(); n != 52 {
		t.Errorf("the highest number is %d", n)
	}
	if log := s.catchUp(t, folder, 10); len(log.lines("")) != 0 {
		t.Errorf("it was read again: %v", log.lines(""))
	}
	must(t, os.WriteFile(first, text[:len(text)/2], 0o600))
	if n := highest(); n != 52 {
		t.Errorf("the highest number is %d in a folder that has lost some", n)
	}
	if log := s.catchUp(t, folder, 10); len(log.lines("is shorter than it was")) != 1 {
		t.Errorf("it isn't noticed: %v", log.lines(""))
	}
	if _, each := told(t, folder); len(each) != 52 {
		t.Errorf("%d documents are there again", len(each))
	}
	must(t, os.Remove(first))
	must(t, os.WriteFile(filepath.Join(f.dir, stateFile), []byte("{"), 0o600))
	s.catchUp(t, folder, 10)
	if _, each := told(t, folder); len(each) != 52 {
		t.Errorf("%d documents without the oldest file", len(each))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A number that a database gives out again after a restore is found, also if the folder was complete before.
func TestNumbersThatWereGivenOutTwice(t *testing.T) {
	t.Parallel()
	s, folder := newSite(t), t.TempDir()
	s.make(t, "A", "A1", "A2", "A3", "A4")
	s.catchUp(t, folder, mostHeld)
	s.behindTriggers(t, "DELETE FROM invoice_lines WHERE invoice_id IN (SELECT id FROM invoices WHERE number > 2)",
		"DELETE FROM invoices WHERE number > 2", "UPDATE invoice_series SET last_number = 2")
	s.catchUp(t, folder, mostHeld) // a look at the restored database has it compared
	s.make(t, "A", "X3", "A4")     // somebody has resumed the series by hand
	log := s.catchUp(t, folder, mostHeld)
	twice := log.lines("level=ERROR")
	if len(twice) != 1 || !strings.Contains(twice[0], "given out twice") || !strings.Contains(twice[0], "transaction_id=X3") || !strings.Contains(twice[0], "in_the_witness=A3") {
		t.Errorf("told %q", twice)
	}
	if _, each := told(t, folder); each["A 3"] != "A3 X3 " || each["A 4"] != "A4 " {
		t.Errorf("the witness has %v", each)
	}
	if log := s.catchUp(t, folder, mostHeld); len(log.lines("")) != 0 {
		t.Errorf("it is told again: %v", log.lines(""))
	}
}

// Of several processes one fills a folder, and the others look again later.
func TestOneProcessFillsAFolder(t *testing.T) {
	t.Parallel()
	s, folder := newSite(t), t.TempDir()
	s.make(t, "A", "A1")
	f, log := open(t, folder, s.store.Invoices)
	unlock, err := lock(filepath.Join(f.dir, ".lock"))
	must(t, err)
	if err := f.catchUp(t.Context()); !errors.Is(err, errBusy) || len(files(t, f)) != 0 {
		t.Errorf("beside another process: %v, %v", err, files(t, f))
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.Run(ctx)
	}()
	rig.Eventually(t, "the first try", func() bool { return len(f.due) == 0 })
	unlock()
	f.Looked()
	rig.Eventually(t, "the document", func() bool { return len(all(t, folder, discard)) == 1 })
	stop()
	<-ended
	if told := log.lines("WARN"); len(told) != 0 {
		t.Errorf("told %v", told)
	}
}

// A folder doesn't follow a server of which nobody knows whether it has lost numbers: else it would seem to vouch for its counters.
func TestAFolderWaitsForALook(t *testing.T) {
	t.Parallel()
	s, folder := newSite(t), t.TempDir()
	s.make(t, "A", "A1")
	standing, err := s.store.Invoices.Standing(t.Context())
	must(t, err)
	before := standing.Now
	before.Timeline--
	must(t, s.store.Invoices.SawLineage(t.Context(), before))
	f, _ := open(t, folder, s.store.Invoices)
	if err := f.catchUp(t.Context()); !errors.Is(err, errUnseen) || len(files(t, f)) != 0 {
		t.Errorf("before a look: %v, %v", err, files(t, f))
	}
	must(t, s.store.Invoices.SawLineage(t.Context(), standing.Now))
	if err := f.catchUp(t.Context()); err != nil || len(all(t, folder, discard)) != 1 {
		t.Errorf("after a look: %v, %v", err, files(t, f))
	}
}
