package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"invoicer/internal/term"
	"invoicer/invoice"
)

// Announce prints what the demo is going to do.
func Announce(out io.Writer, o Options) {
	transactions := len(transactions(o.Jobs))
	_, _ = fmt.Fprintf(out, `Billing systems ask twice. Here %d producers ask for the invoices of the same
%s transactions at once. Two systems get the same %s jobs:
  naive lock  a lock in Redis, a look for the invoice, then a write
  invoicer    %d worker processes, one of which is killed in the middle

`, o.Copies, term.Thousands(transactions), term.Thousands(len(o.Jobs)*o.Copies+len(o.Mistakes)), o.Workers)
}

// Tell prints the result on one screen of 24 lines, three of which it leaves to the caller. audit is the line about the audit, which
// the caller has run.
func (s *Story) Tell(out io.Writer, audit string) {
	say := func(format string, values ...any) { _, _ = fmt.Fprintf(out, format+"\n", values...) }
	say("\nCounted in Postgres, for %s transactions:", term.Thousands(s.Transactions))
	say("  %-10s  %8s  %12s  %7s", "", "invoices", "billed twice", "missing")
	for _, row := range []struct {
		name string
		Tally
	}{{"naive lock", s.Naive}, {"invoicer", s.Ours}} {
		say("  %-10s  %8s  %12s  %7s", row.name, term.Thousands(row.Invoices), term.Thousands(row.BilledTwice), term.Thousands(row.Missing))
	}
	s.tellRaces(say)
	s.tellKilling(say)
	say("%s", cut(s.outcomes(), screen))
	say("%s", audit)
}

// tellRaces draws one race under the naive lock, and one of ours.
func (s *Story) tellRaces(say func(string, ...any)) {
	if len(s.naiveRace.jobs) > 0 {
		say("\nIts lock lasts %s; 1 write in %d stalls for %s, as on a slow disk. So the", naiveTTL, stallEvery, naiveStall)
		say("lock expires, the next job finds no invoice, and both write one:")
		naive := s.naiveRace
		naive.jobs = naive.jobs[:min(len(naive.jobs), bothRows-len(s.race.jobs))]
		for _, line := range naive.lines() {
			say("%s", line)
		}
	}
	if len(s.race.jobs) > 0 {
		say("invoicer, transaction %s:", cut(s.race.transactionID, screen-len("invoicer, transaction :")))
		for _, line := range s.race.lines() {
			say("%s", line)
		}
	}
	if len(s.naiveRace.jobs)+len(s.race.jobs) > 0 {
		say("  %s", legend)
	}
}

func (s *Story) tellKilling(say func(string, ...any)) {
	if s.Killed.InHand == 0 {
		say("kill -9 took worker %d with no job in hand.", s.Killed.Worker)
		return
	}
	say("kill -9 took worker %d with %s jobs in hand; others ended them %.1f s later.",
		s.Killed.Worker, term.Thousands(s.Killed.InHand), s.Killed.BackAfter.Seconds())
}

// outcomes says how our workers' jobs ended.
func (s *Story) outcomes() string {
	var parts []string
	for _, o := range []invoice.Outcome{invoice.Created, invoice.Duplicate, invoice.Conflict, invoice.Invalid, invoice.Failed} {
		if n := s.Outcomes[o]; n > 0 {
			parts = append(parts, term.Thousands(n)+" "+string(o))
		}
	}
	return fmt.Sprintf("%s jobs in %s: %s.", term.Thousands(s.Asked), s.Took.Round(100*time.Millisecond), strings.Join(parts, ", "))
}
