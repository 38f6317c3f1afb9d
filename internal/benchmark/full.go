package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"invoicer/invoice"
)

// full is what bench-full measures beside the contest, all of it about the worker alone.
type full struct {
	Latency                          []latency
	Memory                           []memory
	Filled                           []filledResult
	Duplicates, Lines, Terms, Beside []result
	Processes, Series                []result
	Storm                            *storm
	Profile                          []slice
	Refusals                         []result
	Distances                        []result
	Sizes                            *sizes
	Partition                        *partitionTrial
	HTTP, Events                     []result
	Posts                            []latency // until they are accepted, and until they are invoiced
	Waiting                          *waitingCost
	Webhooks                         *latency
	Documents                        []result
	Drained                          []drained
}

type memory struct {
	Backlog int // jobs
	Peak    float64
}

type filledResult struct {
	Invoices int // before the first round
	result
}

// A variant is the worker under other circumstances.
type variant struct {
	title string
	entry
	// source is another one for each play where the tables keep what was made.
	source func(play int) source
	schema string
	filled bool
	// processes is how many there are, each with the setting's slots; 0: this one.
	processes int
}

// vary lets variants take turns, after one try of each that tells how many jobs fill a round.
func (b *bench) vary(ctx context.Context, o options, what string, variants []variant) ([]result, error) {
	samples := make([][]sample, len(variants))
	for play := range 1 + o.rounds {
		for i := range variants {
			v := &variants[i]
			jobs := v.jobs
			if play == 0 {
				jobs = atLeast(v.guess * b.seconds / 3)
			}
			var got sample
			var err error
			for try := 0; try == 0 || try < mostTries && play > 0 && !v.filled && got.Others > o.others; try++ {
				if got, err = b.play(ctx, round{
					contestant: v.contestant, setting: v.setting, jobs: v.source(play).first(jobs), schema: v.schema, filled: v.filled,
				}); err != nil {
					return nil, fmt.Errorf("%s, %s: %w", what, v.title, err)
				}
			}
			b.tell("%s, %s: round %d of %d: %7.0f jobs/s%s", what, v.title, play, o.rounds, got.rate(), busy(got.Others))
			if play == 0 {
				v.jobs = atLeast(got.rate()*b.seconds) + 2*v.setting.Slots*max(1, v.processes)
				continue
			}
			samples[i] = append(samples[i], got)
		}
	}
	var results []result
	for i, v := range variants {
		r := newResult(v.contestant, what, v.setting, samples[i])
		r.Title = v.title
		results = append(results, r)
	}
	return results, nil
}

// mostTries is how often a round is played at most while others use the machine.
const mostTries = 20

// busy says that others used the machine, too.
func busy(others float64) string {
	if others < 0.05 {
		return ""
	}
	return fmt.Sprintf(", while others used %.0f %% of the machine", 100*others)
}

// always is a source that doesn't change.
func always(s source) func(int) source { return func(int) source { return s } }

// parts are the names of what bench-full measures, in this order.
var parts = []string{
	"latency", "memory", "storm", "profile", "duplicates", "lines", "terms", "beside", "http", "posts", "waiting", "events", "webhooks", "documents", "processes", "series", "distance", "filled",
	"sizes", "partition",
}

