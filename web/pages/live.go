package pages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// How often a watched page is read anew, however many watch it, and how many watch at most in a process.
const (
	livePause    = time.Second
	mostWatchers = 64
)

// live lets visitors watch pages. All who watch the same page share what is read for it.
type live struct {
	mu       sync.Mutex
	watchers int
	read     map[string]*reading
	closed   bool
	end      chan struct{}
	watching sync.WaitGroup
}

// A reading is the content of one page at one time.
type reading struct {
	at      time.Time
	ready   chan struct{}
	content string
	ended   bool // it won't change any more
	err     error
}

func newLive() *live {
	return &live{read: make(map[string]*reading), end: make(chan struct{})}
}

func (l *live) close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.end)
	}
	l.mu.Unlock()
	l.watching.Wait()
}

func (l *live) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watchers >= mostWatchers || l.closed {
		return false
	}
	l.watchers++
	l.watching.Add(1)
	return true
}

func (l *live) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers--
	l.watching.Done()
	if l.watchers == 0 {
		clear(l.read)
	}
}

// get returns the content of a page, which was read within the last pause. It reads it by show if nobody else has or does.
func (l *live) get(key string, show func() (content string, ended bool, err error)) *reading {
	l.mu.Lock()
	r := l.read[key]
	if r != nil && time.Since(r.at) < livePause {
		l.mu.Unlock()
		<-r.ready
		return r
	}
	r = &reading{at: time.Now(), ready: make(chan struct{})}
	l.read[key] = r
	for other, old := range l.read { // of pages that nobody watches any more
		if time.Since(old.at) > 10*livePause {
			delete(l.read, other)
		}
	}
	l.mu.Unlock()
	defer close(r.ready)
	r.content, r.ended, r.err = show()
	return r
}

// watch sends the content of a page whenever it has changed, as server-sent events.
func (p *Pages) watch(w http.ResponseWriter, r *http.Request) {
	of, err := url.ParseRequestURI(r.URL.Query().Get("of"))
	show := p.watchable(of)
	if err != nil || show == nil {
		http.Error(w, "of must be the path of a page that changes", http.StatusBadRequest)
		return
	}
	if !p.live.enter() {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many watch already: reload the page instead", http.StatusServiceUnavailable)
		return
	}
	defer p.live.leave()
	visitor := p.o.Visitor(r)
	key := fmt.Sprintf("%t %s", visitor.MayAct, of.RequestURI())
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // that of the request, which has been read
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no") // asks a proxy to send on each event at once
	tick := time.NewTicker(livePause)
	defer tick.Stop()
	for last := ""; ; {
		now := p.live.get(key, func() (string, bool, error) { //nolint:contextcheck // others may wait for the same content
			ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), readTimeout)
			defer cancel()
			v, err := show(watchRequest(ctx, r, of))
			if err != nil {
				return "", false, err
			}
			content, err := p.content(v, visitor)
			return content, !v.live, err
		})
		if now.err != nil && !errors.Is(now.err, context.Canceled) {
			p.o.Logger.Debug("a watched page couldn't be read", "page", of.Path, "error", now.err)
		}
		_ = control.SetWriteDeadline(time.Now().Add(10 * time.Second))
		switch {
		case now.err != nil:
			return // the script connects again
		case now.content != last:
			if _, err := fmt.Fprintf(w, "data: %s\n\n", strings.ReplaceAll(now.content, "\n", "\ndata: ")); err != nil {
				return
			}
			last = now.content
		}
		if now.ended {
			_, _ = fmt.Fprint(w, "event: end\ndata:\n\n")
		}
		if control.Flush() != nil || now.ended {
			return
		}
		select {
		case <-tick.C:
		case <-p.live.end:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// watchRequest returns the request for a page as if its visitor had asked for it.
func watchRequest(ctx context.Context, r *http.Request, of *url.URL) *http.Request {
	asked := r.Clone(ctx)
	asked.URL = of
	if id, ok := strings.CutPrefix(of.Path, "/runs/"); ok {
		asked.SetPathValue("run", id)
	}
	return asked
}

// watchable returns the page of the address, or nil if it doesn't change while it is watched.
func (p *Pages) watchable(of *url.URL) func(*http.Request) (view, error) {
	if of == nil {
		return nil
	}
	switch {
	case of.Path == "/":
		return p.now
	case of.Path == "/series":
		return p.series
	case of.Path == "/search":
		return p.story
	case of.Path == "/queues":
		return p.queues
	case of.Path == "/workers":
		return p.workers
	case strings.HasPrefix(of.Path, "/runs/"):
		return p.run
	}
	return nil
}
