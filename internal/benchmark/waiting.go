package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// A waitingCost is what clients cost while they wait for their invoices: processor seconds in a minute and MB of `invoicer serve`, without them
// and with them.
type waitingCost struct {
	Clients       int
	None, Some    cpu
	Before, After float64 // MB of serve
}

// more is how many seconds of all processes a minute of waiting takes.
func (w *waitingCost) more() float64 { return max(w.Some.total()-w.None.total(), 0.001) }

// waitingCost has clients wait for invoices that nobody makes.
func (b *bench) waitingCost(ctx context.Context, o options, clients int) (_ *waitingCost, err error) {
	if err := b.empty(ctx, schema); err != nil {
		return nil, err
	}
	if err := b.migrate(ctx, schema); err != nil {
		return nil, err
	}
	first, err := b.launch(ctx, o.common, schema, "worker") // by which the queue is known
	if err != nil {
		return nil, err
	}
	first.stop()
	p, err := b.launch(ctx, o.common, schema, "serve")
	if err != nil {
		return nil, err
	}
	defer p.stop()
	b.programs.workers = []int{p.command.Process.Pid}
	defer func() { b.programs.workers = nil }()

	const longest = 30 // seconds, which the API allows
	length := time.Duration(min(2*b.seconds, 15) * float64(time.Second))
	w := &waitingCost{Clients: clients}
	measure := func() (cpu, error) {
		before, begun := b.programs.cpu(), time.Now()
		select {
		case <-ctx.Done():
			return cpu{}, ctx.Err()
		case <-time.After(length):
		}
		used, minutes := b.programs.cpu().minus(before), time.Since(begun).Minutes()
		return cpu{used.Worker / minutes, used.Postgres / minutes, used.Redis / minutes}, nil
	}
	rest := func() { time.Sleep(length / 5) } // until what came before has had its effects
	rest()
	if w.None, err = measure(); err != nil {
		return nil, err
	}
	w.Before = p.memory()
	client := newClient()
	defer client.CloseIdleConnections()
	group, waiting := errgroup.WithContext(ctx)
	waiting, leave := context.WithCancel(waiting)
	defer func() { leave(); _ = group.Wait() }()
	for i := range clients {
		payload, err := synthetic("T", i, 5)
		if err != nil {
			return nil, err
		}
		group.Go(func() error {
			status, answer, err := post(waiting, client, p.url+"/v1/jobs?queue="+queue, fmt.Sprintf("wait=%d", longest), payload)
			if err == nil && status != http.StatusAccepted {
				err = fmt.Errorf("a waiting job was answered %d: %.500s", status, answer)
			}
			if waiting.Err() != nil {
				return nil
			}
			return err
		})
		time.Sleep(4 * time.Millisecond) // it is the waiting that is measured
	}
	if err := b.awaitJobs(waiting, clients); err != nil {
		leave()
		return nil, fmt.Errorf("%w; %w", group.Wait(), err)
	}
	rest()
	if w.Some, err = measure(); err != nil {
		return nil, err
	}
	w.After = p.memory()
	b.tell("%d waiting: %.2f s of CPU a minute, %.2f without them (%s); %.0f MB, %.0f without them", clients, w.Some.total(), w.None.total(), asJSON(w.Some), w.After, w.Before)
	if waiting.Err() != nil {
		return nil, group.Wait()
	}
	return w, nil
}

func asJSON(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// awaitJobs waits until so many jobs are in the ledger.
func (b *bench) awaitJobs(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		var accepted int
		if err := b.db.QueryRow(ctx, "SELECT count(*) FROM "+pgx.Identifier{schema, "invoice_jobs"}.Sanitize()).Scan(&accepted); err != nil {
			return err
		}
		if accepted >= n {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (f *full) waitingTable() table {
	t := table{title: "Clients that wait for their invoices", header: []string{"clients", "CPU s of serve in a minute", "of Redis", "of Postgres", "of all", "MB of serve"}}
	if w := f.Waiting; w != nil {
		t.rows = [][]string{
			append(append([]string{"0"}, cpuCells(w.None)...), fmt.Sprintf("%.0f", w.Before)),
			append(append([]string{thousands(float64(w.Clients))}, cpuCells(w.Some)...), fmt.Sprintf("%.0f", w.After)),
		}
	}
	return t
}
