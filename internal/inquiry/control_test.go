package inquiry_test

import (
	"errors"
	"strings"
	"testing"

	"invoicer/internal/inquiry"
	"invoicer/internal/report"
	"invoicer/invoice/ledger"
	"invoicer/locking"
)

func (b *site) controller() inquiry.Controller {
	return inquiry.Controller{Record: b.store.Ledger, Redis: b.Redis, DatabaseID: b.store.DatabaseID, Issuers: b.store.Issuers.Codes}
}

func TestFreeALock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, ada := b.controller(), ledger.Actor{Name: "ada", Note: "its host is gone"}
	if _, err := c.Lock(t.Context(), nil, "T1"); !errors.Is(err, report.ErrNotHeld) {
		t.Errorf("a lock that nobody has: %v", err)
	}
	lock, err := b.locker(t).Acquire(t.Context(), "T1", locking.Holder{ID: "job-1", Worker: "w1"})
	must(t, err)
	seen, err := c.Lock(t.Context(), nil, "T1")
	must(t, err)
	if seen.JobID != "job-1" || seen.Worker != "w1" || !seen.Expires {
		t.Errorf("%+v", seen)
	}
	other := seen
	other.JobID = "job-0"
	if err := c.Free(t.Context(), other, ada); !errors.Is(err, report.ErrNotHeld) {
		t.Errorf("another holder's lock: %v", err)
	}
	if _, err := c.Lock(t.Context(), nil, "T1"); err != nil {
		t.Errorf("the lock is gone: %v", err)
	}
	must(t, c.Free(t.Context(), seen, ada))
	if err := lock.Release(t.Context()); !errors.Is(err, locking.ErrLost) {
		t.Errorf("its holder learns %v, want ErrLost", err)
	}
	must(t, b.Redis.Set(t.Context(), inquiry.LockPrefix(b.databaseID)+"lock:{T1}", "by hand", 0).Err())
	if seen, err = c.Lock(t.Context(), nil, "T1"); err != nil || seen.JobID != "" || seen.Expires {
		t.Errorf("%+v, %v", seen, err)
	}
	must(t, c.Free(t.Context(), seen, ada))

	deeds, err := b.store.Reports.Deeds(t.Context(), 10)
	must(t, err)
	role := b.Text(t, "SELECT session_user")
	if len(deeds) != 3 || deeds[1].Subject != "T1" || *deeds[1].Role != role || *deeds[1].Details != "held by job job-1 on worker w1" || *deeds[1].Note != ada.Note {
		t.Errorf("%+v", deeds)
	}
	for _, statement := range []string{"UPDATE actions SET actor = 'grace'", "DELETE FROM actions", "TRUNCATE actions"} {
		if _, err := b.DB.ExecContext(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "stays on record") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func TestNothingIsDoneThatIsntOnRecord(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept(t, "T1")
	b.send(t)
	b.Exec(t, "ALTER TABLE actions RENAME TO elsewhere")
	if _, err := b.controller().Pause(t.Context(), b.Queue, ledger.Actor{Name: "ada"}); err == nil {
		t.Error("no error")
	}
	if q := b.queue(t); q.Paused {
		t.Error("the queue is paused all the same")
	}
}

func TestAnothersQueueIsntPaused(t *testing.T) {
	t.Parallel()
	b, other := setup(t), setup(t)
	b.own(t, other.store, other.databaseID, "theirs")
	if _, err := b.controller().Pause(t.Context(), b.Queue, ledger.Actor{Name: "ada"}); err == nil || !strings.Contains(err.Error(), "another installation") {
		t.Errorf("%v", err)
	}
	if n := b.Count(t, "SELECT count(*) FROM actions"); n != 0 {
		t.Errorf("%d actions on record", n)
	}
}

// Two issuers' locks of one id are two, and only the one that is named is freed.
func TestLocksOfIssuers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.OpenIssuers(t, "ACME-DE", "ACME-FR")
	c, de, fr := b.controller(), "ACME-DE", "ACME-FR"
	for _, issuer := range []string{de, fr} {
		_, err := b.locker(t).Within(issuer).Acquire(t.Context(), "T1", locking.Holder{ID: "job-" + issuer, Worker: "w1"})
		must(t, err)
	}
	var several *report.AmbiguousError
	if _, err := c.Lock(t.Context(), nil, "T1"); !errors.As(err, &several) || strings.Join(several.Issuers, " ") != "ACME-DE ACME-FR" {
		t.Errorf("whose lock it is: %v", err)
	}
	if _, err := b.reporter.Story(t.Context(), nil, "T1", 20); !errors.As(err, &several) {
		t.Errorf("whose story it is: %v", err)
	}
	s, err := b.reporter.Story(t.Context(), []string{fr}, "T1", 20)
	must(t, err)
	if s.Lock == nil || s.Lock.Issuer != fr || s.Lock.JobID != "job-ACME-FR" || codes(s) != "in_work" {
		t.Errorf("the lock %+v, waits %+v", s.Lock, s.Waits)
	}
	seen, err := c.Lock(t.Context(), &de, "T1")
	must(t, err)
	must(t, c.Free(t.Context(), seen, ledger.Actor{Name: "ada"}))
	if left, err := c.Lock(t.Context(), nil, "T1"); err != nil || left.Issuer != fr || left.JobID != "job-ACME-FR" {
		t.Errorf("what is left: %+v, %v", left, err)
	}
	if details := b.Text(t, "SELECT details FROM actions"); details != "of issuer ACME-DE, held by job job-ACME-DE on worker w1" {
		t.Errorf("on record: %s", details)
	}
}

// A job that only Redis has is found with the issuer that its payload names.
func TestFindsWhatOnlyRedisHasOfAnIssuer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.OpenIssuers(t, "ACME-DE")
	b.enqueue(t, "order-18", "", []byte(`{"issuer":"ACME-DE",`+string(payload("T1", "2.55"))[1:]))
	if s := b.story(t, "order-18"); s.Issuer != "ACME-DE" || s.Tasks[0].Issuer != "ACME-DE" || s.Matches[0].Issuer != "ACME-DE" {
		t.Errorf("%+v", s)
	}
	s, err := b.reporter.Story(t.Context(), []string{""}, "order-18", 20)
	must(t, err)
	if s.Known() {
		t.Errorf("that of another issuer: %+v", s)
	}
	b.Queue += "x"
	b.enqueue(t, "order-18", "", payload("T1", "2.55"))
	var several *report.AmbiguousError
	if _, err := b.reporter.Story(t.Context(), nil, "order-18", 20); !errors.As(err, &several) {
		t.Errorf("in two queues, of two issuers: %v", err)
	}
}
