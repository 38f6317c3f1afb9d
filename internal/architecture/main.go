// Command architecture draws the program's packages and their imports into docs/architecture.md:
//
//	go run ./internal/architecture [-write]
//
// It asks `go list` for the packages of the module. Without -write it prints what it would write.
//
// The exit code is 0 for success, 1 if a package or the page can't be read or written, and 2 for wrong usage.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
)

const (
	page  = "docs/architecture.md"
	begin = "<!-- packages: made by make architecture -->\n"
	end   = "<!-- end of packages -->\n"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code) //nolint:forbidigo // this is main
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("architecture", flag.ContinueOnError)
	flags.SetOutput(stderr)
	write := flags.Bool("write", false, "write the section into "+page)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintln(stderr, "architecture: it takes no arguments")
		return 2
	}
	packages, err := list(ctx, ".")
	if err == nil && *write {
		err = rewrite(page, section(packages))
	} else if err == nil {
		_, err = io.WriteString(stdout, section(packages))
	}
	if err != nil {
		fmt.Fprintln(stderr, "architecture:", err)
		return 1
	}
	return 0
}

// A Package is one package of the module, as `go list -json` describes it.
type Package struct {
	ImportPath string
	Doc        string // the first sentence of its comment
	Imports    []string
	Module     struct{ Path string }
}

// list returns the packages of the module that contains the directory, as they are built for Linux: the page must not
// depend on the machine that writes it.
func list(ctx context.Context, dir string) ([]Package, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-json=ImportPath,Doc,Imports,Module", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.Bytes())
	}
	var all []Package
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p Package
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Package) int { return cmp.Compare(a.ImportPath, b.ImportPath) })
	return all, nil
}

// rewrite replaces the generated section of the page.
func rewrite(path, section string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, _, after, err := split(content)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(before+section+after), 0o644) //nolint:gosec // a page for everybody
}

// split returns the page's text before, in and after the generated section; the section includes its marking lines.
func split(content []byte) (before, section, after string, err error) {
	text := string(content)
	from, to := strings.Index(text, begin), strings.Index(text, end)
	if from < 0 || to < from {
		return "", "", "", fmt.Errorf("the lines %q and %q are missing", begin, end)
	}
	to += len(end)
	return text[:from], text[from:to], text[to:], nil
}
