package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"invoicer/internal/dropproxy"
	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
)

// An asked is a draft that was asked for while another one's transaction was under way.
type asked struct {
	result invoice.Result
	err    error
}

// id is a job's id that no other test's job has: the locks of their ends are the whole database's.
func (b *site) id(jobID string) string { return jobID + "@" + b.Schema }

// together asks for all jobs while a first one, of the transaction "first", stands before its commit, so that they wait
// for one transaction, and returns what became of them. In their transactions the hook is called, if there is one.
func (b *site) together(t *testing.T, jobs map[string]*invoice.Job, hook fault.Hook) map[string]asked {
	t.Helper()
	return b.togetherIn(t, nil, jobs, hook)
}

// togetherIn is together, but some jobs are asked for in contexts of their own.
func (b *site) togetherIn(t *testing.T, contexts map[string]context.Context, jobs map[string]*invoice.Job, hook fault.Hook) map[string]asked {
	t.Helper()
	b.openSeries(t, "INV", "INV-CN")
	before := rig.NewGate(fault.Written)
	b.store.Invoices.Plant(func(ctx context.Context, p fault.Point) error {
		if p == fault.Written {
			b.store.Invoices.Plant(hook) // in the transactions after the first one's
		}
		return before.Hook(ctx, p)
	})
	var once, running sync.WaitGroup
	once.Go(func() {
		if _, err := b.generator.Generate(t.Context(), request(b.id("first"), job(t, "first"))); err != nil {
			t.Errorf("the first: %v", err)
		}
	})
	<-before.Reached
	var mu sync.Mutex
	all := make(map[string]asked, len(jobs))
	for jobID, j := range jobs {
		running.Go(func() {
			ctx := t.Context()
			if own := contexts[jobID]; own != nil {
				ctx = own
			}
			r, err := b.generator.Generate(ctx, request(b.id(jobID), j))
			for errors.Is(err, invoice.ErrHeld) && ctx.Err() == nil { // on a busy machine
				r, err = b.generator.Generate(ctx, request(b.id(jobID), j))
			}
			mu.Lock()
			defer mu.Unlock()
			all[jobID] = asked{r, err}
		})
	}
	rig.Eventually(t, "all jobs to wait", func() bool { return b.store.Invoices.Waiting() >= len(jobs) })
	before.Open()
	once.Wait()
	running.Wait()
	return all
}

// What waits while a transaction is under way shares the next one.
func TestGroupSharesATransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	jobs := make(map[string]*invoice.Job)
	for i := range 50 {
		jobs[fmt.Sprintf("job-%d", i)] = job(t, fmt.Sprintf("T%d", i), func(j *invoice.Job) {
			if i%5 == 0 {
				j.Lines[0].Quantity = j.Lines[0].Quantity.Neg() // a credit note, in a series of its own
			}
		})
	}
	for id, a := range b.together(t, jobs, nil) {
		if a.err != nil || a.result.Outcome != invoice.Created || a.result.Invoice.JobID != b.id(id) {
			t.Errorf("%s: %+v", id, a)
			continue
		}
		whole, err := b.store.Invoices.Read(t.Context(), a.result.Invoice.ID)
		if err != nil || whole.Content().Fingerprint() != jobs[id].Fingerprint() {
			t.Errorf("%s: its invoice holds another one's content, or none: %v", id, err)
		}
	}
	// created_at is the beginning of the transaction.
	if n := b.Count(t, "SELECT count(DISTINCT created_at) FROM invoices"); n != 2 {
		t.Errorf("%d transactions wrote them, want 2: the first one's, and one for all others", n)
	}
	b.gapless(t)
}

