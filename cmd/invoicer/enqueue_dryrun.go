package main

import (
	"cmp"
	"fmt"
	"io"
	"math/big"
	"slices"

	"invoicer/internal/importer"
	"invoicer/internal/report"
	"invoicer/internal/term"
	"invoicer/invoice"
)

// A dryRunFinding sums up the jobs of a dry run: the good ones by currency and kind, the bad ones by reason.
type dryRunFinding struct {
	totals  map[totalKey]*total
	reasons map[string]*reason
}

type totalKey struct {
	currency string
	kind     invoice.Kind
}

type total struct {
	documents int64
	minor     big.Int // a sum of int64 may exceed int64
}

// A reason is a problem that jobs share.
type reason struct {
	Jobs   int64  `json:"jobs"`
	First  string `json:"first"`  // where the first of them is
	Reason string `json:"reason"` // of that one
	order  int
}

// mostReasons bounds the reasons that are told apart.
const mostReasons = 1000

func (f *dryRunFinding) good(job *invoice.Job) {
	totals, err := job.Calculate()
	if err != nil {
		return // a decoded job has totals
	}
	if f.totals == nil {
		f.totals = make(map[totalKey]*total)
	}
	key := totalKey{job.Currency, totals.Kind}
	t := f.totals[key]
	if t == nil {
		t = new(total)
		f.totals[key] = t
	}
	t.documents++
	t.minor.Add(&t.minor, big.NewInt(totals.Total))
}

func (f *dryRunFinding) bad(result importer.Result) {
	var counted []string
	for _, p := range result.Problems {
		kind := importer.KindOf(p)
		if slices.Contains(counted, kind) {
			continue
		}
		counted = append(counted, kind)
		f.count(kind, result.Place(), p.Field+" "+p.Message)
	}
}

func (f *dryRunFinding) count(kind, place, text string) {
	if f.reasons == nil {
		f.reasons = make(map[string]*reason)
	}
	if f.reasons[kind] == nil && len(f.reasons) >= mostReasons {
		kind, text = "others", "other reasons"
	}
	one := f.reasons[kind]
	if one == nil {
		one = &reason{First: place, Reason: text, order: len(f.reasons)}
		f.reasons[kind] = one
	}
	one.Jobs++
}

func (f *dryRunFinding) finding() *finding {
	found := &finding{Totals: []report.Tally{}, Reasons: []reason{}}
	for key, t := range f.totals {
		found.Totals = append(found.Totals, report.Tally{
			Kind: string(key.kind), Currency: key.currency, Documents: t.documents, TotalMinor: t.minor.String(),
		})
	}
	slices.SortFunc(found.Totals, func(a, b report.Tally) int {
		return cmp.Or(cmp.Compare(a.Currency, b.Currency), -cmp.Compare(a.Kind, b.Kind))
	})
	for _, one := range f.reasons {
		found.Reasons = append(found.Reasons, *one)
	}
	slices.SortFunc(found.Reasons, func(a, b reason) int { return cmp.Or(cmp.Compare(b.Jobs, a.Jobs), a.order-b.order) })
	return found
}

// write shows the finding to people.
func (f *dryRunFinding) write(out io.Writer, unit importer.Unit) {
	found := f.finding()
	var rows [][]string
	for _, t := range found.Totals {
		rows = append(rows, totalsRow(t))
	}
	if len(rows) > 0 {
		term.WriteTable(out, []string{"kind", "currency", "documents", "total"}, rows)
		_, _ = fmt.Fprintln(out)
	}
	rows = nil
	for _, one := range found.Reasons {
		rows = append(rows, []string{term.Thousands(int(one.Jobs)), one.First, one.Reason})
	}
	if len(rows) > 0 {
		term.WriteTable(out, []string{"bad " + string(unit) + "s", "first", "reason"}, rows)
		_, _ = fmt.Fprintln(out)
	}
}
