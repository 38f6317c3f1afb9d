package main

import (
	"fmt"
	"io"
	"strings"

	"invoicer/internal/term"
	"invoicer/invoice"
	"invoicer/invoice/postgres/audit"
)

// tableDifferences keeps the first differences of each check, and prints them for people.
type tableDifferences struct {
	out   io.Writer
	limit int
	first map[string][]audit.Difference
}

func (w *tableDifferences) found(d *audit.Difference) error {
	if len(w.first[d.Check]) >= w.limit {
		return nil
	}
	kept := *d
	for _, one := range []**audit.Document{&kept.Here, &kept.There} {
		if *one != nil {
			document := **one // it is the comparison's
			*one = &document
		}
	}
	w.first[d.Check] = append(w.first[d.Check], kept)
	return nil
}

func (w *tableDifferences) end(report *audit.DiffReport) error {
	same, differ, colon := "ok", "DIFFERS", ":"
	if term.IsTerminal(w.out) {
		same, differ, colon = "✓", "✗", ""
	}
	var rows [][]string
	var differs []string
	for _, c := range report.Checks {
		mark := same
		if c.Found > 0 {
			mark = differ
			differs = append(differs, c.Name)
		}
		rows = append(rows, []string{mark, c.Name, term.Thousands(int(c.Examined)), term.Thousands(int(c.Found)), c.Proves})
	}
	term.WriteTable(w.out, []string{"", "check", "examined", "different", "proves that"}, rows)
	for _, c := range report.Checks {
		if c.Found > 0 {
			w.list(c)
		}
	}
	_, err := fmt.Fprintln(w.out)
	width := term.Width(w.out)
	for _, note := range report.Notes {
		term.WriteWrapped(w.out, width, "", "note: "+note)
	}
	term.WriteWrapped(w.out, width, "", fmt.Sprintf("here: %s, %s documents", at(&report.Here), term.Thousands(int(report.Here.Invoices))))
	term.WriteWrapped(w.out, width, "", fmt.Sprintf("there: %s, %s documents", at(&report.There), term.Thousands(int(report.There.Invoices))))
	verdict := fmt.Sprintf("%s%s both have the same documents", same, colon)
	if len(differs) > 0 {
		verdict = fmt.Sprintf("%s%s %s", differ, colon, strings.Join(differs, ", "))
	}
	term.WriteWrapped(w.out, width, "", verdict)
	return err
}

// list writes the first differences of a check.
func (w *tableDifferences) list(c audit.DiffCheck) {
	first := w.first[c.Name]
	_, _ = fmt.Fprintf(w.out, "\n%s: %s found\n", c.Name, term.Thousands(int(c.Found)))
	if len(first) > 0 {
		columns := []string{"here", "there", "differs"}
		alone := c.Name == audit.OnlyHere || c.Name == audit.OnlyThere
		if alone {
			columns = []string{"invoice_number", "transaction_id", "total", "created_at"}
		}
		var rows [][]string
		for i := range first {
			d := &first[i]
			switch {
			case alone && d.Here != nil:
				rows = append(rows, documentCells(d.Here))
			case alone:
				rows = append(rows, documentCells(d.There))
			default:
				rows = append(rows, []string{strings.Join(documentCells(d.Here)[:3], " "), strings.Join(documentCells(d.There)[:3], " "), strings.Join(d.Differs, ", ")})
			}
		}
		term.WriteTable(w.out, columns, rows)
	}
	if more := c.Found - int64(len(first)); more > 0 {
		_, _ = fmt.Fprintf(w.out, "  and %s more; --limit lists more of them, and --json all\n", term.Thousands(int(more)))
	}
}

func documentCells(d *audit.Document) []string {
	return []string{d.InvoiceNumber, ofIssuer(d.Issuer, d.TransactionID), invoice.FormatMinor(d.TotalMinor, d.Currency) + " " + d.Currency, instant(d.CreatedAt)}
}
