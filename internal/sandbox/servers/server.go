package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// ErrDown comes back from what needs a running server when it was killed or closed.
var ErrDown = errors.New("the server is not running")

// startTimeout bounds a start whose context has no nearer end. A start takes a second.
const startTimeout = time.Minute

// Server is one private server with a directory of its own. Its methods may be called from several goroutines.
//
// It is taken down, and its directory removed, by [Server.Close] or when this process ends, however it does. A Server
// that nothing refers to any more may be taken down as well.
type Server struct {
	// URL is where clients find it. It stays the same when the server is killed and restarted.
	URL string

	name    string
	program string
	args    []string
	as      *account
	// stop asks it to shut down in order.
	stop syscall.Signal
	// ready returns nil when it answers.
	ready func(context.Context) error

	mu      sync.Mutex
	keeper  *keeper  // nil when closed
	running *process // nil when down
}

// prepare returns a server that has its directory and nothing in it yet. Its keeper will end it with the named signal.
func prepare(name, signal string) (*Server, error) {
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	k, err := startKeeper(as.temporaryParent(), signal)
	if err != nil {
		return nil, err
	}
	s := &Server{name: name, as: as, keeper: k}
	if err := as.give(k.directory); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// start runs the program and returns when it is ready.
func (s *Server) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	running, err := s.keeper.start(s.program, s.args, s.as)
	if err != nil {
		return err
	}
	for {
		err := s.ready(ctx)
		if err == nil {
			s.running = running
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(fmt.Errorf("%s did not become ready: %w", s.name, err), running.kill(), s.keeper.forget())
		}
		if running.exited(5 * time.Millisecond) {
			err := errors.Join(running.wait(patience), s.keeper.forget())
			return fmt.Errorf("%s did not start: %w: %s", s.name, err, s.keeper.lastWords())
		}
	}
}

// Kill ends the server and all its child processes at once, as kill -9 or a power failure would, and returns when they
// are gone. What it had written to the system stays.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kill()
}

func (s *Server) kill() error {
	if s.running == nil {
		return ErrDown
	}
	if err := s.running.kill(); err != nil {
		return fmt.Errorf("kill %s: %w", s.name, err)
	}
	s.running = nil
	return s.keeper.forget()
}

// Restart starts the server again at the same place and URL, after a killing as well as in mid-work, when it is shut
// down in order first. It returns when the server answers. Redis comes back empty unless it is durable.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keeper == nil {
		return ErrDown
	}
	if s.running != nil {
		if err := s.shutDown(ctx); err != nil {
			return fmt.Errorf("shut %s down: %w", s.name, err)
		}
	}
	return s.start(ctx)
}

func (s *Server) shutDown(ctx context.Context) error {
	if err := errors.Join(s.running.resume(), syscall.Kill(s.running.command.Process.Pid, s.stop)); err != nil {
		return err
	}
	if err := s.running.waitContext(ctx); err != nil {
		return err
	}
	s.running = nil
	return s.keeper.forget()
}

// Pause stops the server where it is, as SIGSTOP does to all of its processes: connections stay and nothing answers.
// [Server.Resume] lets it go on.
func (s *Server) Pause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return ErrDown
	}
	return s.running.pause()
}

// Resume lets a paused server go on.
func (s *Server) Resume() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return ErrDown
	}
	return s.running.resume()
}

// Close takes the server down and removes its directory. A second call does nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keeper == nil {
		return nil
	}
	var errs []error
	if s.running != nil {
		errs = append(errs, s.running.resume())
	}
	errs = append(errs, s.keeper.close())
	if s.running != nil {
		_ = s.running.wait(patience) // how it died is no news: its keeper has ended it
	}
	s.keeper, s.running = nil, nil
	return errors.Join(errs...)
}

// freePort returns a TCP port of the loopback interface that nobody listens on just now.
func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // binds and returns at once
	if err != nil {
		return "", err
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, err
}
