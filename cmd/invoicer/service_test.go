package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"invoicer/events"
	"invoicer/internal/chaos"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/programs"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
)

// serviceTransactions is how many transactions the service in Python asks for.
const serviceTransactions = 200

// A Python service with nothing but requests asks five times at once for each transaction: it gets one invoice and the same number in each
// answer, and hears of it once or more, with a signature that it verifies. Meanwhile the workers, Redis and its own receiver are killed.
func TestHeavyAPythonService(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("heavy: make test-all runs it")
	}
	found, err := programs.Find(programs.Requests)
	must(t, err)
	seed := uint64(number("SEED", int(time.Now().UnixNano()%1_000_000)))
	t.Logf("seed %d: SEED=%d plays it again", seed, seed)
	p := &pythonService{python: found[programs.Requests], redis: sandboxtest.PrivateRedis(t), file: filepath.Join(t.TempDir(), "heard"), rand: chaos.NewRand(seed)}
	examples, err := filepath.Abs("../../examples")
	must(t, err)
	hears, secret := freeAddress(t), events.NewSecret()
	p.urls = []string{freeAddress(t), freeAddress(t)}
	p.site = newSite(t, p.redis.URL).with("INVOICER_WORKER_QUEUES=default=1", "INVOICER_LOCK_TTL=3s", "INVOICER_WORKER_JOB_TIMEOUT=2s", "INVOICER_WORKER_SHUTDOWN_TIMEOUT=4s",
		`INVOICER_EVENTS_ENDPOINTS=[{"name":"python","url":"http://`+hears+`/hook","secret":"`+secret+`","types":["invoice.created"]}]`,
		"INVOICER_EVENTS_ALLOW=127.0.0.1", "INVOICER_SECRET="+secret, "PYTHONPATH="+examples, "PYTHONDONTWRITEBYTECODE=1")
	_, p.port, err = net.SplitHostPort(hears)
	must(t, err)
	p.hear(t)
	for i := range p.workers {
		p.work(t, i)
		p.workers[i].awaitReadyz(t, http.StatusOK)
	}
	told := p.asked(t, seed)
	p.compare(t, told)
}

// A pythonService is the service, and what is killed while it asks.
type pythonService struct {
	*site
	rand     *rand.Rand
	python   string
	urls     []string // host and port of each worker
	workers  [2]*process
	redis    *servers.Server
	receiver *process
	port     string // of the receiver
	file     string // of what it has heard
}

func (p *pythonService) hear(t *testing.T) {
	t.Helper()
	p.receiver = p.startProgram(t, p.python, "testdata/service.py", "hear", p.port, p.file)
}

func (p *pythonService) work(t *testing.T, i int) {
	t.Helper()
	p.workers[i] = p.with("INVOICER_HTTP_ADDR="+p.urls[i]).start(t, "worker")
}

// An answered transaction is what the service was told of it.
type answered struct {
	TransactionID string `json:"transaction_id"`
	Numbers       []string
	Outcomes      []string
}

