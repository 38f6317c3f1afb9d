package main

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

// The workers' processes are this program again.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == workerArgument {
		if err := runWorkerProcess(context.Background(), os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func testBench(t *testing.T) *bench {
	t.Helper()
	b, err := openBench(t.Context(), options{seconds: 2}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	return b
}

var few = setting{2, 8}

// Every contestant makes exactly what was asked for, or its round doesn't count.
func TestContestants(t *testing.T) {
	t.Parallel()
	b := testBench(t)
	all := append(append(contestants(), tracing()...),
		contestant{name: "half", open: ours{duplicates: 0.5}.open},
		contestant{name: "processes", open: processPeer{count: 2, peak: new(float64)}.open})
	for _, c := range all {
		got, err := b.play(t.Context(), round{contestant: c, setting: few, jobs: fiveLines.first(200)})
		if err != nil {
			t.Error(err)
			continue
		}
		if want := 200 - 2*few.Slots; got.Jobs != want && !c.whole {
			t.Errorf("%s: %d jobs were timed, want %d", c.name, got.Jobs, want)
		}
		if got.CPU.Worker <= 0 || got.CPU.Redis < 0 || got.CPU.Postgres < 0 {
			t.Errorf("%s: CPU %+v", c.name, got.CPU)
		}
	}
}

// What isn't exact is not measured.
func TestCheck(t *testing.T) {
	t.Parallel()
	b := testBench(t)
	if err := b.createPeerTables(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	err := b.exec(t.Context(), schema, `INSERT INTO invoices (series, number, transaction_id, idempotency_key, currency, subtotal_minor, tax_minor, total_minor, issued_at)
SELECT 'INV', n, n, n, 'GBP', 1, 0, 1, now() FROM unnest('{1,2,4}'::bigint[]) AS n;
INSERT INTO invoice_lines SELECT id, 1, 'A', 'B', 1, 1, 0, NULL, 1 FROM invoices WHERE number < 4`)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		want    int
		gapless bool
		problem string
	}{
		{3, true, "gaps"}, {2, false, "3 invoices"}, {3, false, "no lines"},
	} {
		if err := b.count(t.Context(), schema, tt.want, tt.gapless); err == nil || !strings.Contains(err.Error(), tt.problem) {
			t.Errorf("want %d, gapless %t: %v; want an error about %s", tt.want, tt.gapless, err, tt.problem)
		}
	}
}

// Tables are filled by the database's own rules, and worked on as they are.
func TestFilled(t *testing.T) {
	t.Parallel()
	b := testBench(t)
	b.seconds = 0.05
	results, err := b.filled(t.Context(), options{rounds: 1, common: few, sizes: "500"})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 || results[1].Invoices != 500 || results[1].Rate <= 0 {
		t.Errorf("%+v", results)
	}
}

func TestLatency(t *testing.T) {
	t.Parallel()
	b := testBench(t)
	b.seconds = 0.5
	l, err := b.latency(t.Context(), options{common: few}, 100)
	if err != nil {
		t.Fatal(err)
	}
	if l.Jobs != 100 || l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.Longest {
		t.Errorf("%+v", l)
	}
}

// What comes by HTTP is all invoiced, and everything of it is measured.
func TestOverHTTP(t *testing.T) {
	t.Parallel()
	b := testBench(t)
	b.seconds = 0.3
	for _, d := range []door{{}, {batch: 50}, {batch: 50, serve: true}} {
		got, err := b.play(t.Context(), round{contestant: contestant{name: invoicerName, open: d.open}, setting: few, jobs: fiveLines.first(300)})
		if err != nil || got.Jobs < 200 || got.CPU.Worker <= 0 {
			t.Errorf("%+v: %+v, %v", d, got, err)
		}
	}
	for _, prefer := range []string{"", "wait=10"} {
		l, err := b.single(t.Context(), options{common: few}, 50, prefer)
		if err != nil {
			t.Fatal(err)
		}
		if l.Jobs != 100 || l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.Longest {
			t.Errorf("%q: %+v", prefer, l)
		}
	}
	w, err := b.waitingCost(t.Context(), options{common: few}, 30)
	if err != nil || w.Before <= 0 || w.After <= 0 || w.more() <= 0 {
		t.Errorf("%+v, %v", w, err)
	}
	f := &full{Waiting: w, Posts: make([]latency, 2), Webhooks: &latency{}}
	for _, table := range f.tables() {
		for _, row := range table.rows {
			if len(row) != len(table.header) {
				t.Errorf("%s has %d columns, and a row of %q", table.title, len(table.header), row)
			}
		}
	}
}

// An endpoint hears of each invoice.
func TestWebhook(t *testing.T) {
	t.Parallel()
	b := testBench(t)
	b.seconds = 0.3
	l, err := b.webhooks(t.Context(), options{common: few}, 50)
	if err != nil {
		t.Fatal(err)
	}
	if l.Jobs != 100 || l.P50 <= 0 || l.P99 > 60_000 {
		t.Errorf("%+v", l)
	}
}

// A storm makes one invoice, and is counted.
func TestStorm(t *testing.T) {
	t.Parallel()
	b := testBench(t)
	s, err := b.storm(t.Context(), options{common: few}, 200)
	if err != nil {
		t.Fatal(err)
	}
	if s.Jobs != 200 || s.Seconds <= 0 || s.Recording < 1 || s.Recording > 199 || s.Transactions <= s.Recording {
		t.Errorf("%+v", s)
	}
}

// A profile adds up to microseconds a job, in more than one layer.
func TestProfile(t *testing.T) { // not in parallel, as one profile is taken at a time
	b := testBench(t)
	list, err := b.profile(t.Context(), options{common: few})
	if err != nil {
		t.Fatal(err)
	}
	named := make(map[string]float64)
	for _, s := range list {
		named[s.Layer] = s.Micros
	}
	var all float64
	for _, micros := range named {
		all += micros
	}
	if all < 20 || all > 20_000 {
		t.Errorf("a job takes %f µs in all", all)
	}
	for _, layer := range []string{"asynq", "pgx", goItself} {
		if named[layer] <= 0 {
			t.Errorf("nothing of a job's time is in %s: %v", layer, list)
		}
	}
}

// A Redis that holds something is somebody's, and is left alone.
func TestForeignRedis(t *testing.T) { // not in parallel, as it sets the environment
	b := testBench(t)
	if err := b.rdb.Set(t.Context(), "precious", 1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("INVOICER_DATABASE_URL", b.databaseURL)
	t.Setenv("INVOICER_REDIS_URL", b.redisURL)
	if _, err := openBench(t.Context(), options{}, t.Output()); err == nil || !strings.Contains(err.Error(), "empty one") {
		t.Errorf("error %v", err)
	}
	if n, err := b.rdb.Exists(t.Context(), "precious").Result(); err != nil || n != 1 {
		t.Errorf("%d keys are left, error %v", n, err)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	samples := func(rates ...int) []sample {
		var list []sample
		for _, n := range rates {
			list = append(list, sample{Jobs: n, Seconds: 1, CPU: cpu{Worker: 1}})
		}
		return list
	}
	named := func(name string) contestant {
		one, err := only(name, contestants())
		if err != nil {
			t.Fatal(err)
		}
		return one[0]
	}
	r := &report{Command: "make bench", Rounds: 3, Results: []result{
		newResult(named(noopName), fiveLines.name, few, samples(9000, 10000, 30000)),
		newResult(named(naiveGaplessName), fiveLines.name, few, samples(400)),
		newResult(named(invoicerName), fiveLines.name, few, samples(5000, 6000)),
	}}
	r.Targets = judge(r)
	if got := r.Targets[0]; !got.Reached || got.Measured != 0.55 {
		t.Errorf("%+v", got)
	}
	if got := r.Targets[1]; got.Reached || !got.Missing {
		t.Errorf("%+v", got)
	}
	if got := r.Targets[2]; !got.Reached || got.Measured != 13.75 {
		t.Errorf("%+v", got)
	}

	folder := t.TempDir()
	page := folder + "/benchmarks.md"
	const before = "# Page\n<!-- begin bench -->\nold\n<!-- end bench -->\nby hand\n<!-- begin bench-full -->\nkept\n<!-- end bench-full -->\n"
	if err := os.WriteFile(page, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.write(folder); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for _, want := range []string{"# Page\n", "by hand\n", "kept\n", "| **invoicer** | 5,500 | 5,000 | 6,000 | 0.55 | – | 13.8 |", "| reached |"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "old") {
		t.Error("old figures are still there")
	}
	chart, err := os.ReadFile(folder + "/benchmarks.svg")
	if err != nil {
		t.Fatal(err)
	}
	decoder := xml.NewDecoder(strings.NewReader(string(chart)))
	for bars := 0; ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			if bars != 3 {
				t.Errorf("%d bars", bars)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			bars++
		}
	}
}

// The page would lose what wasn't measured.
func TestAPartOfARunIsNotWritten(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"-only=no-op", "-parts=latency"} {
		err := run(t.Context(), []string{"-write", flag, "-docs", t.TempDir()}, nil, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "-write") {
			t.Errorf("%s: error %v", flag, err)
		}
	}
}
