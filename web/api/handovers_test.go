package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"invoicer/invoice/handover"
	"invoicer/web/api"
)

// channels has invoices be handed over from now on: all to an authority, and those of ACME-FR to an archive, too.
func (s *site) channels(t *testing.T) {
	t.Helper()
	if err := s.store.Handovers.Configure(t.Context(), []handover.Rule{
		{Name: "authority", Kind: "https", AwaitClearance: true}, {Name: "archive", Kind: "program", Issuers: []string{"ACME-FR"}},
	}); err != nil {
		t.Fatal(err)
	}
}

// handedOver has the next attempt of a channel come to a result.
func (s *site) handedOver(t *testing.T, channel string, r handover.Result) {
	t.Helper()
	c, found, err := s.store.Handovers.Claim(t.Context(), channel, time.Minute)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	r.Answered = r.Err == ""
	if err := s.store.Handovers.Settle(t.Context(), &c, r); err != nil {
		t.Fatal(err)
	}
}

// handovers lists hand-overs page by page, each as number, channel and state.
func (s *site) handovers(t *testing.T, token, query string) string {
	t.Helper()
	var all []string
	for after := ""; ; {
		page := into[api.HandoverPage](t, s.ask(t, token, http.MethodGet, "/v1/handovers?"+query+"&after="+after, nil), http.StatusOK)
		for _, h := range page.Handovers {
			all = append(all, strings.TrimPrefix(h.InvoiceNumber, "INV-00000")+" "+h.Channel+" "+h.State)
		}
		if page.Next == "" || page.Next == after {
			return strings.Join(all, ", ")
		}
		after = page.Next
	}
}

