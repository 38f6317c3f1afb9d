package postgres_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/handover"
	"invoicer/invoice/postgres"
)

const authority = "authority"

// channelled is a site whose invoices are handed over to an authority, for whose clearance credit notes wait.
func channelled(t *testing.T, change ...func(*postgres.Options)) *site {
	t.Helper()
	b := setup(t, change...)
	if err := b.store.Handovers.Configure(t.Context(), []handover.Rule{{Name: authority, Kind: "https", AwaitClearance: true}}); err != nil {
		t.Fatal(err)
	}
	return b
}

// credited makes a credit note of a whole transaction.
func (b *site) credited(t *testing.T, transaction string) int64 {
	t.Helper()
	return b.create(t, "credit of "+transaction, job(t, "C-"+transaction, func(j *invoice.Job) {
		j.CreditsTransactionID = transaction
		for n := range j.Lines {
			j.Lines[n].Quantity = j.Lines[n].Quantity.Neg()
		}
	})).ID
}

func (b *site) claim(t *testing.T) (handover.Claim, bool) {
	t.Helper()
	c, found, err := b.store.Handovers.Claim(t.Context(), authority, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return c, found
}

func (b *site) came(t *testing.T, c handover.Claim, r handover.Result) {
	t.Helper()
	r.Answered = r.Err == ""
	if err := b.store.Handovers.Settle(t.Context(), &c, r); err != nil {
		t.Fatal(err)
	}
}

// What is owed is noted with the invoice for the channels of that moment which want it, and each is claimed by one process at a time.
func TestHandoversAreOwed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.invoiced(t, "before")
	rules := []handover.Rule{
		{Name: authority, Kind: "https"},
		{Name: "credits", Kind: "program", Kinds: []string{"credit_note"}},
		{Name: "other", Kind: "program", Issuers: []string{"ACME"}},
		{Name: "series", Kind: "program", Series: []string{"INV"}},
	}
	for range 2 { // stated again, nothing changes
		if err := b.store.Handovers.Configure(t.Context(), rules); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.Count(t, "SELECT count(*) FROM handover_channels"); n != len(rules) {
		t.Errorf("%d channels", n)
	}
	id := b.invoiced(t, "T1")
	b.credited(t, "T1")
	if err := b.store.Handovers.Configure(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	b.invoiced(t, "after")
	if got := b.Text(t, "SELECT string_agg(channel || ' ' || transaction_id, ', ' ORDER BY channel, invoice_id) FROM handovers h JOIN invoices i ON i.id = invoice_id"); got != "authority T1, authority C-T1, credits C-T1, series T1" {
		t.Error(got)
	}
	if got := b.Text(t, "SELECT string_agg(DISTINCT after_invoice || ' to ' || last_invoice, ', ') FROM handover_channels"); !strings.HasPrefix(got, "1 to ") {
		t.Error(got)
	}
	var mu sync.Mutex
	claimed := make(map[int64]int)
	var together sync.WaitGroup
	for range 8 {
		together.Go(func() {
			for range 5 {
				c, found, err := b.store.Handovers.Claim(t.Context(), authority, time.Minute)
				if err != nil {
					t.Error(err)
				}
				if !found {
					return
				}
				mu.Lock()
				claimed[c.InvoiceID]++
				mu.Unlock()
			}
		})
	}
	together.Wait()
	if len(claimed) != 2 || claimed[id] != 1 {
		t.Errorf("claimed: %v", claimed)
	}
}

// What a process says whose claim has expired isn't heard once another one has claimed the same.
func TestAHandoverOfAnotherProcess(t *testing.T) {
	t.Parallel()
	b := channelled(t)
	b.invoiced(t, "T1")
	slow, _ := b.claim(t)
	if _, found := b.claim(t); found {
		t.Error("it is claimed twice")
	}
	b.Exec(t, "UPDATE handovers SET due_at = clock_timestamp()")
	quick, found := b.claim(t)
	if !found || quick.Key != slow.Key || quick.Attempts != 2 {
		t.Fatalf("%v %+v", found, quick)
	}
	for _, late := range []handover.Result{{State: handover.Accepted, Answered: true}, {State: handover.Queued, Err: "away", Again: time.Hour}} {
		if err := b.store.Handovers.Settle(t.Context(), &slow, late); !errors.Is(err, handover.ErrGone) {
			t.Errorf("%s by the slow one: %v", late.State, err)
		}
	}
	b.came(t, quick, handover.Result{State: handover.Sent, TheirID: "X"})
	if got := b.Text(t, "SELECT state || ' ' || their_id FROM handovers"); got != "sent X" {
		t.Error(got)
	}
}

// A credit note waits for the clearance of what it credits, and then quotes it; until then it says for what it waits.
func TestACreditNoteWaitsForTheClearance(t *testing.T) {
	t.Parallel()
	b := channelled(t)
	b.invoiced(t, "T1")
	c, _ := b.claim(t)
	note := b.credited(t, "T1")
	if waits, found := b.claim(t); found {
		t.Fatalf("claimed: %+v", waits)
	}
	list, err := b.store.Handovers.List(t.Context(), handover.Filter{State: handover.Queued, Channel: authority})
	if err != nil || len(list) != 2 || list[0].InvoiceID != note || list[0].WaitsFor != "INV-000001" || list[0].Blocked || list[1].WaitsFor != "" {
		t.Errorf("%+v, %v", list, err)
	}
	b.came(t, c, handover.Result{State: handover.Sent, TheirID: "their", Again: time.Nanosecond})
	if c, _ = b.claim(t); c.State != handover.Sent || c.TheirID != "their" {
		t.Fatalf("%+v", c)
	}
	b.came(t, c, handover.Result{State: handover.Cleared, Clearance: "CLR-1"})
	if c, found := b.claim(t); !found || c.InvoiceID != note || c.Clearance != "CLR-1" || c.Attempts != 1 {
		t.Errorf("%v %+v", found, c)
	}
}

// Where the invoice was rejected, its credit note waits in plain sight, until an operator sends it anyway, or gives it up.
func TestACreditNoteOfWhatWasRejected(t *testing.T) {
	t.Parallel()
	b := channelled(t)
	b.invoiced(t, "T1")
	c, _ := b.claim(t)
	note := b.credited(t, "T1")
	b.came(t, c, handover.Result{State: handover.Rejected, Answer: "no street"})
	counts, err := b.store.Handovers.Counts(t.Context())
	if err != nil || len(counts) != 2 || counts[0].State != "blocked" || counts[0].N != 1 || counts[1].State != "rejected" {
		t.Errorf("%+v, %v", counts, err)
	}
	list, err := b.store.Handovers.List(t.Context(), handover.Filter{State: handover.Queued})
	if err != nil || len(list) != 1 || !list[0].Blocked {
		t.Fatalf("%+v, %v", list, err)
	}
	again := handover.Order{To: handover.Queued, By: "ada", Reason: "called them"}
	if err := b.store.Handovers.Decide(t.Context(), list[0].ID, again); !errors.Is(err, handover.ErrStep) {
		t.Errorf("it doesn't wait any more: %v", err)
	}
	again.Anyway = true
	if err := b.store.Handovers.Decide(t.Context(), list[0].ID, again); err != nil {
		t.Fatal(err)
	}
	if c, found := b.claim(t); !found || c.InvoiceID != note || c.Clearance != "" {
		t.Errorf("%v %+v", found, c)
	}
	history, err := b.store.Handovers.History(t.Context(), note)
	if last := history[len(history)-1]; err != nil || last.ChangedBy != "ada" || last.Reason != "called them" {
		t.Errorf("%+v, %v", history, err)
	}
}

// Where the invoice was accepted without a clearance, none will come: its credit note is blocked as well.
func TestACreditNoteOfWhatWasAccepted(t *testing.T) {
	t.Parallel()
	b := channelled(t)
	b.invoiced(t, "T1")
	c, _ := b.claim(t)
	b.credited(t, "T1")
	b.came(t, c, handover.Result{State: handover.Sent})
	counts, err := b.store.Handovers.Counts(t.Context())
	if err != nil || len(counts) != 1 || counts[0].State != "waiting" { // nobody asks about the invoice, and somebody may be told
		t.Errorf("%+v, %v", counts, err)
	}
	if err := b.store.Handovers.Decide(t.Context(), c.ID, handover.Order{To: handover.Accepted, By: "ada"}); err != nil {
		t.Fatal(err)
	}
	counts, err = b.store.Handovers.Counts(t.Context())
	if err != nil || len(counts) != 1 || counts[0].State != "blocked" {
		t.Errorf("%+v, %v", counts, err)
	}
	list, err := b.store.Handovers.List(t.Context(), handover.Filter{State: handover.Queued})
	if err != nil || len(list) != 1 || !list[0].Blocked {
		t.Errorf("%+v, %v", list, err)
	}
	if waiting, err := b.store.Handovers.Waiting(t.Context(), c.ID); err != nil || len(waiting) != 1 || waiting[0] != "INV-CN-000001" {
		t.Errorf("%q, %v", waiting, err)
	}
}

// Sent again, what was rejected has another key, and what failed its own; what was accepted isn't sent again; who did it is in the history.
func TestSendingAgain(t *testing.T) {
	t.Parallel()
	b := channelled(t)
	b.invoiced(t, "T1")
	resend := func() error {
		return b.store.Handovers.Decide(t.Context(), 1, handover.Order{To: handover.Queued, By: "ada"})
	}
	first, _ := b.claim(t)
	b.came(t, first, handover.Result{State: handover.Failed, Err: "nobody there"})
	if err := resend(); err != nil {
		t.Fatal(err)
	}
	second, _ := b.claim(t)
	if second.Key != first.Key || second.Attempts != 1 {
		t.Errorf("%+v after %+v", second, first)
	}
	if err := b.store.Handovers.Settle(t.Context(), &first, handover.Result{State: handover.Sent, Answered: true}); !errors.Is(err, handover.ErrGone) {
		t.Errorf("an old claim counts: %v", err)
	}
	b.came(t, second, handover.Result{State: handover.Rejected, Answer: "no"})
	if err := resend(); err != nil {
		t.Fatal(err)
	}
	third, _ := b.claim(t)
	if third.Key == first.Key || third.TheirID != "" {
		t.Errorf("%+v after %+v", third, first)
	}
	b.came(t, third, handover.Result{State: handover.Accepted})
	if err := resend(); !errors.Is(err, handover.ErrStep) {
		t.Errorf("accepted, and sent again: %v", err)
	}
	if err := b.store.Handovers.Decide(t.Context(), 7, handover.Order{To: handover.Queued, By: "ada"}); !errors.Is(err, handover.ErrNone) {
		t.Errorf("one that isn't there: %v", err)
	}
	history, err := b.store.Handovers.History(t.Context(), first.InvoiceID)
	var states []string
	for _, c := range history {
		states = append(states, string(c.State)+" "+c.ChangedBy)
	}
	if got := strings.Join(states, ","); err != nil || got != "queued ,failed ,queued ada,rejected ,queued ada,accepted " {
		t.Errorf("%s, %v", got, err)
	}
}

// What is queued goes elsewhere if an operator says so, whether it failed or not; who had it in hand for too long isn't heard any more.
func TestSendingElsewhere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.store.Handovers.Configure(t.Context(), []handover.Rule{{Name: authority, Kind: "email"}}); err != nil {
		t.Fatal(err)
	}
	if kind, err := b.store.Handovers.Kind(t.Context(), authority); kind != "email" || err != nil {
		t.Errorf("%q, %v", kind, err)
	}
	b.invoiced(t, "T1")
	send := func(to string) error {
		return b.store.Handovers.Decide(t.Context(), 1, handover.Order{To: handover.Queued, By: "ada", Address: to})
	}
	if err := send(""); !errors.Is(err, handover.ErrStep) {
		t.Errorf("queued, and sent again: %v", err)
	}
	if err := send("new@buyer.example"); err != nil {
		t.Fatal(err)
	}
	first, _ := b.claim(t)
	b.came(t, first, handover.Result{State: handover.Queued, Err: "421 try later", Again: time.Hour})
	if err := send("newer@buyer.example"); err != nil {
		t.Fatal(err)
	}
	second, found := b.claim(t)
	if !found || first.Address != "new@buyer.example" || second.Address != "newer@buyer.example" || second.Key == first.Key || second.Attempts != 1 {
		t.Errorf("%v %+v after %+v", found, second, first)
	}
	b.Exec(t, "UPDATE handovers SET due_at = clock_timestamp()")
	if err := send("newest@buyer.example"); err != nil {
		t.Fatal(err)
	}
	if err := b.store.Handovers.Settle(t.Context(), &second, handover.Result{State: handover.Sent, Answered: true}); !errors.Is(err, handover.ErrGone) {
		t.Errorf("who had it in hand is heard: %v", err)
	}
	for _, change := range []string{"address = 'x'", "address = 'x', changed_by = 'ada'", "address = 'x', turn = turn + 1, changed_by = NULL", "key = gen_random_uuid(), changed_by = 'ada'"} {
		if _, err := b.DB.ExecContext(t.Context(), "UPDATE handovers SET "+change); err == nil {
			t.Errorf("%s went through", change)
		}
	}
	third, _ := b.claim(t)
	b.came(t, third, handover.Result{State: handover.Sent})
	if got := b.Text(t, "SELECT string_agg(state || ' ' || coalesce(changed_by, ''), ',' ORDER BY id) FROM handover_log"); got != "queued ,queued ada,queued ,queued ada,queued ada,sent " {
		t.Error(got)
	}
}

// The database itself refuses what a hand-over doesn't do, and changes of its history.
func TestStepsOfHandovers(t *testing.T) {
	t.Parallel()
	b := channelled(t)
	b.invoiced(t, "T1")
	c, _ := b.claim(t)
	b.came(t, c, handover.Result{State: handover.Cleared, Clearance: "CLR-1"})
	refused := []string{
		"UPDATE handovers SET state = 'queued', changed_by = 'ada'", "UPDATE handovers SET state = 'sent'", "UPDATE handovers SET state = 'failed', changed_by = 'ada'",
		"UPDATE handovers SET clearance = 'CLR-2'", "UPDATE handovers SET key = gen_random_uuid()", "UPDATE handovers SET invoice_id = invoice_id + 1", "UPDATE handovers SET erased_at = now()",
		"DELETE FROM handovers", "TRUNCATE handovers, handover_log", "DELETE FROM handover_log", "UPDATE handover_log SET state = 'sent'", "UPDATE handover_log SET answer = NULL, reason = NULL, error = NULL", "TRUNCATE handover_log",
		"INSERT INTO handovers (invoice_id, channel, state, clearance, answered_at) VALUES (1, 'other', 'cleared', 'x', now())",
	}
	for _, statement := range refused {
		if _, err := b.DB.ExecContext(t.Context(), statement); err == nil {
			t.Errorf("%s went through", statement)
		}
	}
	b.Exec(t, "UPDATE handovers SET state = 'rejected', answer = 'the buyer says no'")
	for _, statement := range append(refused[1:], "UPDATE handovers SET state = 'queued'", "UPDATE handovers SET answer = 'yes'", "UPDATE handovers SET state = 'accepted', changed_by = 'ada'") {
		if _, err := b.DB.ExecContext(t.Context(), statement); err == nil {
			t.Errorf("rejected: %s went through", statement)
		}
	}
}

// With an invoice's personal data go address, answers and reasons; what isn't handed over yet never is.
func TestErasingTakesWhatHandoversSay(t *testing.T) {
	t.Parallel()
	b := channelled(t)
	b.invoiced(t, "T1")
	b.invoiced(t, "T2")
	for _, step := range []string{"'cancelled', due_at = NULL", "'queued', due_at = now() - interval '1 hour', address = 'ada@buyer.example'"} {
		b.Exec(t, "UPDATE handovers SET changed_by = 'ada', state = "+step+" WHERE id = 1")
	}
	c, _ := b.claim(t)
	b.came(t, c, handover.Result{State: handover.Sent, TheirID: "their", Answer: "Ada has it", Again: time.Nanosecond})
	b.Exec(t, `SELECT erase_invoices(begin_erasure('age', NULL, 'infinity', 'retention', 'ada'), NULL, NULL, 'infinity', 0, 1000)`)
	if got := b.Text(t, "SELECT string_agg(state || coalesce(answer, '') || address, ', ' ORDER BY id) FROM handovers"); got != "senterased 1, cancelled" {
		t.Error(got)
	}
	if n := b.Count(t, "SELECT count(*) FROM handover_log WHERE answer IS NOT NULL OR reason IS NOT NULL OR error IS NOT NULL"); n != 0 {
		t.Errorf("%d texts are kept in the history", n)
	}
	c, found := b.claim(t)
	if !found || c.State != handover.Sent {
		t.Fatalf("what was sent isn't asked about: %+v", c)
	}
	b.came(t, c, handover.Result{State: handover.Accepted, Answer: "Ada has paid"})
	if got := b.Text(t, "SELECT state || coalesce(answer, ' without words') FROM handovers WHERE id = 1"); got != "accepted without words" {
		t.Error(got)
	}
	if err := b.store.Handovers.Decide(t.Context(), 2, handover.Order{To: handover.Queued, By: "ada"}); !errors.Is(err, handover.ErrStep) {
		t.Errorf("erased, and sent again: %v", err)
	}
}

// An answer that is being recorded while its invoice is erased leaves no words behind, neither in the hand-over nor in its history.
func TestErasingBesideAnAnswer(t *testing.T) {
	t.Parallel()
	b := channelled(t)
	b.invoiced(t, "T1")
	tx := b.begin(t)
	in(t, tx, "UPDATE handovers SET state = 'sent', their_id = 'their', answer = 'Ada has it', answered_at = now()")
	waits, erased := b.blocked(t), make(chan struct{})
	go func() {
		defer close(erased)
		b.erase(t, postgres.Selection{Before: time.Now().Add(time.Hour)}, 100)
	}()
	<-waits
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	<-erased
	if left := b.dump(t); strings.Contains(left, "Ada has it") || b.Text(t, "SELECT state FROM handovers WHERE erased_at IS NOT NULL") != "sent" {
		t.Errorf("left behind: %s", left)
	}
}
