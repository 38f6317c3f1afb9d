package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/inquiry"
	"invoicer/internal/report"
	"invoicer/internal/term"
	"invoicer/invoice/postgres"
)

// A top is how things stand at one moment.
type top struct {
	Now      report.Now      `json:"now"`
	Queues   *report.Queues  `json:"queues"`
	Workers  *report.Workers `json:"workers"`
	Problems []string        `json:"problems"` // what couldn't be asked
}

// topTimeout bounds one look, so that a server that hangs is told of.
const topTimeout = 10 * time.Second

func (a app) topCommand() *cobra.Command {
	var wait, every time.Duration
	var once bool
	cmd := &cobra.Command{
		Use:     "top",
		Short:   "Watch invoices, queues and workers",
		GroupID: groupLook,
		Args:    noArgs,
		Long: `Shows how things stand, again and again until Ctrl-C: how many invoices and duplicates a second, how long an accepted job takes to
become an invoice, how many invoices a plain check would have doubled, the queues, and the workers with their longest job.

Without a terminal, with --once and with --json it shows this once. 'invoicer queues' and 'invoicer workers' have the other forms.`,
		Example: `  invoicer top
  invoicer top --every 10s
  invoicer top --json | jq .now.time_to_invoice`,
	}
	cmd.Flags().DurationVar(&every, "every", 2*time.Second, "how often to look, at least `100ms`")
	cmd.Flags().BoolVar(&once, "once", false, "look once")
	addWaitFlag(cmd, &wait)
	addOutputFlags(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if every < 100*time.Millisecond {
			return usageErrorf("--every %s: must be 100ms or longer", every)
		}
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		return withReporter(cmd, cfg, wait, func(store *postgres.DB, reporter *inquiry.Reporter) error {
			look := func(ctx context.Context) (*top, error) { return lookAtAll(ctx, store.Reports, reporter) }
			if out := cmd.OutOrStdout(); !once && !wantsJSON(cmd) && term.IsTerminal(out) {
				return watchTop(cmd.Context(), out, cfg, every, look)
			}
			found, err := look(cmd.Context())
			if err != nil {
				return withoutTables(cfg.Database.Schema, err)
			}
			return printInquiry(cmd, found, found.Problems, nil, func(out io.Writer) { writeTop(out, found) })
		})
	}
	return cmd
}

func lookAtAll(ctx context.Context, reports *postgres.Reports, reporter *inquiry.Reporter) (*top, error) {
	ctx, cancel := context.WithTimeout(ctx, topTimeout)
	defer cancel()
	now, err := reports.Now(ctx)
	if err != nil {
		return nil, err
	}
	queues, err := reporter.Queues(ctx)
	if err != nil {
		return nil, err
	}
	workers, err := reporter.Workers(ctx)
	if err != nil {
		return nil, err
	}
	found := &top{Now: now, Queues: queues, Workers: workers, Problems: []string{}}
	for _, problem := range append(queues.Problems, workers.Problems...) {
		if len(found.Problems) == 0 || found.Problems[0] != problem { // both ask the same Redis
			found.Problems = append(found.Problems, problem)
		}
	}
	return found, nil
}

// watchTop draws one look after the other in the same place, until ctx ends. A server that doesn't answer is told of there.
func watchTop(ctx context.Context, out io.Writer, cfg *config.Config, every time.Duration, look func(context.Context) (*top, error)) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	const home, clearLine, clearBelow = "\x1b[H", "\x1b[K", "\x1b[J"
	_, _ = io.WriteString(out, home+clearBelow) // here and below: without a terminal any more, there is nobody to tell
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		width, height := term.Size(out)
		var page bytes.Buffer
		_, _ = fmt.Fprintf(&page, "%s in %s   every %s, Ctrl-C ends\n\n", cfg.Database.Schema, cfg.Database.Addr(), every)
		found, err := look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			term.WriteWrapped(&page, width, "", "not answered at "+time.Now().Format(time.TimeOnly)+": "+term.Printable([][]string{{err.Error()}})[0][0])
		default:
			writeTop(&page, found)
		}
		lines := strings.Split(strings.TrimSuffix(page.String(), "\n"), "\n")
		lines = lines[:min(len(lines), max(height-1, 1))]
		for i, line := range lines {
			if runes := []rune(line); len(runes) > width {
				lines[i] = string(runes[:width])
			}
		}
		_, _ = io.WriteString(out, home+strings.Join(lines, clearLine+"\r\n")+clearLine+"\r\n"+clearBelow)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func writeTop(out io.Writer, found *top) {
	now := &found.Now
	var waiting int64
	var queues, workers [][]string
	for i := range found.Queues.Queues {
		q := &found.Queues.Queues[i]
		if !q.Concerns() {
			continue
		}
		waiting += q.Waiting()
		queues = append(queues, []string{
			q.Queue, strconv.FormatInt(q.Waiting(), 10), orUnknown(q.Active), age(q.OldestAt), rate(q.Rate), emptyIn(q), strconv.Itoa(q.Consumers), queueState(q),
		})
	}
	for i := range found.Workers.Workers {
		w := &found.Workers.Workers[i]
		if !w.Ours {
			continue
		}
		state, longest := workerState(w)
		workers = append(workers, []string{w.Name, w.Version, state, fmt.Sprintf("%d/%d", w.Active, w.Concurrency), longest})
	}
	delay := "-"
	if d := now.TimeToInvoice; d != nil {
		delay = fmt.Sprintf("%s (half of the jobs), %s (99 %%)", d.P50.Round(time.Millisecond), d.P99.Round(time.Millisecond))
	}
	perSecond := func(r report.Rate) string { n := r.PerSecond(); return rate(&n) + " a second" }
	for _, line := range [][2]string{
		{"invoices", perSecond(now.Invoices)},
		{"duplicates stopped", perSecond(now.Duplicates)},
		{"doubled by a plain check", term.Thousands(now.Doubled) + " invoices, in 24 hours"},
		{"from accepted to invoice", delay},
		{"waiting", term.Thousands(int(waiting)) + " jobs, the oldest for " + age(now.OldestAccepted)},
	} {
		_, _ = fmt.Fprintf(out, "%-24s  %s\n", line[0], line[1]) // here and below: the reader may have closed the pipe
	}
	_, _ = fmt.Fprintln(out)
	term.WriteTable(out, []string{"queue", "waiting", "active", "oldest", "per second", "empty in", "workers", "state"}, queues)
	_, _ = fmt.Fprintln(out)
	if len(workers) == 0 && len(found.Problems) == 0 {
		_, _ = fmt.Fprintln(out, "no worker is running")
	} else {
		term.WriteTable(out, []string{"worker", "version", "state", "in hand", "longest"}, workers)
	}
	if len(found.Problems) > 0 {
		_, _ = fmt.Fprintln(out)
	}
	for _, problem := range found.Problems {
		_, _ = fmt.Fprintln(out, term.Printable([][]string{{problem}})[0][0])
	}
}
