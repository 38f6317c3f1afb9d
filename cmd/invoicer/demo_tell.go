package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"invoicer/internal/demo"
	"invoicer/invoice"
	"invoicer/invoice/postgres/audit"
	"invoicer/web"
)

// demoJSON is the story for machines.
type demoJSON struct {
	Jobs          int                     `json:"jobs"`
	Transactions  int                     `json:"transactions"`
	Seconds       float64                 `json:"seconds"`
	JobsPerSecond float64                 `json:"jobs_per_second"`
	Outcomes      map[invoice.Outcome]int `json:"outcomes"`
	Reasons       map[invoice.Reason]int  `json:"duplicate_reasons"`
	RacesLost     int                     `json:"races_lost"`
	PutBack       int                     `json:"put_back"`
	Naive         demo.Tally              `json:"naive"`
	Invoicer      demo.Tally              `json:"invoicer"`
	Killed        killedJSON              `json:"killed"`
	Audit         *audit.Report           `json:"audit"`
}

// killedJSON describes the worker that was killed, and when other workers had ended its jobs.
type killedJSON struct {
	Worker  int     `json:"worker"`
	PID     int     `json:"pid"`
	InHand  int     `json:"jobs_in_hand"`
	Seconds float64 `json:"ended_after_seconds"` // the last one of them
}

// tell ends the demo: what happened, a race of each kind, the audit, and what to try next.
func (a app) tell(cmd *cobra.Command, d *demonstration, s *demo.Story, report *audit.Report) error {
	if d.json {
		return printJSON(cmd, demoJSON{
			Jobs: s.Asked, Transactions: s.Transactions,
			Seconds: s.Took.Seconds(), JobsPerSecond: float64(s.Asked) / s.Took.Seconds(),
			Outcomes: s.Outcomes, Reasons: s.Reasons, RacesLost: s.RacesLost, PutBack: s.PutBack,
			Naive: s.Naive, Invoicer: s.Ours,
			Killed: killedJSON{Worker: s.Killed.Worker, PID: s.Killed.PID, InHand: s.Killed.InHand, Seconds: s.Killed.BackAfter.Seconds()},
			Audit:  report,
		})
	}
	verdict := fmt.Sprintf("The audit of all that is stored: all %d checks passed.", len(report.Checks))
	if !report.OK() {
		verdict = "The audit of all that is stored has FAILED:"
	}
	s.Tell(d.out, verdict)
	if !report.OK() {
		return writeAudit(cmd.OutOrStdout(), report)
	}
	if !d.serve {
		a.tellNext(d)
	}
	return nil
}

// tellNext says what to try. Where make has started the demo, its servers are gone soon, and make is what starts others.
func (a app) tellNext(d *demonstration) {
	serving, others := "invoicer demo --serve", "invoicer demo --copies 5"
	if slices.ContainsFunc(a.environ, func(v string) bool { return strings.HasPrefix(v, "MAKELEVEL=") }) {
		serving, others = "make demo DEMO_ARGS=--serve", "make demo DEMO_ARGS='--copies 5'"
	}
	for _, next := range [][2]string{
		{"Next: " + serving, "the pages in a browser, your own jobs"},
		{"      " + others, "more producers that ask"},
		{"      invoicer help", "for your own servers, see README"},
	} {
		_, _ = fmt.Fprintf(d.out, "%-39s %s\n", next[0], next[1])
	}
}

// tellWhere says what there is to see and to do now. Values stand on lines of their own, to be copied.
func (d *demonstration) tellWhere(p *servedPages) {
	if p == nil || d.json {
		return
	}
	_, _ = fmt.Fprintf(d.out, `
  the queues   %[1]s%[2]s/
  health       %[1]s/readyz
  metrics      %[1]s/metrics
From another terminal: invoicer enqueue FILE, invoicer status TRANSACTION_ID,
invoicer audit, after
  export INVOICER_DATABASE_URL='%[3]s'
  export INVOICER_REDIS_URL='%[4]s'
  export INVOICER_DATABASE_SCHEMA='%[5]s'
`, p.URL(), web.MonitorPath, d.address, d.cfg.Redis.URL, d.cfg.Database.Schema)
	d.tellPages(p.URL())
}
