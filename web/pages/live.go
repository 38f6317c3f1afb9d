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

// How many watch at most in a process, and how often a watched page is read anew, however many watch it: a hundred times as long as
// reading it took is left between the beginnings of two readings, so that watching takes at most a hundredth of one CPU's time.
const (
	mostWatchers = 64
	livePause    = 2 * time.Second // at least
	restPerRead  = 100
	longestPause = 10 * time.Second
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
	ready   chan struct{}
	next    time.Time // when the page may be read anew; zero until this reading is over
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

// get returns the content of a page, as it was read last. It reads it by show if that is due and nobody else does.
func (l *live) get(key string, show func() (content string, ended bool, err error)) *reading {
	l.mu.Lock()
	r, begun := l.read[key], time.Now()
	if r != nil && (r.next.IsZero() || begun.Before(r.next)) {
		l.mu.Unlock()
		<-r.ready
		return r
	}
	r = &reading{ready: make(chan struct{})}
	l.read[key] = r
	for other, old := range l.read { // of pages that nobody watches any more
		if !old.next.IsZero() && begun.Sub(old.next) > longestPause {
			delete(l.read, other)
		}
	}
	l.mu.Unlock()
	defer close(r.ready)
	r.content, r.ended, r.err = show()
	pause := livePause
	if r.err == nil {
		pause = min(max(pause, restPerRead*time.Since(begun)), longestPause)
	}
	l.mu.Lock()
	r.next = begun.Add(pause)
	l.mu.Unlock()
	return r
}

// watch sends the content of a page whenever it has changed, as server-sent events.
func (p *Pages) watch(w http.ResponseWriter, r *http.Request) {
	of, err := url.ParseRequestURI(r.URL.Query().Get("of"))
	if err != nil || !p.at(of.Path).live {
		http.Error(w, "of must be the path of a page that changes", http.StatusBadRequest)
		return
	}
	watched, visitor := p.at(of.Path), p.o.Visitor(r)
	if !watched.opensFor(visitor) {
		http.Error(w, refusal(visitor).Error(), http.StatusForbidden)
		return
	}
	if !p.live.enter() {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many watch already: reload the page instead", http.StatusServiceUnavailable)
		return
	}
	defer p.live.leave()
	key := fmt.Sprintf("%t %t %q %s", visitor.MayAct, visitor.MaySeePersonalData, visitor.Issuers, of.RequestURI())
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
			v, err := watched.show(watchRequest(ctx, r, of))
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
			if control.Flush() != nil {
				return
			}
		}
		if now.ended {
			_, _ = fmt.Fprint(w, "event: end\ndata:\n\n")
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
	if row, ok := strings.CutPrefix(of.Path, "/events/"); ok {
		asked.SetPathValue("event", row)
	}
	return asked
}
