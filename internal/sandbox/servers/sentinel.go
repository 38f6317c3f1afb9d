package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"syscall"

	"invoicer/internal/sandbox/programs"
)

// StartSentinel starts a Sentinel that alone decides about the master at masterAddr, a host:port, which clients know
// by the given name. Its URL begins with redis-sentinel:// and ends with that name. It holds a master for dead that
// has been silent for 3s, and takes no replica that has lost it for 30s. The context is for the start alone: the server outlives it.
//
// It returns a [*programs.MissingError] when there is no Redis on this machine.
func StartSentinel(ctx context.Context, masterAddr, masterName string) (*Server, error) {
	found, err := programs.Find(programs.Redis)
	if err != nil {
		return nil, err
	}
	s, err := prepare("Sentinel", "KILL")
	if err != nil {
		return nil, err
	}
	s.program, s.stop = found[programs.Redis], syscall.SIGTERM
	if err := s.configureSentinel(masterAddr, masterName); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) configureSentinel(masterAddr, masterName string) error {
	host, masterPort, err := net.SplitHostPort(masterAddr)
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	// It writes into its own configuration what it finds out.
	file := s.keeper.directory + "/sentinel.conf"
	settings := fmt.Sprintf(`port %s
bind 127.0.0.1
dir %s
sentinel monitor %[3]s %[4]s %[5]s 1
sentinel down-after-milliseconds %[3]s 3000
sentinel failover-timeout %[3]s 10000
`, port, s.keeper.directory, masterName, host, masterPort)
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		return err
	}
	if err := s.as.give(file); err != nil {
		return err
	}
	address := net.JoinHostPort("127.0.0.1", port)
	s.args = []string{file, "--sentinel"}
	s.URL = (&url.URL{Scheme: "redis-sentinel", Host: address, Path: "/" + masterName + "/0"}).String()
	s.ready = func(ctx context.Context) error { return ping(ctx, "tcp", address) }
	return nil
}