func TestHandovers(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.OpenIssuers(t, "ACME-FR")
	s.channels(t)
	s.invoiced(t, "T1")
	s.invoiced(t, "T2")
	s.invoiced(t, "T3", `"issuer":"ACME-FR"`)
	s.handedOver(t, "authority", handover.Result{State: handover.Rejected, TheirID: "GW-1", Answer: "no such buyer: HOLDER"})
	for query, want := range map[string]string{
		"":                            "1 authority queued, 1 archive queued, 2 authority queued, 1 authority rejected",
		"limit=1":                     "1 authority queued, 1 archive queued, 2 authority queued, 1 authority rejected",
		"order=oldest&limit=1":        "1 authority rejected, 2 authority queued, 1 archive queued, 1 authority queued",
		"order=oldest&limit=3":        "1 authority rejected, 2 authority queued, 1 archive queued, 1 authority queued",
		"state=rejected":              "1 authority rejected",
		"state=queued&limit=2":        "1 authority queued, 1 archive queued, 2 authority queued",
		"channel=archive":             "1 archive queued",
		"issuer=none":                 "2 authority queued, 1 authority rejected",
		"issuer=ACME-FR":              "1 authority queued, 1 archive queued",
		"invoice_number=INV-000002":   "2 authority queued",
		"since=2999-01-01T00:00:00Z":  "",
		"state=sent&order=oldest":     "",
		"channel=%00&order=oldest":    "",
		"invoice_number=x&state=sent": "",
	} {
		if got := s.handovers(t, "reader", query); !slices.Equal(sorted(got), sorted(want)) {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
	if got := s.handovers(t, "reader", "limit=1"); !strings.HasSuffix(got, ", 2 authority queued, 1 authority rejected") {
		t.Errorf("newest first: %s", got)
	}
	if got := s.handovers(t, "reader", "limit=1&order=oldest"); !strings.HasPrefix(got, "1 authority rejected, 2 authority queued, ") {
		t.Errorf("oldest first: %s", got)
	}
	into[api.ProblemError](t, s.ask(t, "reader", http.MethodGet, "/v1/handovers?after=o1_1", nil), http.StatusUnprocessableEntity) // of the other order

	// What was said is for those who may see personal data, and their looking goes on record.
	first := s.ask(t, "reader", http.MethodGet, "/v1/handovers/1", nil)
	story := into[api.HandoverStory](t, first, http.StatusOK)
	if story.InvoiceNumber != "INV-000001" || story.TransactionID != "T1" || story.State != "rejected" || story.TheirID != "GW-1" || story.Words != nil || len(story.History) != 2 ||
		story.History[1].State != "rejected" || strings.Contains(string(first.body), "HOLDER") {
		t.Errorf("%s", first)
	}
	into[api.ProblemError](t, s.ask(t, "reader", http.MethodGet, "/v1/handovers/1?words=true", nil), http.StatusForbidden)
	into[api.ProblemError](t, s.ask(t, "local", http.MethodGet, "/v1/handovers/1?words=true", nil), http.StatusUnprocessableEntity)
	if n := s.Count(t, "SELECT count(*) FROM actions"); n != 0 {
		t.Errorf("%d on record", n)
	}
	words := into[api.HandoverStory](t, s.ask(t, "operator", http.MethodGet, "/v1/handovers/1?words=true", nil), http.StatusOK)
	if words.Words == nil || words.Words.Answer != "no such buyer: HOLDER" || words.History[1].Answer != words.Words.Answer {
		t.Errorf("%+v", words)
	}
	if got := s.Text(t, "SELECT concat_ws(', ', action, subject, actor) FROM actions"); got != "see personal data, INV-000001, operator" {
		t.Error(got)
	}
}

func sorted(list string) []string {
	all := strings.Split(list, ", ")
	slices.Sort(all)
	return all
}

// Whoever names another address may see the document, and names one that letters can be sent to.
func TestHandoversToAnotherAddress(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if err := s.store.Handovers.Configure(t.Context(), []handover.Rule{{Name: "mail", Kind: "email"}}); err != nil {
		t.Fatal(err)
	}
	s.invoiced(t, "T1")
	hidden := serve(t, s.Rig, func(o *api.Options) { o.PersonalData = "" })
	to := func(s *site, address string) reply {
		return s.ask(t, "operator", http.MethodPost, "/v1/handovers/1/resend", []byte(`{"to":"`+address+`"}`))
	}
	into[api.ProblemError](t, to(hidden, "ap@buyer.example"), http.StatusForbidden)
	if p := into[api.ProblemError](t, to(s, "no address"), http.StatusUnprocessableEntity); len(p.Errors) != 1 || p.Errors[0].Pointer != "/to" {
		t.Errorf("%+v", p)
	}
	if n := s.Count(t, "SELECT count(*) FROM handovers WHERE address = '' AND state = 'queued'"); n != 1 {
		t.Errorf("%s", s.Text(t, "SELECT address FROM handovers"))
	}
	into[api.Handover](t, to(s, "ap@buyer.example"), http.StatusOK)
	if got := s.Text(t, "SELECT address FROM handovers"); got != "ap@buyer.example" {
		t.Error(got)
	}
}

func TestHandoversAreDecided(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.channels(t)
	s.invoiced(t, "T1")
	decide := func(verb, body string) reply {
		return s.ask(t, "operator", http.MethodPost, "/v1/handovers/1/"+verb, []byte(body))
	}
	s.handedOver(t, "authority", handover.Result{State: handover.Rejected, Answer: "no such buyer"})
	before := into[api.HandoverStory](t, s.ask(t, "reader", http.MethodGet, "/v1/handovers/1", nil), http.StatusOK)
	if again := into[api.Handover](t, decide("resend", `{"note":"mended","to":"ap@buyer.example"}`), http.StatusOK); again.State != "queued" || again.Key == before.Key || again.DueAt == nil {
		t.Errorf("%+v", again)
	}
	if p := into[api.ProblemError](t, decide("resend", ""), http.StatusConflict); p.State != "queued" || p.Detail != "the hand-over is queued: it is sent anyway" {
		t.Errorf("%+v", p)
	}
	if now := into[api.Handover](t, decide("answer", `{"state":"cleared","id":"C-7","text":"by telephone"}`), http.StatusOK); now.State != "cleared" || now.Clearance != "C-7" || now.AnsweredAt == nil {
		t.Errorf("%+v", now)
	}
	into[api.ProblemError](t, decide("cancel", "{}"), http.StatusConflict)
	into[api.Handover](t, decide("answer", `{"state":"rejected","id":"GW-9"}`), http.StatusOK)
	into[api.Handover](t, decide("cancel", `{"note":"by post"}`), http.StatusOK)
	const want = "queued - -, rejected - -, queued operator mended, cleared operator -, rejected operator -, cancelled operator by post"
	if got := s.Text(t, "SELECT string_agg(concat_ws(' ', state, coalesce(changed_by, '-'), coalesce(reason, '-')), ', ' ORDER BY id) FROM handover_log"); got != want {
		t.Error(got)
	}
	if got := s.Text(t, "SELECT concat_ws(' ', address, their_id, answer) FROM handovers"); got != "ap@buyer.example GW-9 by telephone" {
		t.Error(got)
	}
	for body, pointers := range map[string]string{
		`{"state":"cleared"}`:                "/id",
		`{"state":"sent"}`:                   "/state",
		`{}`:                                 "/state",
		`{"state":"rejected","id":"\u0000"}`: "/id",
		`{"state":"cleared","by":"eve","text":"\u0000"}`:      "/by /id /text",
		`{"state":"accepted","note":"\u0000"}`:                "/note",
		`{"state":"accepted","id":"` + umlauts(101) + `"}`:    "/id",
		`{"state":"accepted","text":"` + umlauts(2001) + `"}`: "/text",
	} {
		p := into[api.ProblemError](t, decide("answer", body), http.StatusUnprocessableEntity)
		var got []string
		for _, f := range p.Errors {
			got = append(got, f.Pointer)
		}
		if slices.Sort(got); strings.Join(got, " ") != pointers && (body != "{}" || len(got) != 1) {
			t.Errorf("%.80s: %v, want %s", body, got, pointers)
		}
	}
	into[api.ProblemError](t, decide("resend", fmt.Sprintf(`{"to":"%s"}`, umlauts(161))), http.StatusUnprocessableEntity)
	into[api.ProblemError](t, s.ask(t, "local", http.MethodPost, "/v1/handovers/1/resend", []byte("{}")), http.StatusUnprocessableEntity)
	into[api.Handover](t, s.ask(t, "local", http.MethodPost, "/v1/handovers/1/resend", []byte(`{"by":"ada"}`)), http.StatusOK)
}

// What a worker is handing over can't be called back: who wants that is told when to try again.
func TestHandoversInHand(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.channels(t)
	s.invoiced(t, "T1")
	c, found, err := s.store.Handovers.Claim(t.Context(), "authority", time.Minute)
	if !found || err != nil {
		t.Fatal(found, err)
	}
	path := fmt.Sprintf("/v1/handovers/%d", c.ID)
	if now := into[api.HandoverStory](t, s.ask(t, "reader", http.MethodGet, path, nil), http.StatusOK); !now.InHand {
		t.Errorf("%+v", now)
	}
	for verb, body := range map[string]string{"resend": "{}", "cancel": "{}", "answer": `{"state":"rejected"}`} {
		r := s.ask(t, "operator", http.MethodPost, path+"/"+verb, []byte(body))
		after, err := strconv.Atoi(r.Header.Get("Retry-After"))
		if p := into[api.ProblemError](t, r, http.StatusConflict); p.State != "queued" || !strings.Contains(p.Detail, "a worker is handing it over") || err != nil || after < 1 || after > 61 {
			t.Errorf("%s: %+v, Retry-After %d, %v", verb, p, after, err)
		}
	}
	into[api.Handover](t, s.ask(t, "operator", http.MethodPost, path+"/answer", []byte(`{"state":"accepted"}`)), http.StatusOK)
}

// umlauts have two bytes each.
func umlauts(n int) string { return strings.Repeat("ü", n) }

// A credit note that waits for a clearance says so, and goes without it when it is told to.
func TestHandoversThatWait(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.channels(t)
	s.invoiced(t, "T1")
	s.work(t, into[api.JobAnswer](t, s.post(t, "all", []byte(strings.Replace(string(jobOf("C1", `"credits_transaction_id":"T1"`)), `"quantity":6`, `"quantity":-6`, 1))), http.StatusAccepted).JobID)
	s.handedOver(t, "authority", handover.Result{State: handover.Rejected})
	waits := into[api.HandoverStory](t, s.ask(t, "reader", http.MethodGet, "/v1/handovers/2", nil), http.StatusOK)
	if waits.Kind != "credit_note" || waits.WaitsFor != "INV-000001" || !waits.Blocked || waits.DueAt != nil {
		t.Errorf("%+v", waits)
	}
	resend := func(body string) reply {
		return s.ask(t, "operator", http.MethodPost, "/v1/handovers/2/resend", []byte(body))
	}
	if p := into[api.ProblemError](t, resend("{}"), http.StatusConflict); p.Detail != "the hand-over is queued: it waits for the clearance of INV-000001" {
		t.Errorf("%+v", p)
	}
	if now := into[api.Handover](t, resend(`{"anyway":true}`), http.StatusOK); now.WaitsFor != "" || now.DueAt == nil {
		t.Errorf("%+v", now)
	}
}

// Who is limited to issuers sees their hand-overs alone, and decides about no others.
func TestHandoversOfOtherIssuers(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.OpenIssuers(t, "ACME-FR", "ACME-DE")
	s.channels(t)
	s.invoiced(t, "T1", `"issuer":"ACME-DE"`)
	s.invoiced(t, "T1", `"issuer":"ACME-FR"`)
	if got := s.handovers(t, "paris", ""); !slices.Equal(sorted(got), []string{"1 archive queued", "1 authority queued"}) {
		t.Error(got)
	}
	into[api.ProblemError](t, s.ask(t, "paris", http.MethodGet, "/v1/handovers?issuer=ACME-DE", nil), http.StatusForbidden)
	into[api.ProblemError](t, s.ask(t, "paris", http.MethodGet, "/v1/handovers/1", nil), http.StatusNotFound)
	for verb, body := range map[string]string{"resend": "{}", "answer": `{"state":"accepted"}`, "cancel": "{}"} {
		into[api.ProblemError](t, s.ask(t, "paris", http.MethodPost, "/v1/handovers/1/"+verb, []byte(body)), http.StatusNotFound)
	}
	if got := s.Text(t, "SELECT state FROM handovers WHERE id = 1"); got != "queued" {
		t.Error(got)
	}
	into[api.Handover](t, s.ask(t, "paris", http.MethodPost, "/v1/handovers/2/cancel", []byte("{}")), http.StatusOK)
}
