package main

import (
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"invoicer/internal/report"
	"invoicer/internal/term"
	"invoicer/invoice"
	"invoicer/invoice/postgres/audit"
)

// writeAudit writes a report for people: the checks, the offending rows, the totals, the jobs, and the verdict.
func writeAudit(out io.Writer, report *audit.Report) error {
	passed, failed, colon := "ok", "BROKEN", ":"
	if term.IsTerminal(out) {
		passed, failed, colon = "✓", "✗", ""
	}
	var rows [][]string
	var broken []string
	for i := range report.Checks {
		check := &report.Checks[i]
		mark := passed
		if !check.OK() {
			mark = failed
			broken = append(broken, check.Name)
		}
		rows = append(rows, []string{mark, promises(check), check.Name, term.Thousands(int(check.Examined)), check.Proves})
	}
	term.WriteTable(out, []string{"", "promise", "check", "examined", "proves that"}, rows)
	for i := range report.Checks {
		printFindings(out, &report.Checks[i])
	}
	printTotals(out, report)
	printUnlinked(out, report)
	printErased(out, report)
	printObjects(out, report.Objects)
	printSeals(out, report.Seals)
	printOvercredited(out, report.Overcredited)
	printReserved(out, report.Reserved)
	printJobs(out, report)

	of := fmt.Sprintf("schema %s at %s", report.Schema, instant(report.TakenAt))
	verdict := fmt.Sprintf("%s%s all %d checks of %s passed", passed, colon, len(report.Checks), of)
	if len(broken) > 0 {
		verdict = fmt.Sprintf("%s%s %d of %d checks of %s failed: %s", failed, colon, len(broken), len(report.Checks), of, strings.Join(broken, ", "))
	}
	_, err := fmt.Fprintln(out)
	if report.ContinuedAt != nil {
		term.WriteWrapped(out, term.Width(out), "", fmt.Sprintf("This audit was broken off, and continued at %s. What was checked by then wasn't looked at again.", instant(*report.ContinuedAt)))
	}
	if report.Snapshots > 1 {
		term.WriteWrapped(out, term.Width(out), "", fmt.Sprintf("It has seen %d snapshots, one after the other. Invoices that came after the first weren't all looked at.", report.Snapshots))
	}
	term.WriteWrapped(out, term.Width(out), "", verdict)
	return err
}

// printObjects says what became of the documents outside of the database.
func printObjects(out io.Writer, o *audit.ObjectsReport) {
	if o == nil {
		return
	}
	say := func(text string) { term.WriteWrapped(out, term.Width(out), "", text) }
	if o.Hashed > 0 {
		say(fmt.Sprintf("\n%s outside of the database %s read, and compared with %s.", numbered(int(o.Hashed), "document", "documents"), plural(int(o.Hashed), "was", "were"), plural(int(o.Hashed), "its SHA-256", "their SHA-256")))
	}
	if o.Unhashed > 0 {
		say(fmt.Sprintf("\nNOT HASHED: %s outside of the database. Nothing is proven about their bytes; run it without --database-only, and with the keys of documents.s3.", numbered(int(o.Unhashed), "document", "documents")))
	}
	if o.Leftovers > 0 && o.LeftoversSince != nil {
		say(fmt.Sprintf("\n%s outside of the database %s still to be deleted, the oldest since %s: workers do so.", numbered(int(o.Leftovers), "object", "objects"), plural(int(o.Leftovers), "is", "are"), instant(*o.LeftoversSince)))
	}
}

func checkSheet(report *audit.Report) sheet {
	s := sheet{columns: []string{"check", "promises", "examined", "broken", "proves"}}
	for i := range report.Checks {
		c := &report.Checks[i]
		s.rows = append(s.rows, []string{c.Name, promises(c), whole(c.Examined), whole(c.Broken), c.Proves})
	}
	return s
}

func promises(check *audit.Check) string {
	var list []string
	for _, p := range check.Promises {
		list = append(list, strconv.Itoa(p))
	}
	return strings.Join(list, " ")
}

