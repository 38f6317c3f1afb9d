package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/inquiry"
	"invoicer/internal/report"
	"invoicer/internal/term"
)

func (a app) workersCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:     "workers",
		Short:   "Show the workers that run, what they do, and where their settings differ",
		GroupID: groupLook,
		Args:    noArgs,
		Long: `Shows the workers on the configured Redis that have shown themselves in the last ten seconds: name, version, since when they run,
the queues that they consume, how many jobs they have in hand, and since when the oldest of these. Below are the settings in
which workers of this installation differ.

A digest is the same for workers with the same settings. -o csv has the workers, and only --json the settings that differ.`,
		Example: `  invoicer workers
  invoicer workers --json | jq '.workers[] | {name, version, doing}'`,
	}
	addWaitFlag(cmd, &wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.inquire(cmd, wait, func(cfg *config.Config, r *inquiry.Reporter) error {
			found, err := r.Workers(cmd.Context())
			if err != nil {
				return withoutTables(cfg.Database.Schema, err)
			}
			return printInquiry(cmd, found, found.Problems,
				func() sheet { return workerSheet(found) }, func(out io.Writer) { writeWorkers(out, found) })
		})
	}
	return cmd
}

func writeWorkers(out io.Writer, found *report.Workers) {
	if len(found.Workers) == 0 {
		if len(found.Problems) == 0 {
			_, _ = fmt.Fprintln(out, "no worker is running") // the reader may have closed the pipe
		}
		return
	}
	rows := make([][]string, len(found.Workers))
	for i, w := range found.Workers {
		state, longest := workerState(&w)
		rows[i] = []string{
			w.Name, w.Version, age(&w.StartedAt), state, fmt.Sprintf("%d/%d", w.Active, w.Concurrency), w.Schema, w.Digest, weights(w.Queues), longest,
		}
	}
	term.WriteTable(out, []string{"worker", "version", "runs for", "state", "in hand", "schema", "settings", "queues", "longest"}, rows)
	if len(found.Differs) == 0 {
		return
	}
	var differs [][]string
	for _, s := range found.Differs {
		for _, value := range slices.Sorted(maps.Keys(s.Values)) {
			differs = append(differs, []string{s.Key, value, strings.Join(s.Values[value], ", ")})
		}
	}
	_, _ = fmt.Fprintln(out)
	section(out, "settings that differ", []string{"key", "value", "workers"}, differs)
}

func workerSheet(found *report.Workers) sheet {
	s := sheet{columns: []string{
		"name", "version", "started_at", "state", "active", "concurrency", "schema", "ours", "digest", "queues", "longest_job_id", "longest_since",
	}}
	for i := range found.Workers {
		w := &found.Workers[i]
		state, _ := workerState(w)
		job, since := "", ""
		if len(w.Doing) > 0 {
			job, since = w.Doing[0].JobID, instant(w.Doing[0].Since)
		}
		s.rows = append(s.rows, []string{
			w.Name, w.Version, instant(w.StartedAt), state, strconv.Itoa(w.Active), strconv.Itoa(w.Concurrency), w.Schema, strconv.FormatBool(w.Ours),
			w.Digest, weights(w.Queues), job, since,
		})
	}
	return s
}

// workerState returns what a worker does, and its longest job.
func workerState(w *report.Worker) (state, longest string) {
	switch {
	case w.Quiet:
		state = "quiet"
	case len(w.Doing) == 0:
		state = "waits"
	default:
		state = "works"
	}
	if len(w.Doing) == 0 {
		return state, "-"
	}
	return state, w.Doing[0].JobID + " for " + briefly(time.Since(w.Doing[0].Since))
}

func weights(queues map[string]int) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(queues)) {
		list = append(list, name+"="+strconv.Itoa(queues[name]))
	}
	return strings.Join(list, ",")
}
