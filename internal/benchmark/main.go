package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		os.Exit(1)
	}
}

// garbagePercent is the worker's setting (cmd/invoicer/wire.go), here for everybody.
const garbagePercent = 250

// options are the flags.
type options struct {
	full, write, json, durable, appendOnly bool

	docs, data, only, profile, parts string
	rounds                           int
	seconds, others                  float64
	common                           setting
	sizes                            string
	partitioned                      int
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) == 1 && args[0] == workerArgument {
		return runWorkerProcess(ctx, stdin, stdout)
	}
	var o options
	flags := flag.NewFlagSet("benchmark", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&o.full, "full", false, "measure latency, memory, filled tables, duplicates, lines and processes as well")
	flags.StringVar(&o.parts, "parts", "", "measure these parts of -full alone, such as latency,memory; there are "+strings.Join(parts, ", "))
	flags.BoolVar(&o.write, "write", false, "write benchmarks.md and benchmarks.svg in -docs")
	flags.StringVar(&o.docs, "docs", "../../docs", "the folder that -write writes to")
	flags.BoolVar(&o.json, "json", false, "print the raw numbers as JSON, and no tables")
	flags.BoolVar(&o.durable, "fsync", true, "let commits of the private Postgres wait for the disk")
	flags.BoolVar(&o.appendOnly, "aof", false, "let the private Redis keep an append-only file")
	flags.StringVar(&o.data, "data", os.Getenv("INVOICER_TEST_DATA"), "the folder with online_retail.jsonl.gz; empty: no real transactions")
	flags.StringVar(&o.only, "only", "", "measure these contestants alone, such as no-op,invoicer,traced,traced-0.01")
	flags.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of the rounds to this file; with -only")
	flags.IntVar(&o.rounds, "rounds", 5, "how many rounds count")
	flags.Float64Var(&o.seconds, "seconds", 4.5, "how long a round should take")
	flags.Float64Var(&o.others, "others", 1, "play a round of the parts again while others use more than this share of the machine, such as 0.1")
	flags.IntVar(&o.common.Servers, "servers", 1, "asynq servers in one process, for the peers on asynq; the worker has one")
	flags.IntVar(&o.common.Slots, "slots", 768, "jobs worked on at once, over all servers, for all")
	flags.StringVar(&o.sizes, "filled", "1000000,5000000", "with -full: how many invoices there are already")
	flags.IntVar(&o.partitioned, "partitioned", 1_000_000, "with -full: how many invoices are partitioned")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is no flag: run with -help", flags.Arg(0))
	}
	for _, part := range o.more() {
		if !slices.Contains(parts, part) {
			return fmt.Errorf("-parts %s: there is no part %q", o.parts, part)
		}
	}
	if o.write && (o.parts != "" || o.only != "") {
		return errors.New("-only and -parts can't go with -write, nor with make bench: the page shows all of what was measured in one run")
	}
	if o.rounds < 1 || o.seconds <= 0 || o.common.Servers < 1 || o.common.Slots < o.common.Servers {
		return fmt.Errorf("-rounds, -seconds and -servers must be positive, and -slots at least as many as -servers")
	}

	debug.SetGCPercent(garbagePercent)
	begun := time.Now()
	b, err := openBench(ctx, o, stderr)
	if err != nil {
		return err
	}
	defer b.close()
	report, err := b.measure(ctx, o)
	if err != nil {
		return err
	}
	report.Took = time.Since(begun).Round(time.Second).String()
	if o.json {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = report.print(stdout)
	}
	if err != nil || !o.write {
		return err
	}
	return report.write(o.docs)
}

// measure does everything that the flags ask for.
func (b *bench) measure(ctx context.Context, o options) (*report, error) {
	machine, err := b.describe(ctx)
	if err != nil {
		return nil, err
	}
	r := &report{Command: command(o), Machine: machine, Common: o.common, Rounds: o.rounds}
	sources := []source{fiveLines}
	if o.data != "" {
		transactions, err := openReal(filepath.Join(o.data, "online_retail.jsonl.gz"))
		if err != nil {
			return nil, err
		}
		defer transactions.close()
		sources = append(sources, transactions.source())
	}
	if o.profile != "" {
		f, err := os.Create(o.profile)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return nil, err
		}
		defer pprof.StopCPUProfile()
	}
	contestants, err := only(o.only, contestants(), tracing()...)
	if err != nil {
		return nil, err
	}
	settings := map[string]setting{}
	if o.parts != "" {
		sources = nil
	}
	for i, s := range sources {
		taking := contestants
		if i > 0 { // duplicates are about the same whatever was invoiced
			taking = without(contestants, duplicatesName)
		}
		results, err := b.compare(ctx, o, s, taking, settings)
		if err != nil {
			return nil, err
		}
		r.Results = append(r.Results, results...)
	}
	if more := o.more(); len(more) > 0 {
		if r.Full, err = b.measureMore(ctx, o, more); err != nil {
			return nil, err
		}
	}
	r.Targets = judge(r)
	return r, nil
}

// command is what to type to get these figures.
func command(o options) string {
	name := "make bench"
	if o.full {
		name = "make bench-full"
	}
	if o.data != "" {
		name = "INVOICER_TEST_DATA=… " + name
	}
	return name
}

// more are the parts of bench-full that the flags ask for.
func (o options) more() []string {
	switch {
	case o.parts != "":
		return strings.Split(o.parts, ",")
	case o.full:
		return parts
	}
	return nil
}

// only returns the contestants that are named, which may be more than those that are measured by default.
func only(names string, all []contestant, more ...contestant) ([]contestant, error) {
	if names == "" {
		return all, nil
	}
	all = append(all, more...)
	var chosen []contestant
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(c contestant) bool { return c.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-only %s: there is no contestant %q", names, name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func without(all []contestant, name string) []contestant {
	return slices.DeleteFunc(slices.Clone(all), func(c contestant) bool { return c.name == name })
}
