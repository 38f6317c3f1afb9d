package events_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"invoicer/events"
	"invoicer/internal/rig"
	"invoicer/invoice/ledger"
	"invoicer/invoice/outbox"
)

func TestEventsAreSigned(t *testing.T) {
	t.Parallel()
	b, r := setup(t), receive(t, taken)
	secret := b.add(t, "erp", r.URL+"/hook")
	b.tell(t, outbox.InvoiceCreated, "T1", 1)
	b.deliver(t)
	b.awaitState(t, "erp", "delivered 1 204")
	one := r.all()[0]
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := webhook.Verify(one.body, one.headers); err != nil {
		t.Error(err)
	}
	if err := webhook.Verify(append(one.body, ' '), one.headers); err == nil {
		t.Error("a body that was changed is taken for signed")
	}
	if id := b.Text(t, "SELECT event_id::text FROM events"); one.headers.Get("webhook-id") != id || one.Type != outbox.InvoiceCreated || one.Data["transaction_id"] != "T1" {
		t.Errorf("event %s was posted as %s: %s", id, one.headers.Get("webhook-id"), one.body)
	}
	if at := b.Text(t, "SELECT event_time(created_at) FROM events"); one.Timestamp.Format("2006-01-02T15:04:05.000000Z") != at {
		t.Errorf("it happened at %s, and %v is posted", at, one.Timestamp)
	}
	if agent := one.headers.Get("User-Agent"); agent != "invoicer/v1" {
		t.Errorf("User-Agent %s", agent)
	}

	// While a secret is replaced, receivers may verify by either.
	newer := events.NewSecret()
	if err := b.store.Outbox.Change(t.Context(), "erp", outbox.RotateSecret, newer, ledger.Actor{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	rig.Await(t, func() error { // as soon as the deliverer has read it
		b.tell(t, outbox.InvoiceCreated, "T2", 2)
		before := len(r.all())
		rig.Eventually(t, "the next event", func() bool { return len(r.all()) > before })
		last := r.all()[len(r.all())-1]
		for _, s := range []string{secret, newer} {
			webhook, err := standardwebhooks.NewWebhook(s)
			if err != nil {
				t.Fatal(err)
			}
			if err := webhook.Verify(last.body, last.headers); err != nil {
				return err
			}
		}
		return nil
	})
	if history := b.Text(t, "SELECT string_agg(action || ' ' || subject || ' ' || actor, ', ' ORDER BY id) FROM actions"); history != "endpoint add erp ada, endpoint rotate erp ada" {
		t.Error(history)
	}
}

func TestAttemptsAreRepeated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		answer  int
		refused string
	}{
		{"an error", http.StatusInternalServerError, "pending 1 500: it answered 500 Internal Server Error"},
		{"a redirect", http.StatusFound, "pending 1 302: it answered 302: redirects aren't followed"},
		{"nothing", 0, "pending 1: EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			r := receive(t, func(n int, _ *http.Request) int {
				if n == 1 {
					return c.answer
				}
				return http.StatusOK
			})
			b.add(t, "erp", r.URL)
			b.tell(t, outbox.JobFailed, "T1", 1)
			b.deliver(t)
			b.awaitState(t, "erp", c.refused)
			if wait := b.Text(t, "SELECT (extract(epoch FROM due_at - now()) BETWEEN 0 AND 6.1)::text FROM event_deliveries"); wait != "true" {
				t.Error("the next attempt isn't within 6 s")
			}
			b.hurry(t)
			b.awaitState(t, "erp", "delivered 2 200")
			all := r.all()
			if len(all) != 2 || all[0].headers.Get("webhook-id") != all[1].headers.Get("webhook-id") || string(all[0].body) != string(all[1].body) {
				t.Errorf("%d were posted: %v", len(all), all)
			}
		})
	}
}

