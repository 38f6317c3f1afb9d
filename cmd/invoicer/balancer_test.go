package main

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// A balancer is one address before several processes, which take turns. Connections to a process that dies break.
type balancer struct {
	net.Listener
	addresses []string
	pumped    sync.WaitGroup
	mu        sync.Mutex
	open      map[net.Conn]bool // nil once it is closed
}

func startBalancer(t *testing.T, addresses []string) *balancer {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	b := &balancer{Listener: listener, addresses: addresses, open: make(map[net.Conn]bool)}
	b.pumped.Go(b.serve)
	t.Cleanup(func() {
		b.Close()
		b.mu.Lock()
		for c := range b.open {
			c.Close()
		}
		b.open = nil
		b.mu.Unlock()
		b.pumped.Wait()
	})
	return b
}

func (b *balancer) serve() {
	for turn := 0; ; turn++ {
		from, err := b.Accept()
		if err != nil {
			return
		}
		to := b.dial(turn)
		b.mu.Lock()
		if to == nil || b.open == nil {
			from.Close()
			b.mu.Unlock()
			if to != nil {
				to.Close()
			}
			continue
		}
		b.open[from], b.open[to] = true, true
		b.mu.Unlock()
		b.pumped.Go(func() { b.pump(from, to) })
		b.pumped.Go(func() { b.pump(to, from) })
	}
}

// dial connects to the next process that answers, or returns nil.
func (b *balancer) dial(turn int) net.Conn {
	for i := range b.addresses {
		if c, err := new(net.Dialer).DialContext(context.Background(), "tcp", b.addresses[(turn+i)%len(b.addresses)]); err == nil {
			return c
		}
	}
	return nil
}

// pump passes on what comes, and then breaks both connections.
func (b *balancer) pump(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	from.Close()
	to.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, from)
	delete(b.open, to)
}
