// Package dropproxy loses replies, in tests and in the processes that they start: the server has carried a request out, and
// its client never hears of it.
package dropproxy

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// chunk is how much of a request the match function sees at once; the requests that tests look for are far smaller.
const chunk = 64 << 10

// A Proxy stands between a client and a server and forwards everything but the replies it was told to drop.
type Proxy struct {
	listener        net.Listener
	network, target string
	dropped         atomic.Int64

	mu     sync.Mutex // guards what follows, and the calls of match and cut
	match  func(request []byte) bool
	cut    func(request []byte) int
	conns  map[net.Conn]struct{} // nil once the proxy is closed
	pumped sync.WaitGroup
}

// Start is [Listen] until the test ends.
func Start(t testing.TB, network, target string, match func(request []byte) bool) *Proxy {
	t.Helper()
	p, err := Listen(t.Context(), network, target, match)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// Listen listens on a free TCP port of 127.0.0.1 for the server at target ("tcp" with host:port, or "unix" with a path)
// until [Proxy.Close]. Once ctx has ended, it makes no more connections to the server.
//
// The match function sees what a client sends, as it comes off the wire and before the server gets it. For a request
// that it says true to, the proxy forwards the request, waits for the server's reply, throws the reply away, and closes
// both connections: the client sees EOF for something that has happened. The reply is whatever the server sends next,
// so the connection must have nothing else under way. Calls to match come one at a time, whatever the number of
// connections.
func Listen(ctx context.Context, network, target string, match func(request []byte) bool) (*Proxy, error) {
	p, err := listen(ctx, network, target)
	if err != nil {
		return nil, err
	}
	p.match, p.cut = match, func([]byte) int { return -1 }
	p.run(ctx)
	return p, nil
}

func listen(ctx context.Context, network, target string) (*Proxy, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("dropproxy: %w", err)
	}
	return &Proxy{listener: listener, network: network, target: target, conns: make(map[net.Conn]struct{})}, nil
}

func (p *Proxy) run(ctx context.Context) { p.pumped.Go(func() { p.accept(ctx) }) }

// Cut is [Start] of a proxy that drops no replies, but breaks requests off. The cut function sees what match would; of a
// request for which it returns a length, the proxy forwards so much, and closes both connections. At -1 it forwards all.
func Cut(t testing.TB, network, target string, cut func(request []byte) int) *Proxy {
	t.Helper()
	p, err := listen(t.Context(), network, target)
	if err != nil {
		t.Fatal(err)
	}
	p.match, p.cut = func([]byte) bool { return false }, cut
	p.run(t.Context())
	t.Cleanup(p.Close)
	return p
}

// First matches the first request that contains all of the parts, and no other.
func First(parts ...string) func(request []byte) bool {
	found := false
	return func(request []byte) bool {
		if found {
			return false
		}
		for _, part := range parts {
			if !bytes.Contains(request, []byte(part)) {
				return false
			}
		}
		found = true
		return true
	}
}

// Addr is the host:port to connect to instead of the server's.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Dropped is the number of replies that the server gave and no client got, or of requests that were broken off.
func (p *Proxy) Dropped() int { return int(p.dropped.Load()) }

func (p *Proxy) accept(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		server, err := new(net.Dialer).DialContext(ctx, p.network, p.target)
		if err != nil {
			client.Close()
			continue
		}
		if !p.keep(client, server) {
			return
		}
		var drop atomic.Bool
		p.pumped.Go(func() { p.requests(client, server, &drop) })
		p.pumped.Go(func() { p.replies(client, server, &drop) })
	}
}

// requests forwards what the client sends. Having raised drop, it sends the request and nothing after it.
func (p *Proxy) requests(client, server net.Conn, drop *atomic.Bool) {
	buf := make([]byte, chunk)
	for {
		n, err := client.Read(buf)
		if n > 0 {
			if keep := p.cutsAt(buf[:n]); keep >= 0 {
				_, _ = server.Write(buf[:keep])
				p.dropped.Add(1)
				p.forget(client, server)
				return
			}
			hit := p.matches(buf[:n])
			drop.Store(hit)
			if _, werr := server.Write(buf[:n]); werr == nil && hit {
				return // replies closes both, once the server has answered
			} else if werr != nil {
				err = werr
			}
		}
		if err != nil {
			p.forget(client, server)
			return
		}
	}
}

func (p *Proxy) replies(client, server net.Conn, drop *atomic.Bool) {
	defer p.forget(client, server)
	buf := make([]byte, chunk)
	for {
		n, err := server.Read(buf)
		if n > 0 {
			if drop.Load() {
				p.dropped.Add(1)
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) matches(request []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.match(request)
}

func (p *Proxy) cutsAt(request []byte) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut(request)
}

// keep registers the connections for Close; false means that the proxy is closed already, and so are they.
func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.conns == nil {
			c.Close()
			continue
		}
		p.conns[c] = struct{}{}
	}
	return p.conns != nil
}

func (p *Proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(p.conns, c)
	}
}

// Close stops listening, closes all connections, and returns when nothing of the proxy runs any more.
func (p *Proxy) Close() {
	p.listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.pumped.Wait()
}