// Each member states something else, or nothing: in a column of a group, some values are the usual ones, all are, or none is.
func TestGroupKeepsWhatEachMemberStates(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.openIssuers(t, "ACME-DE")
	states := []func(i int, j *invoice.Job){
		func(i int, j *invoice.Job) { j.IdempotencyKey = fmt.Sprint("key-", i) },
		func(_ int, j *invoice.Job) { j.Metadata = nil },
		func(i int, j *invoice.Job) { j.Metadata = map[string]string{"order": fmt.Sprint(`"\`, i)} },
		func(i int, j *invoice.Job) { j.Producer = fmt.Sprint("producer-", i) },
		func(_ int, j *invoice.Job) { j.Series = "OTHER" },
		func(_ int, j *invoice.Job) { j.Issuer = "ACME-DE" },
		func(_ int, j *invoice.Job) { j.Details = invoice.Details{} },
		func(i int, j *invoice.Job) { j.Lines[0].DiscountPercent = decimal(t, fmt.Sprint("0.", i+1)) },
		func(_ int, j *invoice.Job) { j.Lines[1].DiscountPercent = invoice.Decimal{} },
		func(_ int, j *invoice.Job) { j.Lines = slices.Repeat(j.Lines, 40) },
	}
	jobs := make(map[string]*invoice.Job)
	for i := range 60 {
		jobs[fmt.Sprint("job-", i)] = job(t, fmt.Sprint("T", i), func(j *invoice.Job) {
			states[i%len(states)](i, j)
			if i >= 30 {
				states[i/7%len(states)](i, j)
			}
		})
	}
	for id, a := range b.together(t, jobs, nil) {
		if a.err != nil || a.result.Outcome != invoice.Created {
			t.Errorf("%s: %+v", id, a)
			continue
		}
		whole, err := b.store.Invoices.Read(t.Context(), a.result.Invoice.ID)
		if err != nil {
			t.Fatal(err)
		}
		content := whole.Content()
		content.Producer = whole.Producer
		got, want := string(encoded(t, content)), string(encoded(t, jobs[id]))
		if got != want {
			t.Errorf("%s: stored %s, want %s", id, got, want)
		}
	}
	b.gapless(t)
	b.linked(t, 0)
}

// One bad or doubled member is nothing to its neighbours.
func TestGroupSortsItsMembersOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "before", job(t, "known"))
	jobs := map[string]*invoice.Job{
		"good":           job(t, "T1"),
		"same":           job(t, "T1"), // or the other one, whichever came first
		"same key":       job(t, "T2", func(j *invoice.Job) { j.IdempotencyKey = "T3" }),
		"key's owner":    job(t, "T3"),
		"known":          job(t, "known"),
		"other content":  job(t, "known", func(j *invoice.Job) { j.Country = "Elsewhere" }),
		"another series": job(t, "T5", func(j *invoice.Job) { j.Series = "NEW" }),
	}
	all := b.together(t, jobs, nil)
	outcome := func(id string) string {
		if all[id].err != nil {
			return "error"
		}
		return string(all[id].result.Outcome)
	}
	for pair, want := range map[[2]string][2]string{
		{"good", "same"}:            {"created", "duplicate"},
		{"same key", "key's owner"}: {"created", "conflict"},
	} {
		one, two := outcome(pair[0]), outcome(pair[1])
		if [2]string{one, two} != want && [2]string{two, one} != want {
			t.Errorf("%v ended as %s and %s, want %v", pair, one, two, want)
		}
	}
	for id, want := range map[string]string{"known": "duplicate", "other content": "conflict", "another series": "created"} {
		if got := outcome(id); got != want {
			t.Errorf("%s ended as %s (%v), want %s", id, got, all[id].err, want)
		}
	}
	if n := b.Count(t, "SELECT count(*) FROM invoices"); n != 5 {
		t.Errorf("%d invoices, want 5", n)
	}
	b.gapless(t)
}

// The reply to a group's COMMIT is lost: each member finds out that its invoice is there.
func TestGroupLostCommitReply(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url, proxy := throughProxy(t, b.way, dropproxy.First("INV-000002")) // the first one of the group
	b.store = b.open(t, func(o *postgres.Options) { o.URL = url })
	b.generator = generator(t, b.store)
	for id, a := range b.together(t, ten(t), nil) {
		if a.err != nil || a.result.Outcome != invoice.Created || a.result.Invoice.JobID != b.id(id) {
			t.Errorf("%s: %+v", id, a)
		}
	}
	if proxy.Dropped() != 1 {
		t.Errorf("%d replies were dropped, want 1", proxy.Dropped())
	}
	if n := b.Count(t, "SELECT count(*) FROM invoices"); n != 11 {
		t.Errorf("%d invoices, want 11", n)
	}
	b.gapless(t)
}

// Who goes away while it waits for its turn is left out, and keeps nobody from theirs.
func TestGroupMemberGoesAway(t *testing.T) {
	t.Parallel()
	before := rig.NewGate(fault.Written)
	b := setup(t, planted(before.Hook))
	b.openSeries(t, "INV")
	done, gone := make(chan error), make(chan error)
	go func() {
		_, err := b.generator.Generate(t.Context(), request("first", job(t, "T1")))
		done <- err
	}()
	<-before.Reached
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := b.generator.Generate(ctx, request("second", job(t, "T2")))
		gone <- err
	}()
	for b.store.Invoices.Waiting() < 1 {
	}
	cancel()
	if err := <-gone; !errors.Is(err, invoice.ErrUnavailable) {
		t.Errorf("who went away: %v, want ErrUnavailable", err)
	}
	before.Open()
	if err := <-done; err != nil {
		t.Error(err)
	}
	b.create(t, "third", job(t, "T3"))
	if n := b.Count(t, "SELECT count(*) FROM invoices WHERE transaction_id = 'T2'"); n != 0 {
		t.Error("its invoice was made although nobody waited for it")
	}
}

// Duplicates that are recorded together are answered each for itself.
func TestDuplicatesTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := b.create(t, "one", job(t, "T1")), b.create(t, "two", job(t, "T2"))
	gone := *one
	gone.ID = 1 << 40
	of := func(jobID string, made *invoice.Ref) ledger.End {
		e := end(jobID, invoice.Duplicate, made)
		e.TransactionID = made.TransactionID
		return e
	}
	if err := b.store.Ledger.Record(t.Context(), of("foreign", two)); err != nil {
		t.Fatal(err)
	}
	ends := []ledger.End{of("a", one), of("lost", &gone), of("b", two), of("foreign", one), of("c", one)}
	want := []error{nil, invoice.ErrNotInvoiced, nil, invoice.ErrEnded, nil}
	for i, err := range b.store.Ledger.RecordTogether(t.Context(), ends) {
		if !errors.Is(err, want[i]) {
			t.Errorf("%s: %v, want %v", ends[i].JobID, err, want[i])
		}
	}
	if got := b.Text(t, "SELECT string_agg(job_id || ' ' || transaction_id, ', ' ORDER BY job_id) FROM duplicate_attempts"); got != "a T1, b T2, c T1, foreign T2" {
		t.Errorf("recorded: %s", got)
	}
	if n := b.Count(t, "SELECT count(DISTINCT attempted_at) FROM duplicate_attempts WHERE job_id <> 'foreign'"); n != 1 {
		t.Errorf("three duplicates took %d transactions", n)
	}
}

// Drafts of very many lines don't all go into one statement.
func TestGroupHasSoManyLinesAtMost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	jobs := make(map[string]*invoice.Job)
	for i := range 5 {
		jobs[fmt.Sprintf("job-%d", i)] = job(t, fmt.Sprintf("T%d", i), func(j *invoice.Job) {
			j.Lines = slices.Repeat(j.Lines[:1], 5000)
		})
	}
	for id, a := range b.together(t, jobs, nil) {
		if a.err != nil || a.result.Outcome != invoice.Created {
			t.Errorf("%s: %+v", id, a)
		}
	}
	if n := b.Count(t, "SELECT count(DISTINCT created_at) FROM invoices"); n != 3 {
		t.Errorf("%d transactions, want the first one's, one of 20,000 lines, and one of the rest", n)
	}
	b.gapless(t)
}

// Whichever text of a job is long, the job counts for so much in its group.
func TestLongTextsAreHeavy(t *testing.T) {
	t.Parallel()
	const long = 500_000
	text := strings.Repeat("a", long)
	edits := map[string]func(*invoice.Job){
		"metadata":    func(j *invoice.Job) { j.Metadata = map[string]string{"note": text} },
		"sku":         func(j *invoice.Job) { j.Lines[0].SKU = text },
		"description": func(j *invoice.Job) { j.Lines[0].Description = text },
	}
	for i, name := range invoice.DetailNames() {
		edits[name] = func(j *invoice.Job) { *j.Detail(i) = text }
	}
	for name, edit := range edits {
		if size := postgres.SizeOf(&invoice.Draft{Request: invoice.NewRequest("job", 1, job(t, "T1", edit))}); size < long {
			t.Errorf("a job with a long %s counts for %d bytes", name, size)
		}
	}
}