// printFindings writes a line for each finding: the table, the problem, and the row as column=value.
func printFindings(out io.Writer, check *audit.Check) {
	if check.OK() {
		return
	}
	_, _ = fmt.Fprintf(out, "\n%s: %s found\n", check.Name, term.Thousands(int(check.Broken)))
	for _, f := range check.Findings {
		var line strings.Builder
		fmt.Fprintf(&line, "%s: %s:", f.Table, f.Problem)
		for _, field := range f.Row {
			line.WriteString(" " + field.Column + "=" + fieldValue(field.Value))
		}
		term.WriteWrapped(out, term.Width(out), "  ", line.String())
	}
	if more := check.Broken - int64(len(check.Findings)); more > 0 {
		_, _ = fmt.Fprintf(out, "  and %s more; --limit lists more of them\n", term.Thousands(int(more)))
	}
}

// fieldValue returns a value as text. It quotes a text that is empty, or has blanks, quotes or characters that aren't printable.
func fieldValue(value any) string {
	switch v := value.(type) {
	case nil:
		return "NULL"
	case string:
		odd := func(r rune) bool { return r == '"' || unicode.IsSpace(r) || !unicode.IsPrint(r) }
		if v == "" || strings.ContainsFunc(v, odd) {
			return strconv.Quote(v)
		}
		return v
	default:
		return fmt.Sprint(v)
	}
}

// printTotals writes the numbers and sums of documents by kind and currency, and those of both kinds together.
func printTotals(out io.Writer, r *audit.Report) {
	if len(r.Totals) == 0 {
		_, _ = fmt.Fprintln(out, "\nno invoices")
		return
	}
	var rows [][]string
	var currencies []string
	for _, t := range r.Totals {
		if !slices.Contains(currencies, t.Currency) {
			currencies = append(currencies, t.Currency)
		}
	}
	slices.Sort(currencies)
	for _, currency := range currencies {
		var documents, kinds int64
		sum := new(big.Int)
		for _, t := range r.Totals {
			if t.Currency != currency {
				continue
			}
			rows = append(rows, totalsRow(t))
			documents += t.Documents
			kinds++
			if minor, ok := new(big.Int).SetString(t.TotalMinor, 10); ok {
				sum.Add(sum, minor)
			}
		}
		if kinds > 1 {
			rows = append(rows, totalsRow(report.Tally{Kind: "together", Currency: currency, Documents: documents, TotalMinor: sum.String()}))
		}
	}
	_, _ = fmt.Fprintln(out)
	term.WriteTable(out, []string{"kind", "currency", "documents", "total"}, rows)
}

func totalsRow(t report.Tally) []string {
	return []string{t.Kind, t.Currency, term.Thousands(int(t.Documents)), majorUnits(t.TotalMinor, t.Currency)}
}

// majorUnits is [invoice.FormatMinor] for sums that may exceed an int64.
func majorUnits(minor, currency string) string {
	exponent, _ := invoice.MinorUnits(currency)
	digits, negative := strings.CutPrefix(minor, "-")
	digits = strings.Repeat("0", max(0, exponent+1-len(digits))) + digits
	whole, fraction := digits[:len(digits)-exponent], digits[len(digits)-exponent:]
	if fraction != "" {
		fraction = "." + fraction
	}
	if negative {
		whole = "-" + whole
	}
	return whole + fraction
}

