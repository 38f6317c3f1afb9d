package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// MostVisitors is the largest number of connections that a process allows its pages. Clients of the API that wait for invoices have one
// each.
const MostVisitors = 2048

// Visitors is a listener that bounds the number of open connections. It accepts every connection. If there are too many, it closes
// the one whose latest event, its begin or a request, is the longest ago, and of those with a request under way only if all have
// one. A client that sends its request quickly is therefore answered, however
// many others hold connections open without a request, and the process keeps its descriptors for its work.
type Visitors struct {
	net.Listener
	most int

	mu   sync.Mutex
	open map[*visitor]struct{}
	turn uint64 // counts the events of all connections
}

// A visitor is one connection to the pages.
type visitor struct {
	net.Conn
	of *Visitors

	asking int    // requests that are being answered
	last   uint64 // the turn of its latest event: accepted, request begun, request answered
}

// NewVisitors returns a listener that accepts from l and keeps at most so many connections. Wrap the server's handler in
// [Visitors.Counted], and set the server's ConnContext to [Visitors.Remember].
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
		_ = crowded.Close() // it has waited longest for a request
	}
	return v, nil
}

// admit adds a visitor. It returns the visitor to close in exchange, or nil if there is room.
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

// goesBefore reports whether v is closed rather than other. A connection with a request under way is closed only if all have one.
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

// CloseWrite closes the writing side. net/http calls it if the connection has it, so that the client gets the last answer.
func (v *visitor) CloseWrite() error {
	if half, ok := v.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// bareError is the text after the status line with which net/http answers a request that it can't parse, without any handler.
const bareError = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// Write adds the [GuardHeaders] to the answers that net/http makes by itself, without any handler.
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

// Remember returns the context of a connection's requests, in which [Visitors.Counted] finds the connection.
func (*Visitors) Remember(ctx context.Context, c net.Conn) context.Context {
	if encrypted, ok := c.(*tls.Conn); ok {
		c = encrypted.NetConn()
	}
	return context.WithValue(ctx, visitorKey{}, c)
}

// Counted returns a handler that records when each connection's requests begin and end.
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
