package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"syscall"

	"invoicer/internal/sandbox/programs"
)

// RedisOptions change what a private Redis is like. The zero value is a Redis for tests.
type RedisOptions struct {
	// Durable keeps an append-only file, flushed to the disk every second, so that what a client was told survives
	// [Server.Kill] and [Server.Restart]. Default: it comes back empty.
	Durable bool
	// TCP makes it listen on a free port of 127.0.0.1, which its URL then names. Default: only on a unix socket.
	TCP bool
	// Settings are more directives of redis.conf, such as "maxmemory": "2mb". Default: none.
	Settings map[string]string
}

// StartRedis starts a private Redis. The context is for the start alone: the server outlives it.
//
// It returns a [*programs.MissingError] when there is no Redis on this machine.
func StartRedis(ctx context.Context, options RedisOptions) (*Server, error) {
	found, err := programs.Find(programs.Redis)
	if err != nil {
		return nil, err
	}
	return startRedis(ctx, found[programs.Redis], options)
}

func startRedis(ctx context.Context, program string, options RedisOptions) (*Server, error) {
	// What it keeps is in files, so there is nothing that a kill could lose and a shutdown would save.
	s, err := prepare("Redis", "KILL")
	if err != nil {
		return nil, err
	}
	s.program, s.stop = program, syscall.SIGTERM
	if err := s.configureRedis(options); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) configureRedis(options RedisOptions) error {
	directory := s.keeper.directory
	settings := map[string]string{
		"dir":              directory,
		"unixsocket":       directory + "/redis.sock",
		"bind":             "127.0.0.1",
		"port":             "0", // none
		"save":             "",
		"appendonly":       "no",
		"maxmemory-policy": "noeviction",
	}
	network, address := "unix", settings["unixsocket"]
	s.URL = "unix://" + address
	if options.TCP {
		port, err := freePort()
		if err != nil {
			return err
		}
		settings["port"] = port
		network, address = "tcp", net.JoinHostPort(settings["bind"], port)
		s.URL = "redis://" + address + "/0"
	}
	s.ready = func(ctx context.Context) error { return ping(ctx, network, address) }
	if options.Durable {
		settings["appendonly"] = "yes"
		settings["appendfsync"] = "everysec"
	}
	maps.Copy(settings, options.Settings)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		s.args = append(s.args, "--"+name, settings[name])
	}
	return nil
}

// ping asks a Redis whether it has its data and answers.
func ping(ctx context.Context, network, address string) error {
	connection, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer connection.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := connection.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if _, err := connection.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		return err
	}
	// Any refusal but "still loading" is an answer too: a password was set, for example.
	if strings.HasPrefix(answer, "-LOADING") {
		return fmt.Errorf("redis: %s", strings.TrimSpace(answer))
	}
	return nil
}
