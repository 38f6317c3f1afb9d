package main

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"invoicer/events"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/programs"
	"invoicer/internal/sandbox/sandboxtest"
)

// An example is a program of examples/.
type example struct {
	name    string
	command []string
	hears   bool // it also receives events
}

// examples returns all of them, and fails if something is missing that they need.
func examples(t *testing.T) []example {
	t.Helper()
	if testing.Short() {
		t.Skip("heavy: make test-all runs it")
	}
	found, err := programs.Find(programs.Requests, programs.Node, programs.Java, programs.Curl, programs.Psql)
	must(t, err)
	folder, err := filepath.Abs("../../examples")
	must(t, err)
	compiled := filepath.Join(t.TempDir(), "example")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", compiled, folder).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return []example{
		{"curl", []string{"sh", filepath.Join(folder, "invoice.sh")}, false},
		{"Python", []string{found[programs.Requests], filepath.Join(folder, "invoice.py")}, true},
		{"TypeScript", []string{found[programs.Node], filepath.Join(folder, "invoice.ts")}, true},
		{"Java", []string{found[programs.Java], filepath.Join(folder, "Invoice.java")}, false},
		{"Go", []string{compiled}, true},
		{"SQL", []string{found[programs.Psql], "-XqAt", "-v", "ON_ERROR_STOP=1", "-f", filepath.Join(folder, "invoice.sql")}, false},
	}
}

// ask starts an example that asks for a transaction's invoice.
func (e example) ask(t *testing.T, s *site, transactionID string) *process {
	t.Helper()
	if e.name == "SQL" {
		return s.startProgram(t, e.command[0], append(e.command[1:], "-v", "transaction="+transactionID, s.databaseURL())...)
	}
	return s.startProgram(t, e.command[0], append(e.command[1:], transactionID)...)
}

// listen starts an example that receives events, and returns its URL.
func (e example) listen(t *testing.T, s *site, secret string) (*process, string) {
	t.Helper()
	// What it prints is awaited as it comes, which a process's stderr can be.
	p := s.with("INVOICER_SECRET="+secret).startProgram(t, "sh", append([]string{"-c", `exec "$@" >&2`, "sh"}, append(e.command, "listen")...)...)
	_, url, _ := strings.Cut(p.await(t, "listening on "), "listening on ")
	return p, url
}

