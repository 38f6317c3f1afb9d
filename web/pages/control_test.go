package pages_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"

	"invoicer/internal/rig"
	"invoicer/invoice/postgres"
	"invoicer/worker/client"
	"invoicer/worker/queue"
)

// own has an installation claim a queue of a name of its own.
func (s *site) own(t *testing.T, d *rig.Database, store *postgres.DB) (name string) {
	t.Helper()
	name = "q-" + uuid.NewString()
	k, err := queue.NewKeeper(s.redis, store, queue.Options{
		Installation: queue.Installation{ID: d.Text(t, "SELECT id FROM database_identity"), Database: "elsewhere", Schema: "books"}, Worker: "w1", Queues: []string{name},
	})
	if err == nil {
		err = k.Claim(t.Context())
	}
	if err == nil {
		_, err = asynq.NewClientFromRedisClient(s.redis).EnqueueContext(t.Context(), asynq.NewTask(client.TaskType, nil), asynq.Queue(name))
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// A queue of this installation is paused and resumed by those who may act, and that is on record.
func TestPauseAQueue(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	another := rig.NewDatabase(t)
	store, err := postgres.Open(postgres.Options{URL: another.URL, Schema: another.Schema})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	ours, theirs := s.own(t, s.Database, s.store), s.own(t, another, store)
	paused := func(name string) bool {
		t.Helper()
		since, _, err := queue.KeysOf(name).PausedSince(t.Context(), s.redis)
		if err != nil {
			t.Fatal(err)
		}
		return since
	}
	form := func(name, do string) url.Values {
		return url.Values{"queue": {name}, "do": {do}, "by": {"ada"}, "note": {"the rates are wrong"}}
	}
	if _, page := s.get(t, "/queues"); !strings.Contains(page, `<option value="`+ours) || strings.Contains(page, `<option value="`+theirs) {
		t.Errorf("the form has other queues:\n%s", page)
	}
	for name, c := range map[string]struct {
		form url.Values
		code int
	}{
		"another's":    {form(theirs, "pause"), http.StatusNotFound},
		"nobody's":     {form("nobodys", "pause"), http.StatusNotFound},
		"something":    {form(ours, "delete"), http.StatusBadRequest},
		"without name": {url.Values{"queue": {ours}, "do": {"pause"}}, http.StatusBadRequest},
	} {
		if code, page := s.post(t, "/queues", c.form); code != c.code {
			t.Errorf("%s: %d\n%s", name, code, page)
		}
	}
	s.visitor.MayAct = false
	if code, _ := s.post(t, "/queues", form(ours, "pause")); code != http.StatusForbidden || paused(ours) {
		t.Errorf("somebody who may only read: %d", code)
	}
	if _, page := s.get(t, "/queues"); strings.Contains(page, "<option") {
		t.Error("the form is shown to somebody who may only read")
	}
	s.visitor.MayAct = true
	if code, page := s.post(t, "/queues", form(ours, "pause")); code != http.StatusOK || !paused(ours) || !strings.Contains(page, "<td>paused</td>") {
		t.Errorf("pause: %d\n%s", code, page)
	}
	if code, page := s.post(t, "/queues", form(ours, "resume")); code != http.StatusOK || paused(ours) {
		t.Errorf("resume: %d\n%s", code, page)
	}
	if got := s.Text(t, "SELECT string_agg(concat_ws('|', action, subject, actor, note), ' ' ORDER BY id) FROM actions"); got !=
		"queue pause|"+ours+"|ada|the rates are wrong queue resume|"+ours+"|ada|the rates are wrong" {
		t.Errorf("on record: %s", got)
	}
}
