package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// repository is where the program is built, from where the benchmark runs.
const repository = "../.."

// A program is invoicer itself, built and started as it is used, where what is measured is more than the worker: its listener, and its own
// processor time.
type program struct {
	command *exec.Cmd
	log     *os.File
	ended   chan struct{} // closed when it has ended
	url     string
}

// build builds the program, once for all.
func (b *bench) build(ctx context.Context) (string, error) {
	if b.built != "" {
		return filepath.Join(b.built, "invoicer"), nil
	}
	folder, err := os.MkdirTemp("", "invoicer-benchmark")
	if err != nil {
		return "", err
	}
	name := filepath.Join(folder, "invoicer")
	build := exec.CommandContext(ctx, "go", "build", "-o", name, "./cmd/invoicer")
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		_ = os.RemoveAll(folder)
		return "", fmt.Errorf("the program can't be built in %s: %w: %s", repository, err, out)
	}
	b.built = folder
	return name, nil
}

// launch starts a command of the program that listens, and returns when it is ready.
func (b *bench) launch(ctx context.Context, s setting, schema, command string) (_ *program, err error) {
	name, err := b.build(ctx)
	if err != nil {
		return nil, err
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		return nil, err
	}
	p := &program{command: exec.Command(name, command), ended: make(chan struct{}), url: "http://" + addr}
	if p.log, err = os.CreateTemp("", "invoicer-benchmark-*.log"); err != nil {
		return nil, err
	}
	p.command.Stderr = p.log
	for _, one := range os.Environ() {
		if !strings.HasPrefix(one, "INVOICER_") {
			p.command.Env = append(p.command.Env, one)
		}
	}
	p.command.Env = append(p.command.Env,
		"INVOICER_DATABASE_URL="+b.databaseURL, "INVOICER_REDIS_URL="+b.redisURL, "INVOICER_DATABASE_SCHEMA="+schema, "INVOICER_HTTP_ADDR="+addr,
		"INVOICER_WORKER_QUEUES="+queue+"=1", "INVOICER_WORKER_CONCURRENCY="+strconv.Itoa(s.Slots), "INVOICER_EVENTS_ALLOW=127.0.0.0/8",
		"INVOICER_ALLOW_UNSAFE=true", // -fsync=false
		"INVOICER_HTTP_PPROF=on",     // for whoever wants to know where its time goes
	)
	if err := p.command.Start(); err != nil {
		p.stop()
		return nil, err
	}
	go func() {
		_ = p.command.Wait() // how it ended shows in what it made
		close(p.ended)
	}()
	if err := p.ready(ctx); err != nil {
		p.stop()
		return nil, fmt.Errorf("invoicer %s: %w: %s", command, err, p.lastLines())
	}
	if command == "worker" {
		if err := b.awaitQueue(ctx, schema); err != nil {
			p.stop()
			return nil, err
		}
	}
	return p, nil
}

// awaitQueue returns once jobs for the queue are accepted: a worker makes it known when it first looks after it, a moment after it is ready.
func (b *bench) awaitQueue(ctx context.Context, schema string) error {
	for range 1500 {
		var known bool
		err := b.db.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+pgx.Identifier{schema, "ledger_queues"}.Sanitize()+" WHERE queue = $1)", queue).Scan(&known)
		if err != nil || known {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("the worker doesn't look after its queue")
}

func (p *program) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/readyz", nil)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ended:
			return errors.New("it has ended")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p *program) lastLines() string {
	content, _ := os.ReadFile(p.log.Name())
	return string(content[max(0, len(content)-2000):])
}

// stop ends it, and returns when it has ended.
func (p *program) stop() {
	if p.command.Process != nil {
		_ = p.command.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-p.ended:
		case <-time.After(30 * time.Second): // it hangs
			_ = p.command.Process.Kill()
			<-p.ended
		}
	}
	_ = p.log.Close()
	_ = os.Remove(p.log.Name())
}

// memory is what it has in memory now, in MB; 0 where the system doesn't tell.
func (p *program) memory() float64 {
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	_, value, _ := bytes.Cut(content, []byte("VmRSS:"))
	value, _, _ = bytes.Cut(value, []byte("kB"))
	n, _ := strconv.ParseFloat(string(bytes.TrimSpace(value)), 64)
	return n / 1024
}
