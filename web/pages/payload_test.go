package pages_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"invoicer/invoice/ledger"
)

// A job as it was asked for is shown to those who may see personal data, to nobody else, and never without a name on record.
func TestPayloadIsShownOnRecord(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fail(t, "j1", func(e *ledger.End) {
		e.Payload = []byte(`{"customer_name":"Ada <b>Lovelace</b>` + "\u202e" + `","lines":[]}`)
	})
	s.fail(t, "j2", func(e *ledger.End) { e.Payload = []byte("no JSON") })
	form := url.Values{"job": {"j1"}, "by": {"bob"}, "note": {"asked by the customer"}}
	if _, page := s.get(t, "/search?q=j1"); strings.Contains(page, "/payload") || strings.Contains(page, "Lovelace") {
		t.Errorf("shown to everybody:\n%s", page)
	}
	if code, page := s.post(t, "/payload", form); code != http.StatusForbidden || strings.Contains(page, "Lovelace") {
		t.Errorf("for somebody who may not: %d\n%s", code, page)
	}
	s.visitor.MaySeePersonalData = true
	if _, page := s.get(t, "/search?q=j1"); !strings.Contains(page, "/payload") || strings.Contains(page, "Lovelace") {
		t.Errorf("without a form, or at once:\n%s", page)
	}
	for name, c := range map[string]struct {
		form url.Values
		code int
	}{
		"nobody":      {url.Values{"job": {"j1"}}, http.StatusBadRequest},
		"no job":      {url.Values{"by": {"bob"}}, http.StatusBadRequest},
		"unknown job": {url.Values{"job": {"j9"}, "by": {"bob"}}, http.StatusNotFound},
		"long note":   {url.Values{"job": {"j1"}, "by": {"bob"}, "note": {strings.Repeat("x", 1001)}}, http.StatusBadRequest},
	} {
		if code, page := s.post(t, "/payload", c.form); code != c.code || strings.Contains(page, "Lovelace") {
			t.Errorf("%s: %d\n%s", name, code, page)
		}
	}
	if n := s.Count(t, "SELECT count(*) FROM actions"); n != 0 {
		t.Errorf("%d looks are on record", n)
	}
	code, page := s.post(t, "/payload", form)
	if code != http.StatusOK || !strings.Contains(page, "&#34;Ada &lt;b&gt;Lovelace&lt;/b&gt; &#34;,\n") {
		t.Errorf("%d\n%s", code, page)
	}
	form.Set("job", "j2")
	if code, page := s.post(t, "/payload", form); code != http.StatusOK || !strings.Contains(page, "no JSON") {
		t.Errorf("a payload that isn't JSON: %d\n%s", code, page)
	}
	if got := s.Text(t, "SELECT string_agg(concat_ws('|', action, subject, actor, note), ' ' ORDER BY id) FROM actions"); got != "see personal data|j1|bob|asked by the customer see personal data|j2|bob|asked by the customer" {
		t.Errorf("on record: %s", got)
	}
	if _, page := s.get(t, "/actions"); !strings.Contains(page, "see personal data") {
		t.Errorf("not under Actions:\n%s", page)
	}
}
