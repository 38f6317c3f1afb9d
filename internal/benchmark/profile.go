package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// layers are whose code a sample of the CPU profile may be in, by how the names of their functions begin. What they call in
// turn, as Go's runtime, is theirs as well.
var layers = []struct{ prefix, title string }{
	{"github.com/hibiken/asynq", "asynq"},
	{"github.com/redis/go-redis", "go-redis"},
	{"invoicer/internal/autopipeline", "sharing round trips (internal/autopipeline)"},
	{"invoicer/locking", "locks (locking)"},
	{"invoicer/worker", "handling a job, its log line (worker)"},
	{"invoicer/invoice/postgres", "groups and their arrays (invoice/postgres)"},
	{"invoicer/invoice", "decoding, arithmetic, fingerprint (invoice)"},
	{"gorm.io/", "GORM"},
	{"github.com/jackc/", "pgx"},
	{"database/sql", "database/sql"},
	{"invoicer/internal/fault", "fault points"},
	{"main.", "the benchmark"},
}

// goItself is where none of the layers is: the scheduler, the garbage collector, the network poller.
const goItself = "Go's scheduler and garbage collector"

// A slice is how many microseconds of a job a layer takes.
type slice struct {
	Layer  string
	Micros float64
}

// profile plays one round of the worker under the CPU profiler, and tells what each layer takes of a job. Loading and
// checking the round is left out.
func (b *bench) profile(ctx context.Context, o options) ([]slice, error) {
	e := entry{contestant: contestant{name: invoicerName, guess: 1500, open: ours{}.open}, setting: o.common}
	tried, err := b.play(ctx, round{contestant: e.contestant, setting: e.setting, jobs: fiveLines.first(atLeast(e.guess * b.seconds / 3))})
	if err != nil {
		return nil, err
	}
	var raw bytes.Buffer
	n := atLeast(tried.rate()*b.seconds*3) + 2*o.common.Slots
	got, err := b.play(ctx, round{
		contestant: e.contestant, setting: e.setting, jobs: fiveLines.first(n), profile: &raw,
	})
	if err != nil {
		return nil, err
	}
	p, err := profile.Parse(&raw)
	if err != nil {
		return nil, err
	}
	b.tell("profile of %d jobs", got.Jobs)
	return slicesOf(p, got.Jobs), nil
}

// slicesOf are the layers of a profile, the largest first.
func slicesOf(p *profile.Profile, jobs int) (list []slice) {
	const nanoseconds = 1 // of a sample's values; the other one counts
	sums := make(map[string]float64)
	for _, s := range p.Sample {
		sums[layerOf(s)] += float64(s.Value[nanoseconds]) / 1000 / float64(jobs)
	}
	for layer, micros := range sums {
		list = append(list, slice{layer, micros})
	}
	slices.SortFunc(list, func(a, b slice) int { return cmp.Compare(b.Micros, a.Micros) })
	return list
}

// layerOf finds the innermost layer of a sample's stack.
func layerOf(s *profile.Sample) string {
	for _, location := range s.Location {
		for _, line := range location.Line { // the innermost first
			for _, l := range layers {
				if strings.HasPrefix(line.Function.Name, l.prefix) {
					return l.title
				}
			}
		}
	}
	return goItself
}

// refusals are what the database checks of each invoice, taken away bit by bit, to see what it costs.
func refusals(o options) (list []variant) {
	for _, v := range []struct{ title, alter string }{
		{"all as it is", ""},
		{"without triggers", withoutTriggers},
		{"without triggers and CHECKs", withoutTriggers + withoutChecks},
	} {
		list = append(list, variant{
			title:  v.title,
			entry:  entry{contestant: contestant{name: invoicerName, guess: 1500, open: ours{alter: v.alter}.open}, setting: o.common},
			source: always(fiveLines),
		})
	}
	return list
}

const (
	// The first invoice of a series opens it, by a trigger.
	withoutTriggers = `
INSERT INTO series (series, version, kind, format, period, timezone, origin, change, actor) VALUES ('INV', 1, 'invoice', '{series}-{number:06}', 'none', 'UTC', 'configuration', 'made', 'the benchmark');
INSERT INTO invoice_series (series, period, kind) VALUES ('INV', '', 'invoice');
ALTER TABLE invoices DISABLE TRIGGER USER; ALTER TABLE invoice_lines DISABLE TRIGGER USER;
ALTER TABLE invoice_taxes DISABLE TRIGGER USER; ALTER TABLE invoice_series DISABLE TRIGGER USER;`
	withoutChecks = `
DO $$ DECLARE c record; BEGIN
    FOR c IN SELECT conrelid::regclass AS of, conname FROM pg_constraint WHERE contype = 'c' AND connamespace = current_schema()::regnamespace LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.of, c.conname);
    END LOOP;
END $$;`
)

// slicesTable shows a profile.
func slicesTable(list []slice) table {
	t := table{title: "The worker's own time, by whose code it is in", header: []string{"", "µs of CPU a job", "share"}}
	var all float64
	for _, s := range list {
		all += s.Micros
	}
	for _, s := range list {
		t.rows = append(t.rows, []string{s.Layer, fmt.Sprintf("%.1f", s.Micros), fmt.Sprintf("%.0f %%", 100*s.Micros/all)})
	}
	return t
}
