package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// breaks says what a mutant is about, by the promise and, where there is one, the hazard.
func (m *mutant) breaks() string {
	if m.hazard == "" {
		return m.promise.String()
	}
	return fmt.Sprintf("%s: %s", m.promise, m.hazard)
}

// caughtBy names the tests that failed, or says in capitals that none did; for a mutant that wasn't tried, those that
// should.
func (r *result) caughtBy() string {
	switch r.verdict {
	case "":
		return strings.Join(r.mutant.tests, ", ")
	case caught:
		return few(r.by)
	default:
		return strings.ToUpper(string(r.verdict))
	}
}

// few names the first of many.
func few(tests []string) string {
	const shown = 2
	if len(tests) <= shown {
		return strings.Join(tests, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(tests[:shown], ", "), len(tests)-shown)
}

func (r *result) seconds() string {
	if r.verdict == "" {
		return ""
	}
	return fmt.Sprintf("%.1f", r.took.Seconds())
}

func printText(w io.Writer, results []result) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "MUTANT\tBREAKS\tCAUGHT BY\tSECONDS")
	for i := range results {
		r := &results[i]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.mutant.name, r.mutant.breaks(), r.caughtBy(), r.seconds())
	}
	return table.Flush()
}

// printMarkdown leaves the seconds out: they would change with every run, and the page with them.
func printMarkdown(w io.Writer, results []result) error {
	text := &strings.Builder{}
	fmt.Fprint(text, "| mutant | breaks | caught by |\n|---|---|---|\n")
	for i := range results {
		r := &results[i]
		fmt.Fprintf(text, "| %s | %s | `%s`: %s |\n", r.mutant.name, r.mutant.breaks(), strings.TrimPrefix(r.mutant.in, "./"), code(r))
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func code(r *result) string {
	if r.verdict != "" && r.verdict != caught {
		return r.caughtBy()
	}
	by, more, _ := strings.Cut(r.caughtBy(), " and ")
	by = "`" + strings.ReplaceAll(by, ", Test", "`, `Test") + "`"
	if more != "" {
		by += " and " + more
	}
	return by
}

func printJSON(w io.Writer, results []result) error {
	type row struct {
		Mutant  string   `json:"mutant"`
		Promise int      `json:"promise"`
		Hazard  string   `json:"hazard,omitempty"`
		Package string   `json:"package"`
		Tests   []string `json:"tests"`
		Verdict string   `json:"verdict,omitempty"`
		By      []string `json:"caught_by,omitempty"`
		Seconds float64  `json:"seconds,omitempty"`
	}
	rows := make([]row, len(results))
	for i, r := range results {
		m := r.mutant
		rows[i] = row{
			Mutant: m.name, Promise: int(m.promise), Hazard: string(m.hazard), Package: m.in, Tests: m.tests,
			Verdict: string(r.verdict), By: r.by, Seconds: math.Round(10*r.took.Seconds()) / 10,
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(rows)
}