// printJobs writes the numbers of jobs by state and outcome, and lists the jobs that wait.
func printJobs(out io.Writer, report *audit.Report) {
	var waiting int64
	var parts []string
	for _, t := range report.Jobs {
		if t.State == "accepted" || t.State == "enqueued" {
			waiting += t.Jobs
		}
		state := t.State
		if t.Outcome != nil {
			state += " as " + *t.Outcome
		}
		parts = append(parts, term.Thousands(int(t.Jobs))+" "+state)
	}
	if len(parts) == 0 {
		parts = append(parts, "none")
	}
	_, _ = fmt.Fprintf(out, "\nduplicate attempts: %s\n", term.Thousands(int(report.DuplicateAttempts)))
	term.WriteWrapped(out, term.Width(out), "", "jobs in the ledger: "+strings.Join(parts, ", "))
	if waiting == 0 {
		return
	}
	_, _ = fmt.Fprintf(out, "\n%s waiting, which is no fault", term.Thousands(int(waiting)))
	if n := int64(len(report.Waiting)); n < waiting {
		_, _ = fmt.Fprintf(out, "; the oldest %s:", term.Thousands(int(n)))
	}
	_, _ = fmt.Fprintln(out)
	if len(report.Waiting) == 0 {
		return
	}
	var rows [][]string
	for i := range report.Waiting {
		j := &report.Waiting[i]
		rows = append(rows, []string{
			j.Age().Truncate(time.Second).String(), j.State, orDash(j.TransactionID), j.Queue, strconv.Itoa(j.Dispatch), j.Why, j.JobID,
		})
	}
	term.WriteTable(out, []string{"age", "state", "transaction_id", "queue", "dispatch", "why", "job_id"}, rows)
}

func printErased(out io.Writer, r *audit.Report) {
	if r.Erased > 0 {
		_, _ = fmt.Fprintf(out, "\nerased: %s, whose texts are gone; all else of them is proved\n", term.Thousands(int(r.Erased))) // the reader may have closed the pipe
	}
}

func printUnlinked(out io.Writer, r *audit.Report) {
	if r.Unlinked > 0 {
		_, _ = fmt.Fprintf(out, "\nwithout a link in a chain: %s, which earlier releases have written\n", term.Thousands(int(r.Unlinked)))
	}
}

// printOvercredited lists the documents whose credits don't fit.
func printOvercredited(out io.Writer, list []audit.Overcredited) {
	if len(list) == 0 {
		return
	}
	_, _ = fmt.Fprintf(out, "\ncredited by more than they come to, which breaks no promise, but has to be looked at:\n")
	var rows [][]string
	for i := range list {
		o := &list[i]
		rows = append(rows, []string{
			o.InvoiceNumber, ofIssuer(o.Issuer, o.TransactionID), invoice.FormatMinor(o.TotalMinor, o.Currency) + " " + o.Currency, invoice.FormatMinor(o.LeftMinor, o.Currency) + " " + o.Currency,
		})
	}
	term.WriteTable(out, []string{"invoice_number", "transaction_id", "total", "left"}, rows)
}

// printReserved lists the numbers that a lost database gave out.
func printReserved(out io.Writer, list []audit.ReservedNumbers) {
	if len(list) == 0 {
		return
	}
	_, _ = fmt.Fprintf(out, "\nreserved, since a database that is lost gave them out, which breaks no promise:\n")
	var rows [][]string
	for i := range list {
		r := &list[i]
		rows = append(rows, []string{
			ofIssuer(r.Issuer, r.Series), orDash(&r.Period), fmt.Sprintf("%d to %d", r.First, r.Last), whole(r.Numbers), whole(r.GivenBack), whole(r.Waiting()), whole(r.Unknown), whole(r.Elsewhere),
		})
	}
	term.WriteTable(out, []string{"series", "period", "numbers", "reserved", "given_back", "waiting", "unknown", "elsewhere"}, rows)
}

func printSeals(out io.Writer, s *audit.SealsReport) {
	if s == nil {
		return
	}
	_, _ = fmt.Fprintf(out, "\nseals: %s, the last one of %s, with %s invoices; not sealed yet: %s\n",
		term.Thousands(s.Seals), instant(s.TakenAt), term.Thousands(int(s.Sealed)), term.Thousands(int(s.Unsealed)))
	if s.Since > 0 {
		_, _ = fmt.Fprintf(out, "sums and fingerprints were not computed again up to seal %d: of %s invoices, which are what was sealed if nothing else is said\n", s.Since, term.Thousands(int(s.Hashed)))
	}
}
