package web

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"sync"
)

// MostVisitors is how many connections the pages have at once, at most.
const MostVisitors = 256

// Visitors is the listener of the pages. It accepts everybody and keeps a bounded number of connections: when there are
// too many, the one is closed that has been longest without a complete request. So whoever asks quickly is answered,
// however many others hold connections open without asking, and the process keeps its descriptors for its work.
type Visitors struct {
	net.Listener
	most int

	mu   sync.Mutex
	open map[*visitor]struct{}
	turn uint64 // counts what happened to any of them
}

// A visitor is one connection to the pages.
type visitor struct {
	net.Conn
	of *Visitors

	asking int    // requests that are being answered
	last   uint64 // the turn at which it was accepted, or asked, or was answered
}

// NewVisitors returns a listener in front of l, with as many connections at most. Its handler has to be [Visitors.Counted],
// and its connections [Visitors.Remember]ed.
func NewVisitors(l net.Listener, most int) *Visitors {
	return &Visitors{Listener: l, most: most, open: make(map[*visitor]struct{})}
}

// Accept implements [net.Listener].
func (l *Visitors) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	v := &visitor{Conn: c, of: l}
	if crowded := l.admit(v); crowded != nil {
		_ = crowded.Close() // whoever it was didn't ask, or not as quickly as the others
	}
	return v, nil
}

// admit returns the visitor that has to go, or nil while there is room.
func (l *Visitors) admit(v *visitor) (crowded *visitor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.most {
		for other := range l.open {
			if crowded == nil || other.goesBefore(crowded) {
				crowded = other
			}
		}
		delete(l.open, crowded)
	}
	l.turn++
	v.last = l.turn
	l.open[v] = struct{}{}
	return crowded
}

// goesBefore tells which of two connections is closed first: one that is being answered only where all are.
func (v *visitor) goesBefore(other *visitor) bool {
	if (v.asking > 0) != (other.asking > 0) {
		return other.asking > 0
	}
	return v.last < other.last
}

func (v *visitor) Close() error {
	v.of.mu.Lock()
	delete(v.of.open, v)
	v.of.mu.Unlock()
	return v.Conn.Close()
}

// CloseWrite is what net/http closes a connection with whose last answer is still under way.
func (v *visitor) CloseWrite() error {
	if half, ok := v.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// bareError is what net/http writes, past every handler, below the status line of a request that it can't read.
const bareError = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// Write gives the answers that net/http makes by itself, past every handler, the headers that all others have.
func (v *visitor) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(p, []byte("HTTP/1.1 ")) {
		return v.Conn.Write(p)
	}
	status, rest, _ := bytes.Cut(p, []byte("\r\n"))
	if !bytes.HasPrefix(p[len(status):], []byte(bareError)) && !bytes.HasPrefix(status, []byte("HTTP/1.1 417 ")) {
		return v.Conn.Write(p)
	}
	var answer bytes.Buffer
	answer.Write(status)
	answer.WriteString("\r\n")
	_ = GuardHeaders().Write(&answer) // into memory
	answer.Write(rest)
	if _, err := v.Conn.Write(answer.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// visitorKey is the key of a request's visitor in its context.
type visitorKey struct{}

// Remember puts the visitor into the contexts of its requests.
func (*Visitors) Remember(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, visitorKey{}, c)
}

// Counted lets the listener know which visitors have asked.
func (l *Visitors) Counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v, ok := r.Context().Value(visitorKey{}).(*visitor); ok {
			l.asks(v, 1)
			defer l.asks(v, -1)
		}
		next.ServeHTTP(w, r)
	})
}

func (l *Visitors) asks(v *visitor, by int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn++
	v.last = l.turn
	v.asking += by
}
