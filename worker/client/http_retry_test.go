package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"invoicer/internal/dropproxy"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice/ledger"
	"invoicer/web/api"
	"invoicer/worker/client"
)

// The answer is lost after the job was taken. The next attempt gets it, and there is one job.
func TestHTTPWhoseAnswersAreLost(t *testing.T) {
	t.Parallel()
	s := serve(t, rig.New(t))
	proxy := dropproxy.Start(t, "tcp", s.address, func(request []byte) bool { return strings.Contains(string(request), "POST") && s.requests.Load() < 2 })
	var told atomic.Int64
	h := s.over(t, proxy.Addr(), "checkout", func(o *client.HTTPOptions) { o.Retrying = func(error, time.Duration) { told.Add(1) } })
	receipt, err := h.Accept(t.Context(), job())
	if err != nil {
		t.Fatal(err)
	}
	if proxy.Dropped() != 2 || s.requests.Load() != 3 || told.Load() == 0 {
		t.Errorf("%d answers were lost of %d, and %d attempts made again", proxy.Dropped(), s.requests.Load(), told.Load())
	}
	if receipt.Status != client.Known || receipt.JobID != s.Text(t, "SELECT job_id FROM invoice_jobs") {
		t.Errorf("receipt %+v", receipt)
	}
	s.ledgerHas(t, 1)
}

// Requests beyond the limit, and those of a server that is restarted, are sent again when the answer says so.
func TestHTTPComesAgain(t *testing.T) {
	t.Parallel()
	s := serve(t, rig.New(t), func(o *api.Options) { o.Limit = &refusals{left: 1} })
	var why []string
	h := s.over(t, s.address, "checkout", func(o *client.HTTPOptions) {
		o.Retrying = func(err error, pause time.Duration) { why = append(why, fmt.Sprint(err, " ", pause >= time.Second)) }
	})
	if _, err := h.Accept(t.Context(), job()); err != nil {
		t.Fatal(err)
	}
	if len(why) != 1 || !strings.Contains(why[0], "429") || !strings.HasSuffix(why[0], "true") {
		t.Errorf("retried since %q", why)
	}
	s.ledgerHas(t, 1)
}

// refusals is a limit that is exceeded some times.
type refusals struct{ left int }

func (r *refusals) Allow(context.Context, string) (api.Verdict, bool) {
	r.left--
	return api.Verdict{Allowed: r.left < 0, Rate: 1, Retry: time.Second}, true
}

func (r *refusals) Charge(context.Context, string, int) (api.Verdict, bool) {
	return api.Verdict{Allowed: true, Rate: 1}, true
}

// A request whose key another one has that is at work is sent again, and gets that one's answer.
func TestHTTPWhileAnotherAttemptIsAtWork(t *testing.T) {
	t.Parallel()
	s := serve(t, rig.New(t), func(o *api.Options) { o.Ledger = &busy{Ledger: o.Ledger} })
	var why []string
	h := s.over(t, s.address, "checkout", func(o *client.HTTPOptions) {
		o.Retrying = func(err error, _ time.Duration) { why = append(why, err.Error()) }
	})
	if receipt, err := h.Accept(t.Context(), job()); err != nil || receipt.JobID == "" || len(why) != 1 || !strings.Contains(why[0], "409") {
		t.Errorf("%+v, %v, retried since %q", receipt, err, why)
	}
	s.ledgerHas(t, 1)
}

// busy says once that a request with the same key is at work.
type busy struct {
	api.Ledger
	asked bool
}

func (b *busy) AcceptRequest(ctx context.Context, r ledger.Request) (ledger.Acceptance, error) {
	if !b.asked {
		b.asked = true
		return ledger.Acceptance{}, ledger.ErrInProgress
	}
	return b.Ledger.AcceptRequest(ctx, r)
}

// What a proxy before the API answers is told apart: what it may answer otherwise later, and what not.
func TestHTTPBehindAProxy(t *testing.T) {
	t.Parallel()
	s := serve(t, rig.New(t))
	for name, test := range map[string]struct {
		answers func(w http.ResponseWriter)
		again   bool
	}{
		"502": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }, true},
		"504": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusGatewayTimeout) }, true},
		"no body": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusAccepted)
		}, true},
		"a date": {func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", time.Now().Add(time.Second).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusServiceUnavailable)
		}, true},
		"500":  {func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }, false},
		"404":  {func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }, false},
		"page": {func(w http.ResponseWriter) { fmt.Fprint(w, "<html>Sign in</html>") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if asked.Add(1) == 1 {
					test.answers(w)
					return
				}
				w.WriteHeader(http.StatusAccepted)
				fmt.Fprint(w, `{"job_id":"j"}`)
			}))
			defer proxy.Close()
			h := s.over(t, proxy.Listener.Addr().String(), "")
			receipt, err := h.Accept(t.Context(), job())
			if (err == nil) != test.again || (receipt.JobID == "j") != test.again || asked.Load() > 1 != test.again {
				t.Errorf("%+v, %v, asked %d times", receipt, err, asked.Load())
			}
		})
	}
}

