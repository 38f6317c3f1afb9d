package web

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"invoicer/web/access"
)

// servedPages are pages of one handler, and a function that has them close and returns how that went.
func servedPages(t *testing.T, handler http.HandlerFunc) (url string, end func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	p := &Pages{server: &http.Server{Handler: handler}, listener: listener, gate: access.New(access.Options{Loopback: true, Logger: log}), log: log}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Part().Run(ctx) }()
	t.Cleanup(cancel)
	return p.URL(), func() error {
		cancel()
		return <-ended
	}
}

func TestPagesAnswerWhatWasAskedBeforeTheyClose(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	url, end := servedPages(t, func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-answer
		_, _ = io.WriteString(w, "here you are")
	})
	go func() {
		<-asked
		time.AfterFunc(100*time.Millisecond, func() { close(answer) }) // the pages are closing by then
		if err := end(); err != nil {
			t.Error(err)
		}
	}()
	reply, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if body, err := io.ReadAll(reply.Body); err != nil || reply.StatusCode != http.StatusOK || string(body) != "here you are" {
		t.Errorf("%d %s, error %v", reply.StatusCode, body, err)
	}
}

func TestPagesWaitForNoAnswerForLong(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	url, end := servedPages(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
		if err != nil {
			t.Error(err)
			return
		}
		if reply, err := http.DefaultClient.Do(request); err == nil {
			reply.Body.Close()
			t.Errorf("an answer: %s", reply.Status)
		}
	}()
	<-asked
	begun := time.Now()
	if err := end(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took < lastAnswers || took > lastAnswers+5*time.Second {
		t.Errorf("the pages closed after %s", took)
	}
	<-cut
}
