package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/report"
	"invoicer/internal/term"
)

func (a app) racesCommand() *cobra.Command {
	var wait time.Duration
	var since, producer string
	cmd := &cobra.Command{
		Use:     "races",
		Short:   "Show which producers ask twice, and what that would have doubled",
		GroupID: groupLook,
		Long: `Shows, for the last hours, each producer with its jobs, duplicates, lost races
and conflicts. Then:

  invoices that a plain check would have doubled: attempts that began before
    the invoice was written, so that looking for one first would not have helped
  transactions of two producers: duplicates of, and conflicts with, an invoice
    that another producer asked for. Either both do the same work, or each
    counts its own transactions and both use the same ids
  twins: invoices with the same customer, lines and amount as another
    transaction's, within ten minutes. They may be right; nothing refuses them
  alarms: times in which a producer had more duplicates than its own history
    explains. A producer is learning until it has three days of history
  drifts: longer times in which it had too many, though in no window so many
    that this one would be an alarm

-o csv has the table of producers; --json has everything.
docs/races.md says how an alarm is told from chance. No race costs anybody an
invoice, or a second one.`,
		Example: `  invoicer races
  invoicer races --since 1h --producer checkout
  invoicer races --since 7d -o csv > producers.csv
  invoicer races --json | jq '.producers[] | select(.alarming or .drifting)'`,
		Args: noArgs,
	}
	cmd.Flags().StringVar(&since, "since", "24h", "show the last `time`, as 90m, 24h or 7d, 14d at most")
	cmd.Flags().StringVar(&producer, "producer", "", "show this `name` alone; empty: jobs that name no producer")
	addWaitFlag(cmd, &wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		last, err := config.ParseDuration(since)
		if err != nil || last < time.Minute || last > longestRaces {
			return usageErrorf("--since %s: must be a time of 1m to 14d, such as 24h", since)
		}
		cfg, store, err := a.configuredStore(cmd, wait)
		if err != nil {
			return err
		}
		defer store.Close()
		var only *string
		if cmd.Flags().Changed("producer") {
			only = &producer
		}
		found, err := store.Reports.Races(cmd.Context(), last, only)
		if err != nil {
			return withoutTables(cfg.Database.Schema, err)
		}
		return printAnswer(cmd, found, func() sheet { return producerSheet(found.Producers) }, func(out io.Writer) { printRaces(out, found) })
	}
	return cmd
}

const longestRaces = 14 * 24 * time.Hour

func printRaces(out io.Writer, r *report.Races) {
	span := fmt.Sprintf("from %s to %s", instant(r.Since), instant(r.Until))
	if len(r.Producers) == 0 {
		_, _ = fmt.Fprintf(out, "No job has ended %s.\n", span)
	} else {
		_, _ = fmt.Fprintf(out, "Jobs that ended %s:\n", span)
		printProducers(out, r.Producers)
	}
	printDoubled(out, &r.Doubled)
	printShared(out, &r.Shared)
	printTwins(out, &r.Twins)
	printAlarms(out, r.Alarms)
	printDrifts(out, r.Drifts)
}

func printProducers(out io.Writer, producers []report.ProducerRaces) {
	var rows [][]string
	for _, p := range producers {
		state := "as expected"
		switch {
		case p.Alarming:
			state = "ALARMING"
		case p.Drifting:
			state = "DRIFTING"
		case p.Learning:
			state = "learning"
		}
		rows = append(rows, []string{
			nameOf(p.Producer), count(p.Ended), count(p.Duplicates), count(p.LostRaces), count(p.Conflicts), count(p.Doubled), count(p.Shared), state,
		})
	}
	term.WriteTable(out, []string{"producer", "ended", "duplicates", "lost_races", "conflicts", "doubled", "shared", "state"}, rows)
}

func producerSheet(producers []report.ProducerRaces) sheet {
	s := sheet{columns: []string{"producer", "ended", "duplicates", "lost_races", "conflicts", "doubled", "shared", "learning", "alarming"}}
	for _, p := range producers {
		s.rows = append(s.rows, []string{
			p.Producer, whole(p.Ended), whole(p.Duplicates), whole(p.LostRaces), whole(p.Conflicts), whole(p.Doubled), whole(p.Shared),
			strconv.FormatBool(p.Learning), strconv.FormatBool(p.Alarming),
		})
	}
	return s
}

