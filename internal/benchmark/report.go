package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A report is everything that was measured.
type report struct {
	Command, Took string
	Machine       []fact
	Common        setting
	Rounds        int
	Results       []result
	Full          *full `json:",omitempty"`
	Targets       []target
}

// A table is printed for people, on a terminal or in Markdown.
type table struct {
	title  string
	header []string
	rows   [][]string
	words  bool // its columns are no numbers
}

func (r *report) tables() []table {
	facts := table{title: "Machine", header: []string{"", ""}, words: true}
	for _, f := range r.Machine {
		facts.rows = append(facts.rows, []string{f.Name, f.Value})
	}
	facts.rows = append(facts.rows,
		[]string{"for all", fmt.Sprintf("%d asynq servers in one process, %d slots over all (%s); medians of %d rounds in turns", r.Common.Servers, r.Common.Slots, r.Common, r.Rounds)},
		[]string{"took", r.Took})
	list := []table{facts}
	for _, input := range r.inputs() {
		list = append(list, r.rates(input))
	}
	list = append(list, r.costs()...)
	return list
}

// inputs are the sources' names, in order.
func (r *report) inputs() []string {
	var names []string
	seen := map[string]bool{}
	for _, one := range r.Results {
		if !seen[one.Input] {
			seen[one.Input] = true
			names = append(names, one.Input)
		}
	}
	return names
}

func (r *report) find(name, input string) (result, bool) {
	for _, one := range r.Results {
		if one.Name == name && one.Input == input {
			return one, true
		}
	}
	return result{}, false
}

// ratio is one contestant's rate in those of another one; 0 where either wasn't measured.
func (r *report) ratio(name, to, input string) float64 {
	a, _ := r.find(name, input)
	b, ok := r.find(to, input)
	if !ok || b.Rate == 0 {
		return 0
	}
	return a.Rate / b.Rate
}

func (r *report) rates(input string) table {
	t := table{
		title:  "Jobs in a second, " + input,
		header: []string{"", "jobs/s", "slowest", "fastest", "of no-op", "× naive", "× naive gapless", "× River", "× River gapless", "slots", "jobs a round"},
	}
	for _, one := range r.Results {
		if one.Input != input {
			continue
		}
		row := []string{one.Title, thousands(one.Rate), thousands(one.Min), thousands(one.Max)}
		for _, peer := range []string{noopName, naiveName, naiveGaplessName, riverName, riverGaplessName} {
			row = append(row, times(r.ratio(one.Name, peer, input)))
		}
		t.rows = append(t.rows, append(row, one.Setting.String(), thousands(float64(one.Jobs))))
	}
	return t
}

// costs are where the processors' time went.
func (r *report) costs() []table {
	var list []table
	for _, input := range r.inputs() {
		t := table{title: "CPU seconds for 10,000 jobs, " + input, header: []string{"", "worker", "Redis", "Postgres", "together"}}
		for _, one := range r.Results {
			if one.Input == input {
				t.rows = append(t.rows, append([]string{one.Title}, cpuCells(one.CPU)...))
			}
		}
		list = append(list, t)
		noop, known := r.find(noopName, input)
		own, measured := r.find(invoicerName, input)
		if known && measured {
			list = append(list, split(input, noop.CPU, own.CPU))
		}
	}
	return list
}

// split tells what of the worker's own time is asynq's: what asynq takes when its handler does nothing.
func split(input string, noop, own cpu) table {
	t := table{title: "Where a job's time goes, " + input, header: []string{"", "µs of CPU a job", "share"}}
	for _, part := range []struct {
		name    string
		seconds float64
	}{
		{"asynq, in the worker", noop.Worker},
		{"invoicer and its database driver, in the worker", own.Worker - noop.Worker},
		{"Redis, for the queue", noop.Redis},
		{"Redis, for lock, done entry and result", own.Redis - noop.Redis},
		{"Postgres", own.Postgres},
	} {
		t.rows = append(t.rows, []string{part.name, fmt.Sprintf("%.0f", part.seconds*100), fmt.Sprintf("%.0f %%", 100*part.seconds/own.total())})
	}
	return t
}

func cpuCells(c cpu) []string {
	return []string{seconds(c.Worker), seconds(c.Redis), seconds(c.Postgres), seconds(c.total())}
}

func seconds(s float64) string { return fmt.Sprintf("%.2f", s) }

func times(ratio float64) string {
	switch {
	case ratio == 0:
		return "–"
	case ratio < 9.995:
		return fmt.Sprintf("%.2f", ratio)
	}
	return fmt.Sprintf("%.1f", ratio)
}

func thousands(n float64) string {
	digits := strconv.FormatFloat(n, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func (t table) markdown(w io.Writer) {
	column := "--:|"
	if t.words {
		column = "---|"
	}
	fmt.Fprintf(w, "### %s\n\n| %s |\n|---|%s\n", t.title, strings.Join(t.header, " | "), strings.Repeat(column, len(t.header)-1))
	for _, row := range t.rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
	fmt.Fprintln(w)
}

func (t table) text(w io.Writer) error {
	fmt.Fprintf(w, "%s\n", t.title)
	aligned := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.header}, t.rows...) {
		fmt.Fprintf(aligned, "  %s\n", strings.ReplaceAll(strings.Join(row, "\t"), "**", ""))
	}
	fmt.Fprintln(aligned)
	return aligned.Flush()
}

func (r *report) print(w io.Writer) error {
	for _, t := range append(append(r.tables(), r.Full.tables()...), targetTable(r.Targets)) {
		if err := t.text(w); err != nil {
			return err
		}
	}
	return nil
}

// write brings the page and its chart up to date. What people wrote around the figures stays, and so do those of
// bench-full when they weren't measured anew.
func (r *report) write(folder string) error {
	page := filepath.Join(folder, "benchmarks.md")
	content, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	var figures, more bytes.Buffer
	fmt.Fprintf(&figures, "![Jobs in a second](benchmarks.svg)\n\nMade by `%s`.\n\n", r.Command)
	for _, t := range append([]table{targetTable(r.Targets)}, r.tables()...) {
		t.markdown(&figures)
	}
	if content, err = replaceBlock(content, "bench", figures.Bytes()); err != nil {
		return err
	}
	if r.Full != nil {
		for _, t := range r.Full.tables() {
			t.markdown(&more)
		}
		if content, err = replaceBlock(content, "bench-full", more.Bytes()); err != nil {
			return err
		}
	}
	if err := os.WriteFile(page, content, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "benchmarks.svg"), r.chart(), 0o644)
}

// replaceBlock puts figures between a page's marks.
func replaceBlock(page []byte, name string, figures []byte) ([]byte, error) {
	begin, end := []byte("<!-- begin "+name+" -->\n"), []byte("<!-- end "+name+" -->")
	from, to := bytes.Index(page, begin), bytes.Index(page, end)
	if from < 0 || to < from {
		return nil, fmt.Errorf("the page has no marks %q and %q, between which the figures belong", strings.TrimSpace(string(begin)), end)
	}
	from += len(begin)
	return append(append(append([]byte{}, page[:from]...), append([]byte("\n"), figures...)...), page[to:]...), nil
}