// A server that isn't who it says isn't asked again and again.
func TestHTTPOfAStranger(t *testing.T) {
	t.Parallel()
	stranger := httptest.NewTLSServer(http.NotFoundHandler())
	defer stranger.Close()
	stranger.Config.ErrorLog = log.New(io.Discard, "", 0)
	h, err := client.OverHTTP(stranger.URL, "", client.HTTPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if _, err := h.Accept(t.Context(), job()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error %v", err)
	}
	trusting, err := client.OverHTTP(stranger.URL, "", client.HTTPOptions{Client: stranger.Client()})
	if err != nil {
		t.Fatal(err)
	}
	var p *client.ProblemError
	if _, err := trusting.Accept(t.Context(), job()); !errors.As(err, &p) || p.Status != http.StatusNotFound {
		t.Errorf("error %v", err)
	}
}

// Postgres goes away, and comes back: the job is accepted once.
func TestHTTPWithoutPostgres(t *testing.T) {
	t.Parallel()
	server := sandboxtest.PrivatePostgres(t)
	r := rig.New(t)
	r.Database = rig.DatabaseOn(t, server.URL)
	r.KnowQueue(t, r.Queue)
	s := serve(t, r)
	away := make(chan string, 100)
	h := s.over(t, s.address, "checkout", func(o *client.HTTPOptions) {
		o.Retrying = func(err error, _ time.Duration) { away <- err.Error() }
	})
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	var asking sync.WaitGroup
	asking.Go(func() {
		if _, err := h.Accept(t.Context(), job()); err != nil {
			t.Error(err)
		}
	})
	if why := rig.Receive(t, away, "an attempt that fails"); !strings.Contains(why, "503") {
		t.Errorf("retried since %s", why)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	asking.Wait()
	s.ledgerHas(t, 1)
}

// With nobody there, a call ends with its context, and says what was wrong.
func TestHTTPUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	var tries atomic.Int64
	h, err := client.OverHTTP(gone.URL, "", client.HTTPOptions{Retrying: func(error, time.Duration) { tries.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	enough := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, enough)
	defer cancel()
	if _, err := h.Accept(ctx, job()); !errors.Is(err, enough) || !strings.Contains(err.Error(), "refused") || tries.Load() < 2 {
		t.Errorf("after %d attempts: %v", tries.Load(), err)
	}
}

// A server that hangs is asked again, on another connection.
func TestHTTPOfAServerThatHangs(t *testing.T) {
	t.Parallel()
	s := serve(t, rig.New(t))
	var first atomic.Bool
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if first.CompareAndSwap(false, true) {
			<-release
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `{"job_id":"j"}`)
	}))
	defer hanging.Close()
	defer close(release)
	h := s.over(t, hanging.Listener.Addr().String(), "", func(o *client.HTTPOptions) { o.Timeout = 200 * time.Millisecond })
	if receipt, err := h.Accept(t.Context(), job()); err != nil || receipt.JobID != "j" {
		t.Errorf("%+v, %v", receipt, err)
	}
}

func TestOverHTTPRefuses(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "invoicer.example", "ftp://invoicer.example", "http://", "http://ada:secret@invoicer.example", "http://x?a=b", "http://%zz:secret@x"} {
		if _, err := client.OverHTTP(address, "", client.HTTPOptions{}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := client.OverHTTP("http://x", "a\nb", client.HTTPOptions{}); err == nil {
		t.Error("a token of two lines is taken")
	}
	if _, err := client.OverHTTP("http://x", "", client.HTTPOptions{Issuer: "no issuer"}); err == nil {
		t.Error("any issuer is taken")
	}
}

// A redirect isn't followed: the job would be lost, or the token told to somebody else.
func TestHTTPFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer elsewhere.Close()
	redirects := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer redirects.Close()
	h, err := client.OverHTTP(redirects.URL, "secret", client.HTTPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if _, err := h.Accept(t.Context(), job()); err == nil || !strings.Contains(err.Error(), "redirects") || asked.Load() != 0 {
		t.Errorf("error %v", err)
	}
}