// An endpoint is told of a transaction in order, and one that doesn't answer holds up no other one.
func TestInOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	release := make(chan struct{})
	var failed sync.Map
	slow := receive(t, func(int, *http.Request) int { <-release; return http.StatusOK })
	flaky := receive(t, func(int, *http.Request) int { return http.StatusOK })
	flaky.answer = func(n int, _ *http.Request) int {
		one := flaky.all()[n-1]
		if _, before := failed.LoadOrStore(fmt.Sprint(one.Data["n"]), true); !before && int(one.Data["n"].(float64))%3 == 0 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	}
	b.add(t, "slow", slow.URL)
	b.add(t, "flaky", flaky.URL)
	for n := range 60 {
		b.tell(t, outbox.InvoiceCreated, fmt.Sprint("T", n%5), n)
	}
	b.deliver(t)
	b.deliver(t) // two processes
	t.Cleanup(func() { close(release) })
	rig.Await(t, func() error {
		b.Exec(t, "UPDATE event_deliveries d SET due_at = now() FROM event_endpoints e WHERE e.id = endpoint_id AND name = 'flaky' AND d.state = 'pending' AND error IS NOT NULL")
		if left := b.Count(t, "SELECT count(*) FROM event_deliveries d JOIN event_endpoints e ON e.id = endpoint_id WHERE name = 'flaky' AND d.state <> 'delivered'"); left > 0 {
			return fmt.Errorf("%d are left", left)
		}
		return nil
	})
	last := make(map[string]float64)
	for _, one := range flaky.all() {
		transaction, n := one.Data["transaction_id"].(string), one.Data["n"].(float64)
		if n < last[transaction] {
			t.Errorf("%s: %v came after %v", transaction, n, last[transaction])
		}
		last[transaction] = n
	}
	if len(slow.all()) == 0 || b.Count(t, "SELECT count(*) FROM event_deliveries d JOIN event_endpoints e ON e.id = endpoint_id WHERE name = 'slow' AND d.state = 'delivered'") > 0 {
		t.Errorf("the slow one was told %d times", len(slow.all()))
	}
}