// asked has the service ask, kills what there is meanwhile, and returns what the service was told.
func (p *pythonService) asked(t *testing.T, seed uint64) (told []answered) {
	t.Helper()
	// What it prints is awaited as it comes.
	asking := p.startProgram(t, "sh", "-c", `exec "$@" >&2`, "sh", p.python, "testdata/service.py", "ask", strconv.Itoa(serviceTransactions), strconv.FormatUint(seed, 10),
		"http://"+p.urls[0], "http://"+p.urls[1])
	answers := func() int { return strings.Count(asking.stderr(), `"transaction_id"`) }
	killed := make(map[string]int)
	ended := func() bool {
		select {
		case <-asking.ended:
			return true
		default:
			return false
		}
	}
	for round := 0; !ended(); round++ {
		next := answers() + 1 + p.rand.IntN(serviceTransactions/12)
		if next > serviceTransactions {
			break
		}
		rig.Within(t, 3*time.Minute, func() error {
			if ended() {
				return nil // it tells below how
			}
			if n := answers(); n < next {
				return fmt.Errorf("%d answers, of which there are %d", next, n)
			}
			return nil
		})
		// The first rounds kill one of each kind, later ones any of them together.
		victims := 1 << (round % 4)
		if round >= 4 {
			victims = 1 + p.rand.IntN(15)
		}
		for i, victim := range []string{"worker 0", "worker 1", "redis", "receiver"} {
			if victims>>i&1 == 1 {
				killed[victim]++
				p.kill(t, victim)
			}
		}
		time.Sleep(time.Duration(p.rand.IntN(1000)) * time.Millisecond) // so long they are gone
		if victims>>2&1 == 1 {
			must(t, p.redis.Restart(t.Context()))
		}
		p.beginEnded(t)
	}
	if code := asking.exit(t); code != 0 {
		t.Fatalf("the service ends with %d: %s", code, asking.stderr())
	}
	for line := range strings.Lines(asking.stderr()) {
		var one answered
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		told = append(told, one)
	}
	t.Logf("killed %v", killed)
	if len(killed) != 4 {
		t.Errorf("not all were killed: %v", killed)
	}
	return told
}

func (p *pythonService) kill(t *testing.T, victim string) {
	t.Helper()
	switch victim {
	case "redis":
		must(t, p.redis.Kill())
	case "receiver":
		must(t, p.receiver.Process.Kill())
		<-p.receiver.ended
	default:
		w := p.workers[victim[len(victim)-1]-'0']
		_ = w.Process.Kill() // without Redis at its start it may have ended
		<-w.ended
	}
}

// beginEnded starts the processes that were killed, and a worker that has ended because Redis went away while it started, as a supervisor does.
func (p *pythonService) beginEnded(t *testing.T) {
	t.Helper()
	select {
	case <-p.receiver.ended:
		p.hear(t)
	default:
	}
	for i, w := range p.workers {
		select {
		case <-w.ended:
			p.work(t, i)
		default:
		}
	}
}

// compare looks whether the service was told, and has heard, what is stored.
func (p *pythonService) compare(t *testing.T, told []answered) {
	t.Helper()
	if len(told) != serviceTransactions {
		t.Errorf("%d transactions were answered, of %d", len(told), serviceTransactions)
	}
	numbers := make(map[string]string)
	for _, one := range told {
		first := one.Numbers[0]
		if len(one.Numbers) != 5 || first == "" || slices.ContainsFunc(one.Numbers, func(n string) bool { return n != first }) {
			t.Errorf("%+v", one)
		}
		if !p.Is(t, "SELECT count(*) = 1 AND min(invoice_number) = $2 FROM invoices WHERE transaction_id = $1", one.TransactionID, first) {
			t.Errorf("%s isn't invoiced as %s, and once", one.TransactionID, first)
		}
		numbers[one.TransactionID] = first
	}
	p.awaitCount(t, serviceTransactions, "SELECT count(*) FROM invoices")
	p.awaitCount(t, 0, "SELECT count(*) FROM invoice_jobs WHERE state <> 'done'")
	type event struct{ ID, Type, TransactionID, Number string }
	heard := make(map[string]event)
	rig.Within(t, 4*time.Minute, func() error { // whoever was killed has left claims
		text, err := os.ReadFile(p.file)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			var e struct {
				ID, Type      string
				TransactionID string `json:"transaction_id"`
				Number        string
			}
			if json.Unmarshal(line, &e) == nil { // the last line may be half written
				heard[e.TransactionID] = event{e.ID, e.Type, e.TransactionID, e.Number}
			}
		}
		if len(heard) < len(numbers) {
			return fmt.Errorf("events of %d transactions, of which %d were heard", len(numbers), len(heard))
		}
		return nil
	})
	for id, number := range numbers {
		if heard[id].Number != number || heard[id].Type != "invoice.created" {
			t.Errorf("%s is invoiced as %s, and heard of: %+v", id, number, heard[id])
		}
	}
	p.must(t, "audit")
}
