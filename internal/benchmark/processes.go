package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"invoicer/worker"
)

// workerArgument makes this program one worker, for who started it.
const workerArgument = "worker"

// An order is what such a worker is told, in one line. It answers ready, waits for the second line, begins, and from then
// on writes how many jobs have ended in all. When its input ends it stops, and its last line is its peak memory.
type order struct {
	DatabaseURL, RedisURL, Schema string
	Setting                       setting
}

func runWorkerProcess(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	in := bufio.NewReader(stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return err
	}
	debug.SetGCPercent(garbagePercent)
	var ended atomic.Int64
	b := &bench{databaseURL: o.DatabaseURL, redisURL: o.RedisURL}
	w, err := newWorkplace(ctx, b, o.Setting, o.Schema, extras{}, func(e worker.Event) {
		if e.What == worker.Ended {
			ended.Add(1)
		}
	})
	if err != nil {
		return err
	}
	defer w.close()
	fmt.Fprintln(stdout, "ready")
	if _, err := in.ReadBytes('\n'); err != nil {
		return err
	}
	stop, err := w.start(ctx)
	if err != nil {
		return err
	}
	defer stop()

	over := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, in) // it ends with who started this process, at the latest
		close(over)
	}()
	ticks := time.NewTicker(5 * time.Millisecond)
	defer ticks.Stop()
	for told := int64(0); ; {
		select {
		case <-ticks.C:
		case <-over:
			stop()
			fmt.Fprintf(stdout, "peak %.1f\n", peakMemory())
			return nil
		}
		if n := ended.Load(); n != told {
			told = n
			fmt.Fprintln(stdout, n)
		}
	}
}

// processPeer is the worker in processes of its own.
type processPeer struct {
	count int
	peak  *float64 // set to the most memory that one of them had, unless nil
}

// A workerProcess is one of them, seen from here.
type workerProcess struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	read    chan struct{} // closed when it has said its last word; nil until it is told to begin
	peak    float64
}

func (p processPeer) open(ctx context.Context, b *bench, s setting, schema string) (*system, error) {
	if err := b.migrate(ctx, schema); err != nil {
		return nil, err
	}
	var running []*workerProcess
	var pids []int
	stop := func() {
		for _, w := range running {
			_ = w.in.Close()
		}
		for _, w := range running {
			w.end()
			if p.peak != nil {
				*p.peak = max(*p.peak, w.peak)
			}
		}
		running = nil
	}
	for range p.count {
		w, err := startWorkerProcess(ctx, order{b.databaseURL, b.redisURL, schema, s})
		if err != nil {
			stop()
			return nil, err
		}
		running = append(running, w)
		pids = append(pids, w.command.Process.Pid)
	}
	return &system{
		load: func(ctx context.Context, j jobs) error { return enqueue(ctx, b.rdb, j) },
		start: func(_ context.Context, ended func()) error {
			for _, w := range running {
				if _, err := fmt.Fprintln(w.in, "go"); err != nil {
					return err
				}
				w.read = make(chan struct{})
				go w.follow(ended)
			}
			return nil
		},
		stop: stop,
		check: func(ctx context.Context, j jobs) error {
			if err := b.count(ctx, schema, j.n, true); err != nil {
				return err
			}
			return b.countEnds(ctx, schema, j.n, 0, false)
		},
		close: stop, processes: pids,
	}, nil
}

// startWorkerProcess returns one that is ready to begin.
func startWorkerProcess(ctx context.Context, o order) (_ *workerProcess, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	w := &workerProcess{command: exec.CommandContext(ctx, program, workerArgument)}
	w.command.Stderr = os.Stderr
	if w.in, err = w.command.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := w.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.out = bufio.NewScanner(out)
	if err := w.command.Start(); err != nil {
		return nil, err
	}
	if _, err = fmt.Fprintf(w.in, "%s\n", text); err == nil && (!w.out.Scan() || w.out.Text() != "ready") {
		err = fmt.Errorf("a worker process did not get ready")
	}
	if err != nil {
		_ = w.in.Close()
		_ = w.command.Wait()
		return nil, err
	}
	return w, nil
}

// follow reads what the process tells until it has ended.
func (w *workerProcess) follow(ended func()) {
	defer close(w.read)
	told := 0
	for w.out.Scan() {
		if peak, found := strings.CutPrefix(w.out.Text(), "peak "); found {
			w.peak, _ = strconv.ParseFloat(peak, 64)
			continue
		}
		n, _ := strconv.Atoi(w.out.Text())
		for ; told < n; told++ {
			ended()
		}
	}
}

// end waits for a process whose input is closed.
func (w *workerProcess) end() {
	if w.read != nil {
		select {
		case <-w.read:
		case <-time.After(30 * time.Second): // it hangs
			_ = w.command.Process.Kill()
		}
	}
	_ = w.command.Wait() // how it ended shows in what it made
}

// memory is what one worker process needs at most, with a small and with a large backlog.
func (b *bench) memory(ctx context.Context, o options) ([]memory, error) {
	var list []memory
	for _, backlog := range []int{atLeast(1500 * b.seconds), atLeast(15_000 * b.seconds)} {
		peak := 0.0
		c := contestant{name: invoicerName, open: processPeer{count: 1, peak: &peak}.open}
		if _, err := b.play(ctx, round{contestant: c, setting: o.common, jobs: fiveLines.first(backlog)}); err != nil {
			return nil, err
		}
		b.tell("memory: %.0f MB at most, with %d jobs waiting", peak, backlog)
		list = append(list, memory{Backlog: backlog, Peak: peak})
	}
	return list, nil
}