func TestEndpointsThatAreDisabled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gone := receive(t, func(int, *http.Request) int { return http.StatusGone })
	failing := receive(t, func(int, *http.Request) int { return http.StatusBadGateway })
	watching := receive(t, taken)
	b.add(t, "gone", gone.URL, outbox.InvoiceCreated)
	b.add(t, "failing", failing.URL, outbox.InvoiceCreated)
	b.add(t, "watching", watching.URL, outbox.EndpointDisabled)
	b.tell(t, outbox.InvoiceCreated, "T1", 1)
	b.deliver(t)
	b.awaitState(t, "failing", "pending 1 502: it answered 502 Bad Gateway")
	if b.Is(t, "SELECT state <> 'enabled' OR failing_since IS NULL FROM event_endpoints WHERE name = 'failing'") {
		t.Error("it is disabled already, or isn't known to fail")
	}
	b.Exec(t, "UPDATE event_endpoints SET failing_since = now() - interval '24 hours' WHERE name = 'failing'")
	b.hurry(t)
	rig.Await(t, func() error {
		got := make(map[any]bool)
		for _, one := range watching.all() {
			got[fmt.Sprintf("%s %s %v", one.Type, one.Data["endpoint"], strings.HasPrefix(one.Data["reason"].(string), "it has taken nothing since 2"))] = true
		}
		if !got["endpoint.disabled gone false"] || !got["endpoint.disabled failing true"] || len(got) != 2 {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	// What comes meanwhile waits, until somebody enables it.
	b.tell(t, outbox.InvoiceCreated, "T2", 2)
	failing.answer = taken
	if err := b.store.Outbox.Change(t.Context(), "failing", outbox.EnableEndpoint, "", ledger.Actor{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	b.hurry(t)
	b.awaitState(t, "failing", "delivered 3 204, delivered 1 204")
	if !b.Is(t, "SELECT failing_since IS NULL AND state = 'enabled' AND reason IS NULL FROM event_endpoints WHERE name = 'failing'") {
		t.Error("it takes what it is told, and isn't known to")
	}
	if told := len(gone.all()); told != 1 {
		t.Errorf("the one that is gone was told %d times", told)
	}
}

func TestEventsAreGivenUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, func(int, *http.Request) int { return http.StatusNotFound })
	b.add(t, "erp", r.URL)
	b.tell(t, outbox.InvoiceCreated, "T1", 1)
	b.tell(t, outbox.InvoiceCreated, "T1", 2)
	b.Exec(t, "UPDATE event_deliveries SET since = now() - interval '3 days' WHERE event_id = (SELECT min(id) FROM events)")
	b.Exec(t, "UPDATE event_endpoints SET changed_at = now() - interval '3 days'")
	b.deliver(t)
	b.awaitState(t, "erp", "dead 1 404: it answered 404 Not Found, pending 1 404: it answered 404 Not Found")
	r.answer = taken
	if n, err := b.store.Outbox.Replay(t.Context(), outbox.ToldFilter{Endpoint: "erp", State: outbox.Dead}, true, ledger.Actor{}); n != 1 || err != nil {
		t.Errorf("%d would be posted again, %v", n, err)
	}
	b.hurry(t)
	b.awaitState(t, "erp", "dead 1 404: it answered 404 Not Found, delivered 2 204")
	if n, err := b.store.Outbox.Replay(t.Context(), outbox.ToldFilter{Endpoint: "erp", State: outbox.Dead}, false, ledger.Actor{Name: "ada"}); n != 1 || err != nil {
		t.Errorf("%d are posted again, %v", n, err)
	}
	b.awaitState(t, "erp", "delivered 1 204, delivered 2 204")
}

// A process that dies while it posts has told nobody what came of it: another one posts again.
func TestPostedAgainAfterACrash(t *testing.T) {
	t.Parallel()
	b, r := setup(t), receive(t, taken)
	b.add(t, "erp", r.URL)
	b.tell(t, outbox.InvoiceCreated, "T1", 1)
	claimed, err := b.store.Outbox.Claim(t.Context(), int64(b.Count(t, "SELECT id FROM event_endpoints")), 10, time.Minute)
	if err != nil || len(claimed) != 1 {
		t.Fatal(claimed, err)
	}
	b.deliver(t)
	b.tell(t, outbox.InvoiceCreated, "T2", 2)
	b.awaitState(t, "erp", "pending 1, delivered 1 204")
	b.hurry(t)
	b.awaitState(t, "erp", "delivered 2 204, delivered 1 204")
}

// An endpoint of a configuration is called by the processes that have its secret.
func TestEndpointsOfAConfiguration(t *testing.T) {
	t.Parallel()
	b, r := setup(t), receive(t, taken)
	secret := events.NewSecret()
	stated := []outbox.Endpoint{{Name: "erp", URL: r.URL, Types: []string{outbox.InvoiceCreated}}}
	configure := func() {
		t.Helper()
		if err := b.store.Outbox.Configure(t.Context(), stated, []string{outbox.JobFailed}); err != nil {
			t.Fatal(err)
		}
	}
	configure()
	configure()
	b.tell(t, outbox.InvoiceCreated, "T1", 1)
	b.tell(t, outbox.JobFailed, "T1", 2)
	b.tell(t, outbox.JobConflict, "T1", 3)
	if got := b.Text(t, "SELECT string_agg(type, ' ' ORDER BY id) FROM events"); got != "invoice.created job.failed" {
		t.Errorf("recorded: %s", got)
	}
	if err := b.store.Outbox.Configure(t.Context(), nil, []string{outbox.JobConflict}); err != nil {
		t.Fatal(err)
	}
	if got := b.Text(t, "SELECT string_agg(type, ' ') FROM event_recording"); got != outbox.JobConflict {
		t.Errorf("what is recorded without an endpoint: %s", got)
	}
	stop := b.deliver(t)
	b.add(t, "other", r.URL, outbox.JobFailed)
	b.tell(t, outbox.JobFailed, "T3", 4)
	b.awaitState(t, "other", "delivered 1 204")
	b.awaitState(t, "erp", "pending 0")
	stop()
	b.deliver(t, func(o *events.Options) { o.Secrets = map[string][]string{"erp": {secret}} })
	b.awaitState(t, "erp", "delivered 1 204")

	stated[0].Name = "other"
	if err := b.store.Outbox.Configure(t.Context(), stated, nil); err == nil || !strings.Contains(err.Error(), "another endpoint other") {
		t.Error(err)
	}
}

// What a database that is away has kept from being recorded is recorded as soon as it is back.
func TestAnOutboxThatIsAway(t *testing.T) {
	t.Parallel()
	b, r := setup(t), receive(t, taken)
	b.add(t, "erp", r.URL)
	for n := range 40 {
		b.tell(t, outbox.InvoiceCreated, fmt.Sprint("T", n), n)
	}
	away := &failing{Outbox: b.store.Outbox}
	b.deliver(t, func(o *events.Options) { o.Outbox = away })
	rig.Eventually(t, "failures", func() bool { away.mu.Lock(); defer away.mu.Unlock(); return away.failures > 5 })
	rig.Eventually(t, "all to be delivered", func() bool {
		return b.Count(t, "SELECT count(*) FROM event_deliveries WHERE state = 'delivered'") == 40
	})
	if posted := len(r.all()); posted != 40 {
		t.Errorf("%d were posted, of 40", posted)
	}
}

type failing struct {
	events.Outbox

	mu       sync.Mutex
	failures int
}

func (f *failing) Settle(ctx context.Context, endpoint int64, attempts []outbox.Attempt) (failingSince, now time.Time, err error) {
	f.mu.Lock()
	f.failures++
	fails := f.failures%3 > 0
	f.mu.Unlock()
	if fails {
		return failingSince, now, context.DeadlineExceeded
	}
	return f.Outbox.Settle(ctx, endpoint, attempts)
}

// Who calls addresses that others state must not be led into its own network.
func TestForbiddenAddresses(t *testing.T) {
	t.Parallel()
	r := receive(t, taken)
	for _, url := range []string{
		r.URL, strings.Replace(r.URL, "127.0.0.1", "localhost", 1), strings.Replace(r.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1), strings.Replace(r.URL, "http", "https", 1),
		"https://10.0.0.1/", "https://169.254.169.254/latest/meta-data", "https://100.64.1.1/", "https://[::1]:9/", "https://[fd00::1]/", "https://[fe80::1%25eth0]/", "https://[64:ff9b::7f00:1]/",
		"https://[2002:7f00:1::]/", "https://[::127.0.0.1]/", "https://0.0.0.0:9/", "https://[::]:9/", "https://224.0.0.1/", "https://255.255.255.255/", "https://2130706433/", "http://93.184.216.34/",
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.add(t, "inside", url)
			b.tell(t, outbox.InvoiceCreated, "T1", 1)
			b.deliver(t, func(o *events.Options) { o.Allow = []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")} })
			rig.Await(t, func() error {
				if got := b.state(t, "inside"); !strings.Contains(got, "events.allow") && !strings.Contains(got, "no such host") && !strings.Contains(got, "lookup") {
					return fmt.Errorf("%s", got)
				}
				return nil
			})
		})
	}
	t.Cleanup(func() {
		if got := len(r.all()); got > 0 {
			t.Errorf("%d were posted", got)
		}
	})
}

// Whoever stops gives back what it has claimed and not begun, so that nobody waits for that.
func TestStoppingGivesBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var slow sync.Once
	stopped := make(chan struct{})
	r := receive(t, func(n int, _ *http.Request) int {
		if n > 40 {
			slow.Do(func() { close(stopped) })
			time.Sleep(20 * time.Millisecond) // it goes on while the deliverer stops
		}
		return http.StatusOK
	})
	b.add(t, "erp", r.URL)
	for n := range 400 {
		b.tell(t, outbox.InvoiceCreated, fmt.Sprint("T", n), n)
	}
	stop := b.deliver(t)
	<-stopped
	stop()
	if n := b.Count(t, "SELECT count(*) FROM event_deliveries WHERE state = 'pending' AND due_at > now()"); n != 0 {
		t.Errorf("%d are claimed by nobody", n)
	}
	if posted, known := len(r.all()), b.Count(t, "SELECT count(*) FROM event_deliveries WHERE state = 'delivered'"); posted != known || posted == 400 {
		t.Errorf("%d were posted, and %d are known to be", posted, known)
	}
	if b.Is(t, "SELECT failing_since IS NOT NULL FROM event_endpoints") {
		t.Error("what was given back counts as failed")
	}
	b.deliver(t)
	rig.Eventually(t, "all to be delivered", func() bool {
		return b.Count(t, "SELECT count(*) FROM event_deliveries WHERE state = 'delivered'") == 400
	})
	if posted := len(r.all()); posted != 400 {
		t.Errorf("%d were posted, of 400", posted)
	}
}
