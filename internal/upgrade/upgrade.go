// Package upgrade builds the release before this one from the repository's history, for tests that run both side by side.
//
// BASE names its commit. After a release, that release's commit goes there.
package upgrade

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed BASE
var base string

// Base returns the commit of the release before.
func Base() string { return strings.TrimSpace(base) }

// Program returns the path of the program of the release before, which it builds. Where the history lacks that commit, as in a
// shallow clone or an archive, nothing of it can be tested: the test says so where nobody overlooks it, and fails where CI is
// set.
func Program(t testing.TB) string {
	t.Helper()
	root := moduleRoot(t)
	if out, err := command(t.Context(), root, "git", "cat-file", "-e", Base()+"^{commit}").CombinedOutput(); err != nil {
		missing := fmt.Sprintf("NOT TESTED: the release before beside this one. The history lacks its commit %s, which internal/upgrade/BASE names "+
			"(%v %s): fetch it by `git fetch --unshallow`", Base(), err, strings.TrimSpace(string(out)))
		if os.Getenv("CI") != "" {
			t.Fatal(missing)
		}
		fmt.Fprintln(os.Stderr, missing) // which is seen without -v
		t.Skip(missing)
	}
	dir := t.TempDir()
	source, program := filepath.Join(dir, "source"), filepath.Join(dir, "invoicer-before")
	for _, c := range []*exec.Cmd{
		command(t.Context(), root, "git", "archive", "--format=tar", "--prefix=source/", "--output="+filepath.Join(dir, "source.tar"), Base()),
		command(t.Context(), dir, "tar", "-xf", "source.tar"),
		command(t.Context(), source, "go", "build", "-buildvcs=false", "-o", program, "./cmd/invoicer"),
	} {
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c.Args, err, out)
		}
	}
	return program
}

func moduleRoot(t testing.TB) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}

func command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = dir
	return c
}
