package dropproxy_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"invoicer/internal/dropproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestProxy(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			server := startEcho(t, network)
			proxy := dropproxy.Start(t, network, server.addr, dropproxy.First("commit", "7"))

			other := dial(t, proxy)
			other.ask(t, "commit 1", "commit 1")

			c := dial(t, proxy)
			c.ask(t, "begin 7", "begin 7")
			if reply, err := c.send("commit 7"); !errors.Is(err, io.EOF) {
				t.Fatalf("reply %q, error %v; want EOF", reply, err)
			}
			if got := server.seen.Load(); got != 3 {
				t.Errorf("the server carried out %d requests, want all 3", got)
			}
			if got := proxy.Dropped(); got != 1 {
				t.Errorf("dropped %d replies, want 1", got)
			}

			again := dial(t, proxy)
			again.ask(t, "commit 7", "commit 7")
			other.ask(t, "still there", "still there")
		})
	}
}

// Of a request that is broken off, the server gets what comes before.
func TestCut(t *testing.T) {
	t.Parallel()
	server := startEcho(t, "tcp")
	proxy := dropproxy.Cut(t, "tcp", server.addr, func(request []byte) int { return bytes.Index(request, []byte("commit")) })
	c := dial(t, proxy)
	c.ask(t, "begin", "begin")
	if reply, err := c.send("write\ncommit"); err == nil {
		t.Fatalf("reply %q to a request that was broken off", reply)
	}
	for server.seen.Load() < 2 {
	}
	dial(t, proxy).ask(t, "still there", "still there")
	if seen, cut := server.seen.Load(), proxy.Dropped(); seen != 3 || cut != 1 {
		t.Errorf("the server carried out %d requests, want 3; %d were broken off, want 1", seen, cut)
	}
}

func TestProxyWithoutServer(t *testing.T) {
	t.Parallel()
	proxy := dropproxy.Start(t, "unix", filepath.Join(t.TempDir(), "nobody"), dropproxy.First("x"))
	c := dial(t, proxy)
	if _, err := c.send("hello"); err == nil {
		t.Error("a reply from a server that isn't there")
	}
	if got := proxy.Dropped(); got != 0 {
		t.Errorf("dropped %d replies, want 0", got)
	}
}

// client speaks lines.
type client struct {
	net.Conn
	lines *bufio.Reader
}

func dial(t *testing.T, proxy *dropproxy.Proxy) *client {
	t.Helper()
	conn, err := net.Dial("tcp", proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{conn, bufio.NewReader(conn)}
}

func (c *client) send(line string) (string, error) {
	if _, err := fmt.Fprintln(c, line); err != nil {
		return "", err
	}
	return c.lines.ReadString('\n')
}

func (c *client) ask(t *testing.T, line, want string) {
	t.Helper()
	if got, err := c.send(line); err != nil || got != want+"\n" {
		t.Fatalf("%q: got %q, %v; want %q", line, got, err, want)
	}
}

// echo answers each line with itself and counts them.
type echo struct {
	addr string
	seen atomic.Int64
}

func startEcho(t *testing.T, network string) *echo {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "echo")
	}
	listener, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{addr: listener.Addr().String()}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					e.seen.Add(1)
					fmt.Fprintln(conn, lines.Text())
				}
			})
		}
	})
	t.Cleanup(func() { listener.Close(); serving.Wait() })
	return e
}
