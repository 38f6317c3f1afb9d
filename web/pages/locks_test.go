package pages_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"invoicer/internal/inquiry"
	"invoicer/locking"
)

// The story of a transaction shows who has its lock. Those who may act free the one that they saw, and that is on record.
func TestFreeALock(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	locker, err := locking.New(s.redis, locking.Options{Prefix: inquiry.LockPrefix(s.Text(t, "SELECT id FROM database_identity"))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := locker.Acquire(t.Context(), "T/1", locking.Holder{ID: "job-<1>", Worker: "w1"}); err != nil {
		t.Fatal(err)
	}
	held := func() bool {
		t.Helper()
		_, _, err := locker.Holder(t.Context(), "T/1")
		if err != nil && !errors.Is(err, locking.ErrNotHeld) {
			t.Fatal(err)
		}
		return err == nil
	}
	s.visitor.MayAct = false
	_, page := s.get(t, "/search?q=T/1")
	if !strings.Contains(page, "Job <bdi>job-&lt;1&gt;</bdi> on worker <bdi>w1</bdi> works on this transaction, and has its lock until 20") || strings.Contains(page, `action="/locks"`) {
		t.Errorf("to somebody who may only read:\n%s", page)
	}
	form := url.Values{"transaction": {"T/1"}, "job": {"job-<1>"}, "worker": {"w1"}, "by": {"ada"}, "note": {"its host is gone"}}
	if code, _ := s.post(t, "/locks", form); code != http.StatusForbidden || !held() {
		t.Errorf("somebody who may only read: %d", code)
	}
	s.visitor.MayAct = true
	if _, page := s.get(t, "/search?q=T/1"); !strings.Contains(page, `<input type="hidden" name="job" value="job-&lt;1&gt;">`) {
		t.Errorf("no form:\n%s", page)
	}
	for name, c := range map[string]struct {
		field, value string
		code         int
	}{
		"another's":         {"job", "job-2", http.StatusConflict},
		"another worker's":  {"worker", "w2", http.StatusConflict},
		"nobody's":          {"transaction", "T2", http.StatusConflict},
		"of no transaction": {"transaction", "", http.StatusBadRequest},
		"by nobody":         {"by", "", http.StatusBadRequest},
	} {
		wrong := url.Values{}
		for field, values := range form {
			wrong[field] = values
		}
		wrong.Set(c.field, c.value)
		if code, page := s.post(t, "/locks", wrong); code != c.code || !held() {
			t.Errorf("%s: %d\n%s", name, code, page)
		}
	}
	if n := s.Count(t, "SELECT count(*) FROM actions"); n != 0 {
		t.Errorf("%d actions are on record, and nothing was done", n)
	}
	// Then nothing is known of the transaction.
	if code, page := s.post(t, "/locks", form); code != http.StatusNotFound || held() {
		t.Errorf("freed: %d\n%s", code, page)
	}
	if got := s.Text(t, "SELECT concat_ws('|', action, subject, actor, note, details) FROM actions"); got !=
		"lock free|T/1|ada|its host is gone|held by job job-<1> on worker w1" {
		t.Errorf("on record: %s", got)
	}
	if code, _ := s.post(t, "/locks", form); code != http.StatusConflict {
		t.Errorf("again: %d", code)
	}
}
