package events_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"invoicer/events"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice/ledger"
	"invoicer/invoice/outbox"
	"invoicer/invoice/postgres"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// A bundle is a schema of its own, with endpoints that receive on this machine.
type bundle struct {
	*rig.Database
	store *postgres.DB
}

func setup(t *testing.T) *bundle {
	t.Helper()
	d := rig.NewDatabase(t)
	store, err := postgres.Open(postgres.Options{URL: d.URL, Schema: d.Schema})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bundle{d, store}
}

// A receiver keeps what it is posted, and answers as it is told.
type receiver struct {
	*httptest.Server
	answer func(n int, r *http.Request) int // of the nth request, from 1; 0 to hang up

	mu     sync.Mutex
	posted []posted
}

type posted struct {
	Type      string         `json:"type"`
	Timestamp time.Time      `json:"timestamp"`
	Data      map[string]any `json:"data"`

	body    []byte
	headers http.Header
}

func receive(t *testing.T, answer func(n int, r *http.Request) int) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func taken(int, *http.Request) int { return http.StatusNoContent }

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	one := posted{body: body, headers: request.Header}
	if err := json.Unmarshal(body, &one); err != nil {
		one.Type = err.Error()
	}
	r.mu.Lock()
	r.posted = append(r.posted, one)
	n := len(r.posted)
	r.mu.Unlock()
	status := r.answer(n, request)
	if status == 0 {
		panic(http.ErrAbortHandler)
	}
	if status/100 == 3 {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(status)
}

func (r *receiver) all() []posted {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.posted)
}

// add adds an endpoint, and returns its secret.
func (b *bundle) add(t *testing.T, name, url string, types ...string) string {
	t.Helper()
	if len(types) == 0 {
		types = outbox.Types()
	}
	secret := events.NewSecret()
	if err := b.store.Outbox.Add(t.Context(), outbox.Endpoint{Name: name, URL: url, Types: types, Secrets: []string{secret}}, ledger.Actor{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	return secret
}

// tell records an event.
func (b *bundle) tell(t *testing.T, kind, transaction string, n int) {
	t.Helper()
	b.Exec(t, "SELECT tell($1::text, '', $2::text, NULL, json_build_object('n', $3::int, 'transaction_id', $2::text))", kind, transaction, n)
}

// deliver runs a deliverer until the test ends, or the returned function is called.
func (b *bundle) deliver(t *testing.T, change ...func(*events.Options)) (stop func()) {
	t.Helper()
	o := events.Options{
		Outbox: b.store.Outbox, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Version: "v1",
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, f := range change {
		f(&o)
	}
	d, err := events.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func (b *bundle) state(t *testing.T, endpoint string) string {
	t.Helper()
	return b.Text(t, `SELECT coalesce(string_agg(d.state || ' ' || attempts || coalesce(' ' || d.status, '') || coalesce(': ' || error, ''), ', ' ORDER BY event_id), '')
FROM event_deliveries d JOIN event_endpoints e ON e.id = endpoint_id WHERE name = $1`, endpoint)
}

func (b *bundle) awaitState(t *testing.T, endpoint, want string) {
	t.Helper()
	rig.Await(t, func() error {
		if got := b.state(t, endpoint); got != want {
			return fmt.Errorf("%s: %s, want %s", endpoint, got, want)
		}
		return nil
	})
}

// hurry has everything due at once that waits for another attempt.
func (b *bundle) hurry(t *testing.T) {
	t.Helper()
	b.Exec(t, "UPDATE event_deliveries SET due_at = now() WHERE state = 'pending'")
}