func printDoubled(out io.Writer, d *report.Doubled) {
	most := ""
	if !d.Complete {
		most = " or more"
	}
	_, _ = fmt.Fprintf(out, "\nInvoices that a plain check would have doubled: %s%s\n", count(d.Attempts), most)
	if d.Attempts == 0 {
		return
	}
	var rows [][]string
	for _, p := range d.Pairs[:min(len(d.Pairs), shownPairs)] {
		rows = append(rows, []string{nameOf(p.Producer), nameOf(p.InvoiceProducer), count(p.Attempts), apart(p.MedianSeconds), apart(p.MostSeconds)})
	}
	term.WriteTable(out, []string{"producer", "invoiced", "attempts", "median_apart", "most_apart"}, rows)
	rows = nil
	for _, h := range d.Hours {
		rows = append(rows, []string{instant(h.Hour), count(h.Attempts)})
	}
	_, _ = fmt.Fprintln(out)
	term.WriteTable(out, []string{"hour", "attempts"}, rows)
	rows = nil
	for _, e := range d.Examples {
		rows = append(rows, []string{ofIssuer(e.Issuer, e.TransactionID), nameOf(e.Producer), nameOf(e.InvoiceProducer), e.InvoiceNumber, apart(e.Seconds)})
	}
	_, _ = fmt.Fprintln(out)
	term.WriteTable(out, []string{"transaction_id", "producer", "invoiced", "invoice_number", "apart"}, rows)
}

// shownPairs is how many pairs of producers are printed, those with the most attempts. --json has all.
const shownPairs = 10

func printShared(out io.Writer, s *report.Shared) {
	most := ""
	if !s.Complete {
		most = " or more"
	}
	_, _ = fmt.Fprintf(out, "\nTransactions of two producers: %s duplicates and %s conflicts%s\n", count(s.Duplicates), count(s.Conflicts), most)
	if len(s.Pairs) == 0 {
		return
	}
	var rows [][]string
	for _, p := range s.Pairs[:min(len(s.Pairs), shownPairs)] {
		rows = append(rows, []string{p.Producer, p.InvoiceProducer, count(p.Duplicates), count(p.Conflicts)})
	}
	term.WriteTable(out, []string{"producer", "invoiced", "duplicates", "conflicts"}, rows)
	rows = nil
	for _, e := range s.Examples {
		rows = append(rows, []string{ofIssuer(e.Issuer, e.TransactionID), e.Producer, e.InvoiceProducer, e.InvoiceNumber, e.Outcome})
	}
	_, _ = fmt.Fprintln(out)
	term.WriteTable(out, []string{"transaction_id", "producer", "invoiced", "invoice_number", "outcome"}, rows)
	_, _ = fmt.Fprintln(out, "If each counts its own transactions, put a prefix before its ids: shop-a/1001.")
}

func printTwins(out io.Writer, t *report.Twins) {
	looked := ""
	if !t.Complete {
		looked = " (of the newest 100,000 invoices)"
	}
	_, _ = fmt.Fprintf(out, "\nTwins, invoices alike under two transaction ids: %s%s\n", count(t.Invoices), looked)
	if t.Invoices == 0 {
		return
	}
	var rows [][]string
	for _, twin := range t.Latest {
		rows = append(rows, []string{ofIssuer(twin.Issuer, twin.TransactionID), twin.TwinOf, twin.InvoiceNumber, twin.TwinNumber, nameOf(twin.Producer), apart(twin.Seconds)})
	}
	term.WriteTable(out, []string{"transaction_id", "twin_of", "invoice_number", "twin_number", "producer", "apart"}, rows)
	_, _ = fmt.Fprintln(out, "They may be right. If a form sends a new id each time it is loaded, give it one id for each order.")
}

func printAlarms(out io.Writer, alarms []report.RaceAlarm) {
	_, _ = fmt.Fprintf(out, "\nAlarms: %d\n", len(alarms))
	for _, a := range alarms {
		rows := [][]string{{
			nameOf(a.Producer), instant(a.From), instant(a.Until), count(a.Ended), oneDecimal(a.Expected), count(a.Duplicates),
			strconv.FormatFloat(a.P, 'g', 2, 64),
		}}
		term.WriteTable(out, []string{"producer", "from", "until", "ended", "expected", "seen", "p"}, rows)
		printExamples(out, a.TransactionIDs)
	}
}

func printDrifts(out io.Writer, drifts []report.RaceDrift) {
	_, _ = fmt.Fprintf(out, "\nDrifts: %d\n", len(drifts))
	for _, d := range drifts {
		rows := [][]string{{
			nameOf(d.Producer), instant(d.Since), instant(d.Until), count(d.Ended), oneDecimal(d.Expected), count(d.Duplicates), oneDecimal(d.Sum),
		}}
		term.WriteTable(out, []string{"producer", "since", "until", "ended", "expected", "seen", "sum"}, rows)
		printExamples(out, d.TransactionIDs)
	}
}

func oneDecimal(x float64) string { return strconv.FormatFloat(x, 'f', 1, 64) }

func printExamples(out io.Writer, transactionIDs []string) {
	_, _ = fmt.Fprintf(out, "  transactions: %s\n", strings.Join(term.Printable([][]string{transactionIDs})[0], " "))
}

func count(n int64) string { return term.Thousands(int(n)) }

// ofIssuer returns a transaction's id with its issuer.
func ofIssuer(issuer, transactionID string) string {
	if issuer == "" {
		return transactionID
	}
	return transactionID + " (" + issuer + ")"
}

// nameOf returns a producer's name, or a hyphen for jobs that name none.
func nameOf(producer string) string { return cmp.Or(producer, "-") }

// apart returns seconds as people read them.
func apart(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
