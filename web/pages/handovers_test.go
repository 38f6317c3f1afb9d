package pages_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"invoicer/invoice/handover"
)

// channels has invoices be handed over through channels from now on.
func (s *site) channels(t *testing.T, rules ...handover.Rule) {
	t.Helper()
	if err := s.store.Handovers.Configure(t.Context(), rules); err != nil {
		t.Fatal(err)
	}
}

// handOver makes 60 invoices, of which the authority has rejected the first and can't be reached with the next, and returns the first one's number.
// The newest is of the transaction I60.
func (s *site) handOver(t *testing.T) string {
	t.Helper()
	s.channels(t, handover.Rule{Name: "authority", Kind: "https"})
	number := s.invoiced(t, "I1")
	for i := range 59 {
		s.invoiced(t, fmt.Sprint("I", i+2))
	}
	for _, r := range []handover.Result{
		{State: handover.Rejected, TheirID: "GW-1", Answer: "no such buyer: Ada Lovelace", Answered: true},
		{State: handover.Queued, Err: "it answered: Ada Lovelace isn't known <here>", Again: time.Hour},
	} {
		c, found, err := s.store.Handovers.Claim(t.Context(), "authority", time.Minute)
		if err != nil || !found {
			t.Fatal(found, err)
		}
		if err := s.store.Handovers.Settle(t.Context(), &c, r); err != nil {
			t.Fatal(err)
		}
	}
	return number
}

// Hand-overs are listed, filtered, and lead to their transactions and to older ones. What the other side said in words isn't shown.
func TestHandoversAreListed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if _, page := s.get(t, "/handovers"); !strings.Contains(page, "Nothing is handed over") {
		t.Errorf("without any channel:\n%s", page)
	}
	number := s.handOver(t)
	_, page := s.get(t, "/handovers")
	first := links(page, "I")
	older := links(page, "Older ones")
	if len(older) != 1 || len(first) != 50+1 || !slices.Contains(first, "/search?q=I60") || strings.Contains(page, "Issuer") { // with Invoices
		t.Fatalf("the first page has %q, and leads to %q:\n%s", first, older, page)
	}
	_, page = s.get(t, older[0])
	if !strings.Contains(page, `<td><bdi>`+number+`</bdi></td><td><a href="/search?q=I1"><bdi>I1</bdi></a></td><td class="word">authority</td><td class="word">rejected</td>`) ||
		!strings.Contains(page, ">queued, failing</td>") || len(links(page, "Older ones")) != 0 || strings.Contains(page, "Lovelace") {
		t.Errorf("the second page:\n%s", page)
	}
	s.Exec(t, "UPDATE handovers SET in_hand = true, due_at = now() + interval '1 minute' WHERE state = 'queued' AND error IS NOT NULL")
	if _, page = s.get(t, older[0]); !strings.Contains(page, ">queued, failing, in hand</td>") {
		t.Errorf("what a worker is handing over:\n%s", page)
	}
	for path, want := range map[string]string{
		"/handovers?state=rejected":                   "<bdi>GW-1</bdi>",
		"/handovers?state=rejected&channel=authority": "<option selected>authority</option>",
		"/handovers?state=sent":                       "<p>Nothing matches.</p>",
		"/handovers?channel=gone":                     "<option selected>gone</option>",
		"/handovers?since=1h&state=rejected":          "<option selected>rejected</option>",
		"/handovers?since=2999-01-01T00:00:00Z":       "<p>Nothing matches.</p>",
		"/handovers?state=queued&channel=authority":   "Older ones",
	} {
		if code, page := s.get(t, path); code != http.StatusOK || !strings.Contains(page, want) {
			t.Errorf("%s: %d without %s:\n%s", path, code, want, page)
		}
	}
	for _, query := range []string{"after=x", "after=o1_1", "after=%ff", "since=never", "state=x", "channel=%00", "issuer=acme"} {
		if code, _ := s.get(t, "/handovers?"+query); code != http.StatusBadRequest {
			t.Errorf("%s: status %d", query, code)
		}
	}
}