// The examples in all languages ask for the same transactions: each is invoiced once, and all print its number. Those that receive events
// believe the genuine ones.
func TestHeavyExamples(t *testing.T) {
	t.Parallel()
	all := examples(t)
	i := installOn(t, durablePostgres(t).URL, sandboxtest.PrivateRedis(t).URL)
	i.Exec(t, "GRANT invoicer_reader TO shop") // it looks for the number
	address := freeAddress(t)
	i.site = i.with("INVOICER_WORKER_QUEUES=default=1", "INVOICER_ALLOW_UNSAFE=false", "INVOICER_HTTP_ADDR="+address, "INVOICER_EVENTS_ALLOW=127.0.0.1")
	token := i.of(t, "operator").token(t, "--role", "enqueue", "--producer", "checkout", "--name", "checkout")
	shop := i.of(t, "shop").with("INVOICER_URL=http://"+address, "INVOICER_TOKEN="+token)

	var endpoints []string
	hearing := make(map[string]*process)
	for _, e := range all {
		if !e.hears {
			continue
		}
		secret := events.NewSecret()
		p, url := e.listen(t, i.site, secret)
		hearing[e.name] = p
		endpoints = append(endpoints, fmt.Sprintf(`{"name":%q,"url":%q,"secret":%q,"types":["invoice.created"]}`, strings.ToLower(e.name), url+"/hook", secret))
		refusesForged(t, e.name, url)
	}
	staff := i.of(t, "worker").with("INVOICER_EVENTS_ENDPOINTS=[" + strings.Join(endpoints, ",") + "]")

	// At first their connections are cut, and nobody is there.
	cut := cutAll(t, address)
	asking := askAll(t, all, shop, "T1")
	for _, agent := range []string{"curl", "python-requests", "node", "Java-http-client", "invoicer-client"} {
		rig.Within(t, time.Minute, func() error { return cut.of(agent) })
	}
	cut.Close()
	w := staff.start(t, "worker")
	tellTheSame(t, all, asking, "INV-000001")
	w.awaitReadyz(t, http.StatusOK)

	// Then the worker dies while they wait.
	asking = askAll(t, all, shop, "T2")
	rig.Eventually(t, "an accepted job", func() bool { return i.Count(t, "SELECT count(*) FROM invoice_jobs WHERE transaction_id = 'T2'") > 0 })
	w.signal(t, syscall.SIGKILL)
	<-w.ended
	w = staff.start(t, "worker")
	tellTheSame(t, all, asking, "INV-000002")

	if invoices, jobs := i.Count(t, "SELECT count(*) FROM invoices"), i.Count(t, "SELECT count(*) FROM invoice_jobs"); invoices != 2 || jobs != 2*len(all) {
		t.Errorf("%d invoices by %d jobs of the ledger", invoices, jobs)
	}
	for name, p := range hearing {
		for _, number := range []string{"INV-000001", "INV-000002"} {
			p.await(t, "invoice.created "+number)
		}
		if strings.Count(p.stderr(), "invoice.created") != 2 {
			t.Errorf("%s has heard\n%s", name, p.stderr())
		}
	}
	refuseAll(t, all, shop)
	i.of(t, "auditor").must(t, "audit")
	w.signal(t, syscall.SIGTERM)
	if code := w.exit(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func askAll(t *testing.T, all []example, shop *site, transactionID string) (asking []*process) {
	t.Helper()
	for _, e := range all {
		asking = append(asking, e.ask(t, shop, transactionID))
	}
	return asking
}

func tellTheSame(t *testing.T, all []example, asking []*process, number string) {
	t.Helper()
	for i, p := range asking {
		if code, told := p.exit(t), strings.TrimSpace(p.stdout.String()); code != 0 || told != number {
			t.Errorf("%s ends with %d and %q, want %s: %s", all[i].name, code, told, number, p.stderr())
		}
	}
}

// refuseAll has all ask for something that can't be invoiced: they say what is wrong, at once.
func refuseAll(t *testing.T, all []example, shop *site) {
	t.Helper()
	for _, e := range all {
		p := e.ask(t, shop, strings.Repeat("T", 600))
		if code := p.exit(t); code == 0 || !strings.Contains(p.stderr(), "transaction_id") || strings.Contains(p.stderr(), "asking again is safe") {
			t.Errorf("%s ends with %d: %s", e.name, code, p.stderr())
		}
	}
}

// refusesForged sends events that nobody has signed.
func refusesForged(t *testing.T, name, url string) {
	t.Helper()
	for _, headers := range []map[string]string{
		{},
		{"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"},
		{"webhook-id": "1", "webhook-timestamp": "x", "webhook-signature": ""},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"type":"invoice.created","data":{}}`))
		must(t, err)
		for key, value := range headers {
			r.Header.Set(key, value)
		}
		answer, err := http.DefaultClient.Do(r)
		must(t, err)
		answer.Body.Close()
		if answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s answers a forged event with %d", name, answer.StatusCode)
		}
	}
}

// A cutting is a listener that closes each connection after its first request, without an answer.
type cutting struct {
	net.Listener
	mu   sync.Mutex
	seen strings.Builder // the beginnings of requests
}

func cutAll(t *testing.T, address string) *cutting {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	must(t, err)
	c := &cutting{Listener: listener}
	t.Cleanup(func() { c.Close() })
	go func() {
		for {
			connection, err := c.Accept()
			if err != nil {
				return
			}
			request := make([]byte, 4096)
			n, _ := connection.Read(request)
			connection.Close()
			c.mu.Lock()
			c.seen.Write(request[:n])
			c.mu.Unlock()
		}
	}()
	return c
}

// of returns an error until a program of that name has met it twice.
func (c *cutting) of(agent string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := strings.Count(strings.ToLower(c.seen.String()), "user-agent: "+strings.ToLower(agent)); n < 2 {
		return fmt.Errorf("two requests of %s, of which there are %d", agent, n)
	}
	return nil
}