// measureMore measures the named parts.
func (b *bench) measureMore(ctx context.Context, o options, parts []string) (*full, error) {
	f := &full{}
	for _, part := range parts {
		var err error
		switch part {
		case "latency":
			for _, rate := range []int{100, 500, 1000} {
				l, err := b.latency(ctx, o, rate)
				if err != nil {
					return nil, err
				}
				f.Latency = append(f.Latency, l)
			}
		case "memory":
			f.Memory, err = b.memory(ctx, o)
		case "storm":
			f.Storm, err = b.storm(ctx, o, 10_000)
		case "profile":
			if f.Profile, err = b.profile(ctx, o); err == nil {
				f.Refusals, err = b.vary(ctx, o, part, refusals(o))
			}
		case "duplicates":
			f.Duplicates, err = b.vary(ctx, o, part, shares(o))
		case "lines":
			f.Lines, err = b.vary(ctx, o, part, lengths(o))
		case "terms":
			f.Terms, err = b.vary(ctx, o, part, versions(o))
		case "beside":
			f.Beside, err = b.vary(ctx, o, part, besides(o, []beside{{"nothing", ours{}}, {"a witness", ours{extras: extras{witness: true}}}}))
		case "http":
			f.HTTP, err = b.vary(ctx, o, part, doors(o))
		case "posts":
			f.Posts, err = b.posts(ctx, o, 200)
		case "waiting":
			f.Waiting, err = b.waitingCost(ctx, o, 1000)
		case "events":
			f.Events, err = b.vary(ctx, o, part, besides(o, told()))
		case "webhooks":
			f.Webhooks, err = b.webhooks(ctx, o, 100)
		case "documents":
			if f.Documents, err = b.vary(ctx, o, part, besides(o, rendered())); err == nil {
				f.Drained, err = b.drain(ctx, o, atLeast(400*b.seconds))
			}
		case "processes":
			f.Processes, err = b.vary(ctx, o, part, processes(o))
		case "series":
			f.Series, err = b.vary(ctx, o, part, series(o))
		case "distance":
			f.Distances, err = b.vary(ctx, o, part, distances(o))
		case "filled":
			f.Filled, err = b.filled(ctx, o)
		case "partition":
			f.Partition, err = b.partition(ctx, o.partitioned)
		case "sizes":
			f.Sizes, err = b.measureSizes(ctx, o, atLeast(8_000*b.seconds))
		}
		if err != nil {
			return nil, err
		}
	}
	return f, nil
}

func shares(o options) (list []variant) {
	for _, share := range []float64{0, 0.5, 0.99} {
		list = append(list, variant{
			title:  fmt.Sprintf("%.0f %%", share*100),
			entry:  entry{contestant: contestant{name: invoicerName, guess: 1500 + 2500*share, open: ours{duplicates: share}.open}, setting: o.common},
			source: always(fiveLines),
		})
	}
	return list
}

func lengths(o options) (list []variant) {
	for _, n := range []int{1, 20, 1000} {
		list = append(list, variant{
			title:  strconv.Itoa(n),
			entry:  entry{contestant: contestant{name: invoicerName, guess: 1500 * 20 / float64(15+n), open: ours{}.open}, setting: o.common},
			source: always(source{"lines", func(i int) ([]byte, error) { return synthetic("T", i, n) }}),
		})
	}
	return list
}

// versions are jobs of version 1, and the same with prices that contain the taxes and a buyer, which takes version 2.
func versions(o options) (list []variant) {
	for title, edit := range map[string]func(*invoice.Job){"1": func(*invoice.Job) {}, "2": sellGross} {
		list = append(list, variant{
			title:  title,
			entry:  entry{contestant: contestant{name: invoicerName, guess: 1500, open: ours{}.open}, setting: o.common},
			source: always(source{"version " + title, func(i int) ([]byte, error) { return synthetic("T", i, 5, edit) }}),
		})
	}
	slices.SortFunc(list, func(a, b variant) int { return strings.Compare(a.title, b.title) })
	return list
}

// A beside is what the worker does beside invoicing.
type beside struct {
	title string
	ours  ours
}

// besides are jobs whose documents are told or kept elsewhere as well.
func besides(o options, all []beside) (list []variant) {
	for _, v := range all {
		list = append(list, variant{
			title:  v.title,
			entry:  entry{contestant: contestant{name: invoicerName, guess: 1500, open: v.ours.open}, setting: o.common},
			source: always(fiveLines),
		})
	}
	return list
}

// series are jobs of one row of numbers, and of several, each of which is written by itself.
func series(o options) (list []variant) {
	for _, n := range []int{1, 4, 16} {
		into := func(j *invoice.Job) {
			if n > 1 {
				h := fnv.New32a()
				_, _ = h.Write([]byte(j.TransactionID))
				j.Series = fmt.Sprint("S", h.Sum32()%uint32(n))
			}
		}
		list = append(list, variant{
			title:  strconv.Itoa(n),
			entry:  entry{contestant: contestant{name: invoicerName, guess: 1500, open: ours{}.open}, setting: o.common},
			source: always(source{fmt.Sprint(n, " series"), func(i int) ([]byte, error) { return synthetic("T", i, 5, into) }}),
		})
	}
	return list
}

func processes(o options) (list []variant) {
	for _, n := range []int{1, 2, 4, 8} {
		list = append(list, variant{
			title: strconv.Itoa(n),
			entry: entry{contestant: contestant{name: invoicerName, guess: 1500, open: processPeer{count: n}.open}, setting: o.common}, processes: n,
			source: always(fiveLines),
		})
	}
	return list
}

