package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A bench runs the tests of the module at root, with and without changes that it keeps in its folder.
type bench struct{ root, folder string }

// A verdict is what became of a mutant.
type verdict string

const (
	caught      verdict = "caught"
	survived    verdict = "survived"
	unfit       verdict = "doesn't fit the code any more"
	uncompiled  verdict = "doesn't compile"
	outOfTime   verdict = "ran out of time"
	notExamined verdict = "couldn't be examined"
)

// A result is a mutant and what became of it; no verdict before it was tried.
type result struct {
	mutant  *mutant
	verdict verdict
	by      []string // the tests that failed
	took    time.Duration
	detail  string // of any other verdict than caught
}

func (r *result) says() string {
	if r.verdict == caught {
		return "caught by " + few(r.by)
	}
	return strings.ToUpper(string(r.verdict)) + "\n" + r.detail
}

func notCaught(results []result) int {
	n := 0
	for i := range results {
		if results[i].verdict != caught {
			n++
		}
	}
	return n
}

// How long a mutant's tests may take, once they are compiled. Tests that wait for what never happens give up after 30s.
const (
	timeLimit        = 4 * time.Minute
	timeLimitOfHangs = time.Minute
)

// healthy returns an error unless every test that is to catch a mutant exists, and passes without one.
func (b *bench) healthy(ctx context.Context, results []result) error {
	tests := map[string][]string{}
	for _, r := range results {
		tests[r.mutant.in] = append(tests[r.mutant.in], r.mutant.tests...)
	}
	for _, in := range slices.Sorted(maps.Keys(tests)) {
		slices.Sort(tests[in])
		names := slices.Compact(tests[in])
		told, err := b.test(ctx, in, names, timeLimit)
		if err != nil {
			return err
		}
		if told.failed() {
			return fmt.Errorf("the tests of %s fail without any mutant: %s\n%s", in, strings.Join(told.red, ", "), told.tail())
		}
		for _, name := range names {
			if !told.passed[name] {
				return fmt.Errorf("%s has no test %s, or it was skipped", in, name)
			}
		}
	}
	return nil
}

// try examines one mutant; id tells its files from another one's.
func (b *bench) try(ctx context.Context, id int, r *result) {
	began := time.Now()
	defer func() { r.took = time.Since(began) }()
	files, err := r.mutant.apply(b.root)
	if err != nil {
		r.verdict, r.detail = unfit, err.Error()
		return
	}
	overlay, err := b.overlay(id, files)
	if err != nil {
		r.verdict, r.detail = notExamined, err.Error()
		return
	}
	limit := timeLimit
	if r.mutant.hangs {
		limit = timeLimitOfHangs
	}
	told, err := b.test(ctx, r.mutant.in, r.mutant.tests, limit, "-overlay="+overlay)
	if err != nil {
		r.verdict, r.detail = notExamined, err.Error()
		return
	}
	r.judge(told)
}

// judge comes to the verdict by what the mutant's tests told.
func (r *result) judge(t *told) {
	switch {
	case t.uncompiled:
		r.verdict, r.detail = uncompiled, t.tail()
	case !t.failed():
		r.verdict, r.detail = survived, "expected to catch it: "+strings.Join(r.mutant.tests, ", ")
	case t.outOfTime && !r.mutant.hangs:
		r.verdict, r.detail = outOfTime, t.tail()
	case t.outOfTime:
		r.verdict, r.by = caught, []string{strings.Join(r.mutant.tests, ", ") + " (hangs)"}
	case len(t.red) == 0: // the servers didn't start, for example
		r.verdict, r.detail = notExamined, t.tail()
	default:
		r.verdict, r.by = caught, t.red
	}
}

// overlay writes the changed files and the list that go test reads.
func (b *bench) overlay(id int, files map[string][]byte) (string, error) {
	replace := map[string]string{}
	for name, content := range files {
		changed := filepath.Join(b.folder, fmt.Sprintf("%d-%d-%s", id, len(replace), filepath.Base(name)))
		if err := os.WriteFile(changed, content, 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(b.root, filepath.FromSlash(name))] = changed
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.folder, fmt.Sprintf("%d.json", id))
	return path, os.WriteFile(path, list, 0o600)
}

// What a run of go test told.
type told struct {
	code       int
	passed     map[string]bool
	red        []string // failed tests, without those that failed only because a subtest did
	uncompiled bool
	outOfTime  bool
	said       []string
}

func (t *told) failed() bool { return t.code != 0 }

func (t *told) tail() string {
	return strings.Join(t.said[max(0, len(t.said)-25):], "")
}

// test runs tests of a package. An error means that nothing is known about them.
func (b *bench) test(ctx context.Context, in string, names []string, limit time.Duration, more ...string) (*told, error) {
	// Vetting a mutant would only tell that it is a strange piece of code.
	args := append([]string{"test", "-json", "-count=1", "-vet=off", "-failfast", "-timeout=" + limit.String(), "-run=" + matching(names)}, more...)
	args = append(args, in)
	if usesRapid(filepath.Join(b.root, in)) {
		args = append(args, "-rapid.nofailfile") // the work tree is not touched
	}
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = b.root
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if exit := new(exec.ExitError); ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		return nil, errors.Join(ctx.Err(), err)
	}
	t := read(&stdout)
	t.code = command.ProcessState.ExitCode()
	t.said = append(t.said, stderr.String())
	return t, nil
}

// matching is the pattern of exactly these tests.
func matching(names []string) string {
	var patterns []string
	for _, name := range names {
		steps := strings.Split(name, "/")
		for i := range steps {
			steps[i] = "^" + regexp.QuoteMeta(steps[i]) + "$"
		}
		patterns = append(patterns, strings.Join(steps, "/"))
	}
	return strings.Join(patterns, "|")
}

// read understands what go test -json prints.
func read(events *bytes.Buffer) *told {
	t := &told{passed: map[string]bool{}}
	var failed []string
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e struct{ Action, Test, Output, FailedBuild string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			t.said = append(t.said, lines.Text()+"\n")
			continue
		}
		t.uncompiled = t.uncompiled || e.Action == "build-fail" || e.FailedBuild != ""
		t.outOfTime = t.outOfTime || strings.Contains(e.Output, "panic: test timed out after")
		if e.Output != "" {
			t.said = append(t.said, e.Output)
		}
		switch {
		case e.Test == "":
		case e.Action == "pass":
			t.passed[e.Test] = true
		case e.Action == "fail":
			failed = append(failed, e.Test)
		}
	}
	for _, name := range failed {
		if !slices.ContainsFunc(failed, func(other string) bool { return strings.HasPrefix(other, name+"/") }) {
			t.red = append(t.red, name)
		}
	}
	slices.Sort(t.red)
	return t
}

// usesRapid tells whether a package has property tests, which would write down how they failed, and be run by that again.
func usesRapid(folder string) bool {
	files, _ := filepath.Glob(filepath.Join(folder, "*_test.go")) // the pattern is well formed
	return slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		return err == nil && bytes.Contains(text, []byte(`"pgregory.net/rapid"`))
	})
}
