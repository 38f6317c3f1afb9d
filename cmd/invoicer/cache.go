package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/inquiry"
	"invoicer/internal/report"
	"invoicer/internal/term"
)

func (a app) cacheCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:     "cache",
		Short:   "Show how long Redis remembers invoices, and what other times would do",
		GroupID: groupLook,
		Args:    noArgs,
		Long: `Redis remembers each invoice for idempotency.cache_ttl, so that a duplicate needs
no query for it. A late duplicate is one that finds its invoice made already.
This command shows:

  which time would answer the share of late duplicates that is asked for, by
    the newest of them; with idempotency.cache_ttl: auto the workers follow it
  for each worker its time, and how many late duplicates it has had since its
    start, with those that Redis answered
  what other times would have answered, at least, and about how many invoices
    Redis would remember now, with the memory that they need

-o csv has the last of these; --json has everything. A wrong time costs queries or memory, and never an invoice. docs/cache.md says
how the time is found.`,
		Example: `  invoicer cache
  invoicer cache --idempotency-cache-quantile 0.9
  invoicer cache --json | jq '.times[] | {ttl_seconds, hits, bytes}'`,
	}
	addConfigFlags(cmd, "idempotency")
	addWaitFlag(cmd, &wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.inquire(cmd, wait, func(cfg *config.Config, r *inquiry.Reporter) error {
			found, err := r.Cache(cmd.Context(), cfg.Idempotency.CacheTTL, limitsOf(cfg))
			if err != nil {
				return withoutTables(cfg.Database.Schema, err)
			}
			return printInquiry(cmd, found, found.Problems, func() sheet { return timeSheet(found.Times) }, func(out io.Writer) { writeCache(out, found) })
		})
	}
	return cmd
}

func writeCache(out io.Writer, c *report.Cache) {
	configured := "auto"
	if c.TTLSeconds != nil {
		configured = timeOf(*c.TTLSeconds)
	}
	_, _ = fmt.Fprintf(out, "idempotency.cache_ttl is %s.\n", configured)
	seen := term.Thousands(c.LateDuplicates) + " of " + term.Thousands(c.Needed) + " late duplicates seen"
	if c.LateDuplicates > c.Needed {
		seen = term.Thousands(c.LateDuplicates) + " late duplicates seen, of which " + term.Thousands(c.Needed) + " are needed"
	}
	fits := "too few to tell which time fits"
	if c.FittingSeconds != nil {
		fits = timeOf(*c.FittingSeconds) + " fits"
	}
	_, _ = fmt.Fprintf(out, "%s: %s.\nWanted are %s %% of late duplicates, within %s and %s.\n",
		seen, fits, strconv.FormatFloat(100*c.Quantile, 'g', 6, 64), timeOf(c.TTLMinSeconds), timeOf(c.TTLMaxSeconds))
	if len(c.Workers) > 0 {
		var rows [][]string
		for _, w := range c.Workers {
			rows = append(rows, []string{w.Worker, timeOf(w.TTLSeconds), count(w.LateDuplicates), count(w.Hits), share(w.Hits, w.LateDuplicates)})
		}
		_, _ = fmt.Fprintln(out)
		term.WriteTable(out, []string{"worker", "ttl", "late_duplicates", "hits", "hit_rate"}, rows)
	}
	var rows [][]string
	for _, t := range c.Times {
		rows = append(rows, []string{timeOf(t.TTLSeconds), count(int64(t.Hits)), share(int64(t.Hits), int64(c.LateDuplicates)), "~" + count(t.Entries), "~" + memory(t.Bytes)})
	}
	_, _ = fmt.Fprintln(out, "\nWhat Redis would have answered of these, and about what it would remember now:")
	term.WriteTable(out, []string{"ttl", "hits", "hit_rate", "entries", "memory"}, rows)
}

func timeSheet(times []report.CacheTime) sheet {
	s := sheet{columns: []string{"ttl_seconds", "hits", "entries", "bytes"}}
	for _, t := range times {
		s.rows = append(s.rows, []string{decimal(t.TTLSeconds), strconv.Itoa(t.Hits), whole(t.Entries), whole(t.Bytes)})
	}
	return s
}

// timeOf returns seconds as the configuration has them.
func timeOf(seconds float64) string {
	return config.FormatDuration(time.Duration(seconds * float64(time.Second)).Round(time.Second))
}

// share returns which part of a number of things another number is, in percent.
func share(part, of int64) string {
	if of == 0 {
		return "-"
	}
	return strconv.FormatFloat(100*float64(part)/float64(of), 'f', 1, 64) + " %"
}

// memory returns bytes in the largest unit of which there is one or more.
func memory(bytes int64) string {
	if bytes < 1000 {
		return strconv.FormatInt(bytes, 10) + " B"
	}
	unit, size := "KB", 1e3
	for _, next := range []string{"MB", "GB", "TB"} {
		if float64(bytes) < 1000*size {
			break
		}
		unit, size = next, 1000*size
	}
	return strconv.FormatFloat(float64(bytes)/size, 'f', 1, 64) + " " + unit
}