func (f *full) filledRatio() float64 {
	var empty, most float64
	for _, r := range f.Filled {
		switch {
		case r.Invoices == 0:
			empty = r.Rate
		case r.Invoices >= 5_000_000:
			most = r.Rate
		}
	}
	if empty == 0 {
		return 0
	}
	return most / empty
}

// together is what that many worker processes reach, of one's rate.
func (f *full) together(processes int) float64 {
	for _, r := range f.Processes {
		if r.Title == strconv.Itoa(processes) {
			return r.Rate / f.Processes[0].Rate
		}
	}
	return 0
}

func (f *full) p99(rate int) float64 {
	for _, l := range f.Latency {
		if l.Rate == rate {
			return l.P99
		}
	}
	return 0
}

func (f *full) peakMemory() float64 {
	var most float64
	for _, m := range f.Memory {
		most = max(most, m.Peak)
	}
	return most
}

// tables are none for what wasn't measured.
func (f *full) tables() []table {
	if f == nil {
		return nil
	}
	latencies := table{title: "From enqueue to the committed invoice, ms", header: []string{"jobs/s", "p50", "p99", "longest", "jobs"}}
	for _, l := range f.Latency {
		latencies.rows = append(latencies.rows, l.cells())
	}
	peaks := table{title: "Memory of one worker process at its peak", header: []string{"jobs waiting", "MB"}}
	for _, m := range f.Memory {
		peaks.rows = append(peaks.rows, []string{thousands(float64(m.Backlog)), fmt.Sprintf("%.0f", m.Peak)})
	}
	var filled []result
	for _, r := range f.Filled {
		filled = append(filled, r.result)
	}
	storms := table{title: "A storm: one transaction again and again", header: []string{"jobs", "seconds", "transactions that recorded duplicates", "all transactions"}}
	if s := f.Storm; s != nil {
		storms.rows = [][]string{{thousands(float64(s.Jobs)), fmt.Sprintf("%.1f", s.Seconds), thousands(float64(s.Recording)), thousands(float64(s.Transactions))}}
	}
	room := table{title: "What a job takes, in bytes", header: []string{"jobs", "Postgres, with indexes", "WAL", "Redis, while it waits", "Redis, after it is done"}}
	if s := f.Sizes; s != nil {
		room.rows = [][]string{{thousands(float64(s.Jobs)), thousands(s.Disk), thousands(s.WAL), thousands(s.Waiting), thousands(s.Kept)}}
	}
	var list []table
	for _, t := range []table{
		latencies, f.postsTable(), f.waitingTable(), f.webhooksTable(), f.drainedTable(), peaks, storms, room, f.Partition.table(), slicesTable(f.Profile),
	} {
		if len(t.rows) > 0 {
			list = append(list, t)
		}
	}
	for _, v := range []struct {
		title, header string
		results       []result
		cpu           bool
	}{
		{"What the database refuses", "", f.Refusals, true},
		{"Invoices that are there already", "invoices", filled, true},
		{"Share of duplicates", "duplicates", f.Duplicates, true},
		{"Lines of each job", "lines", f.Lines, true},
		{"Version of the job, with 5 lines; 2: prices with tax, and a buyer", "version", f.Terms, true},
		{"Kept beside the invoice", "beside it", f.Beside, true},
		{"By HTTP", "jobs come", f.HTTP, true},
		{"Told of the invoice", "", f.Events, true},
		{"Documents of the invoice, PDF and UBL", "", f.Documents, true},
		{"Worker processes", "processes", f.Processes, true},
		{"Series of the jobs", "series", f.Series, true},
		{"Both servers far away", "a round trip takes longer by", f.Distances, false}, // the delaying takes time as well
	} {
		if len(v.results) == 0 {
			continue
		}
		t := table{title: v.title, header: []string{v.header, "jobs/s", "slowest", "fastest", "of the first"}}
		if v.cpu {
			t.header = append(t.header, "worker", "Redis", "Postgres", "CPU s for 10,000 jobs")
		}
		for _, r := range v.results {
			row := []string{strings.TrimSpace(r.Title), thousands(r.Rate), thousands(r.Min), thousands(r.Max), times(r.Rate / v.results[0].Rate)}
			if v.cpu {
				row = append(row, cpuCells(r.CPU)...)
			}
			t.rows = append(t.rows, row)
		}
		list = append(list, t)
	}
	return list
}
