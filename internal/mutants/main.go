// Command mutants breaks the product's promises on purpose, one at a time, and proves that the tests notice:
//
//	go run ./internal/sandbox -- go run ./internal/mutants [-run REGEX] [-list] [-json | -markdown] [-parallel N]
//
// Each mutant is a small change of the code or of a migration, made in an overlay: the files themselves are never touched.
// First the chosen tests have to pass without any change. Then each mutant is compiled and its tests are run, which have
// to fail. Progress goes to stderr, and the table of what caught what to stdout.
//
// The exit code is 0 when every mutant was caught, and 1 when one survived, doesn't compile, or doesn't fit the code any
// more; 2 for a wrong usage.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	flags.SetOutput(stderr)
	pattern := flags.String("run", "", "only mutants whose `name` matches")
	list := flags.Bool("list", false, "list the mutants and run nothing")
	asJSON := flags.Bool("json", false, "print the results as JSON")
	asMarkdown := flags.Bool("markdown", false, "print the results as a Markdown table")
	parallel := flags.Int("parallel", 2, "how many mutants to run at a time")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	matching, err := regexp.Compile(*pattern)
	if err != nil || flags.NArg() > 0 || *parallel < 1 {
		fmt.Fprintln(stderr, "mutants:", cmp.Or(err, errors.New("no arguments are known, and -parallel is at least 1")))
		return 2
	}
	show := printText
	switch {
	case *asJSON:
		show = printJSON
	case *asMarkdown:
		show = printMarkdown
	}
	var chosen []mutant
	for _, m := range mutants() {
		if matching.MatchString(m.name) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		fmt.Fprintf(stderr, "mutants: none is named like %s; -list shows the names\n", matching)
		return 2
	}
	results := make([]result, len(chosen))
	for i := range chosen {
		results[i].mutant = &chosen[i]
	}
	if !*list {
		if err := examine(ctx, results, *parallel, stderr); err != nil {
			fmt.Fprintln(stderr, "mutants:", err)
			return 1
		}
	}
	if err := show(stdout, results); err != nil {
		fmt.Fprintln(stderr, "mutants:", err)
		return 1
	}
	if bad := notCaught(results); !*list && bad > 0 {
		fmt.Fprintf(stderr, "mutants: %d of %d were not caught\n", bad, len(results))
		return 1
	}
	return 0
}

// examine fills in the results. An error means that nothing is known of the mutants.
func examine(ctx context.Context, results []result, parallel int, progress io.Writer) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "invoicer-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	b := &bench{root: root, folder: folder}
	fmt.Fprintln(progress, "the tests, without any mutant …")
	if err := b.healthy(ctx, results); err != nil {
		return err
	}
	var running sync.WaitGroup
	var mu sync.Mutex
	done := 0
	slots := make(chan struct{}, parallel)
	for i := range results {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			r := &results[i]
			b.try(ctx, i, r)
			mu.Lock()
			defer mu.Unlock()
			done++
			fmt.Fprintf(progress, "%3d/%d  %s: %s\n", done, len(results), r.mutant.name, r.says())
		})
	}
	running.Wait()
	return ctx.Err()
}

// moduleRoot is the folder of the nearest go.mod.
func moduleRoot() (string, error) {
	folder, err := os.Getwd()
	for ; err == nil; folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder, nil
		}
		if folder == filepath.Dir(folder) {
			return "", errors.New("no go.mod here or above: run it inside the repository")
		}
	}
	return "", err
}
