package main

import (
	"net/http"
	"strings"
	"testing"

	"invoicer/internal/openidtest"
	"invoicer/internal/sandbox/browsertest"
)

// Somebody on call, at a desk and with a phone: without a token nothing opens. Signed in, one finds the producer of the last hour's
// duplicates, why a job isn't an invoice, and an archived task by its job's id. Signed out, nothing opens.
func TestHeavyOnCallInABrowser(t *testing.T) {
	t.Parallel()
	b := browsertest.Start(t)
	s := sharedSite(t).beyondLoopback(t, "INVOICER_HTTP_INSECURE=true", "INVOICER_WORKER_MAX_RETRY=0")
	token := s.token(t, "--role", "read", "--name", "ada")
	w := s.start(t, "worker")
	url := w.pages(t)
	awaitCode(t, http.StatusOK, url+"/", bearer(token))
	asked := func(times, ends int, jobs string) {
		for range times {
			if code, _, stderr := s.run(t, jobs, "enqueue", "-", "--queue", s.queue, "--durable"); code != exitOK {
				t.Fatal(stderr)
			}
		}
		s.awaitEnds(t, ends)
	}
	shop := strings.Replace(oneJob, `{"`, `{"producer":"night-shift","`, 1)
	asked(3, 3, shop) // two duplicates
	asked(1, 4, strings.Replace(shop, `"2.55"`, `"3.55"`, 1))
	conflict := s.Text(t, "SELECT job_id FROM invoice_jobs WHERE outcome = 'conflict'")
	s.awaitArchived(t, 1)
	s.must(t, "queue", "pause", s.queue)
	asked(1, 4, strings.Replace(shop, "X1", "X2", 1))

	devices := 0
	for device, size := range browsertest.Sizes() {
		devices++
		p := browsertest.Open(t, b, url+"/races", size[0], size[1])
		p.MustElementR("button", "Sign in")
		browsertest.CheckAccessible(t, p, device+" sign-in")
		p.MustElement("#token").MustInput("not-a-token-of-anybody-here")
		p.MustElementR("button", "Sign in").MustClick()
		p.MustElement("[role=alert]")
		p.MustElement("#token").MustInput(token)
		p.MustElementR("button", "Sign in").MustClick()
		p.MustElementR("td", "night-shift") // where it was going
		p.MustElement("#q").MustInput("X2")
		p.MustElementR("button", "Search").MustClick()
		p.MustElementR("h2", "Why it isn’t at its end")
		if devices == len(browsertest.Sizes()) {
			s.must(t, "queue", "resume", s.queue)
			p.MustElementR("h2", "Invoice") // it is live
		}
		p.MustNavigate(url + "/monitor/queues/" + s.queue + "/tasks/" + conflict)
		p.MustElementR("body", "conflict: transaction_id X1 is invoiced as")
		p.MustNavigate(url + "/")
		p.MustElementR("button", "Sign out").MustClick()
		p.MustElementR("button", "Sign in")
		p.MustNavigate(url + "/failed")
		p.MustElementR("button", "Sign in")
		p.MustClose()
	}
}

// People sign in with an OpenID provider by one click, on another site and back, and are told if they have no role.
func TestHeavySignInWithAnOpenIDProviderInABrowser(t *testing.T) {
	t.Parallel()
	b := browsertest.Start(t)
	provider := openidtest.New(t)
	s, base := sharedSite(t).withProvider(t, provider)
	w := s.start(t, "serve")
	w.awaitReadyz(t, http.StatusOK)
	signsIn(t, base, "/") // returns once the provider is discovered
	for device, size := range browsertest.Sizes() {
		provider.As("eve", "guests")
		p := browsertest.Open(t, b, base+"/races", size[0], size[1])
		browsertest.CheckAccessible(t, p, device+" sign-in")
		p.MustElementR("a", "Sign in at").MustClick()
		p.MustElementR("[role=alert]", "give you no role here")
		browsertest.CheckAccessible(t, p, device+" without a role")
		provider.As("bob", "ops")
		p.MustElementR("a", "Sign in at").MustClick()
		p.MustElementR("h1", "Producers and races") // where it was going
		p.MustElementR("header", `bob \(oidc\)`)
		p.MustElementR("button", "Sign out").MustClick()
		p.MustElementR("[role=status]", "You are signed out of invoicer, but not of")
		browsertest.CheckAccessible(t, p, device+" signed out")
		p.MustNavigate(base + "/failed")
		p.MustElementR("a", "Sign in at")
		p.MustClose()
	}
}
