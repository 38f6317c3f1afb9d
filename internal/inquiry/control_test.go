package inquiry_test

import (
	"errors"
	"strings"
	"testing"

	"invoicer/internal/inquiry"
	"invoicer/invoice/ledger"
	"invoicer/locking"
)

func (b *site) controller() inquiry.Controller {
	return inquiry.Controller{Record: b.store.Ledger, Redis: b.Redis, DatabaseID: b.store.DatabaseID}
}

func TestFreeALock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, ada := b.controller(), ledger.Actor{Name: "ada", Note: "its host is gone"}
	if _, err := c.Lock(t.Context(), "T1"); !errors.Is(err, locking.ErrNotHeld) {
		t.Errorf("a lock that nobody has: %v", err)
	}
	lock, err := b.locker(t).Acquire(t.Context(), "T1", locking.Holder{ID: "job-1", Worker: "w1"})
	must(t, err)
	seen, err := c.Lock(t.Context(), "T1")
	must(t, err)
	if seen.JobID != "job-1" || seen.Worker != "w1" || !seen.Expires {
		t.Errorf("%+v", seen)
	}
	other := seen
	other.JobID = "job-0"
	if err := c.Free(t.Context(), other, ada); !errors.Is(err, locking.ErrNotHeld) {
		t.Errorf("another holder's lock: %v", err)
	}
	if _, err := c.Lock(t.Context(), "T1"); err != nil {
		t.Errorf("the lock is gone: %v", err)
	}
	must(t, c.Free(t.Context(), seen, ada))
	if err := lock.Release(t.Context()); !errors.Is(err, locking.ErrLost) {
		t.Errorf("its holder learns %v, want ErrLost", err)
	}
	must(t, b.Redis.Set(t.Context(), inquiry.LockPrefix(b.databaseID)+"lock:{T1}", "by hand", 0).Err())
	if seen, err = c.Lock(t.Context(), "T1"); err != nil || seen.JobID != "" || seen.Expires {
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
