package main

import (
	"bytes"
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// documents returns the texts of the documentation, by path.
func writtenPages(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for _, path := range append(paths, "../../README.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[path] = string(text)
	}
	return texts
}

var (
	quotedBlock = regexp.MustCompile(`^\s*((?:[A-Z_]+=\S* )*invoicer [a-z-].*)$`)
	quotedSpan  = regexp.MustCompile("`((?:[A-Z_]+=\\S* )*invoicer [^`]+)`")
	word        = regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s'"]+`)
)

// words splits a command line as a shell does, up to a comment or what follows the command. Of words to choose from, such as
// jobs|invoices, it takes the first; a file is standard input, and COMMAND is any command, and
// NAME any name.
func words(line string) (environ, args []string) {
	for _, w := range word.FindAllString(line, -1) {
		switch {
		case strings.HasPrefix(w, "#"), w == "|", w == ">", w == "&", w == "&&", w == "<":
			return environ, args
		case len(args) == 0 && strings.Contains(w, "="):
			environ = append(environ, w)
		default:
			w, _, _ = strings.Cut(strings.Trim(w, `'"`), "|")
			if w == "FILE" || strings.HasSuffix(w, ".jsonl") || strings.HasSuffix(w, ".csv") || strings.HasSuffix(w, ".csv.gz") {
				w = "-"
			}
			args = append(args, strings.NewReplacer("COMMAND", "worker", "NAME", "name").Replace(w))
		}
	}
	return environ, args
}

// A documentedCommand is a command line of a page, in a block, or in a sentence, where it may only be named.
type documentedCommand struct {
	line    string
	inBlock bool
}

// documentedCommands returns the command lines of a page, in their order.
func documentedCommands(text string) (list []documentedCommand) {
	fenced := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if block := quotedBlock.FindStringSubmatch(strings.TrimRight(line, "\n")); block != nil && (fenced || strings.HasPrefix(line, "    ")) {
			list = append(list, documentedCommand{block[1], true})
		}
	}
	for _, span := range quotedSpan.FindAllStringSubmatch(text, -1) {
		list = append(list, documentedCommand{strings.ReplaceAll(span[1], "\n", " "), false})
	}
	return list
}

// Each command line in the documentation is one that the program takes: its command, flags, values and arguments. It is run, without
// servers, and must not be refused as wrong usage. A command that is only named in a sentence must exist.
func TestDocumentedCommandsAreTaken(t *testing.T) {
	t.Parallel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	found := 0
	for path, text := range writtenPages(t) {
		for _, c := range documentedCommands(text) {
			environ, args := words(c.line)
			args = args[1:]
			found++
			cmd, rest, err := (app{}).rootCommand().Find(args)
			if err != nil || len(rest) > 0 && cmd.HasSubCommands() && !cmd.Runnable() {
				t.Errorf("%s: %s: there is no such command", path, c.line)
				continue
			}
			if len(rest) == 0 && !c.inBlock {
				continue
			}
			var stderr bytes.Buffer
			environ = append(environ, "INVOICER_DATABASE_URL=postgres://127.0.0.1:1/x", "INVOICER_REDIS_URL=redis://127.0.0.1:1/0")
			if code := (app{environ: environ}).run(stopped, args, strings.NewReader(""), new(bytes.Buffer), &stderr); code == exitUsage {
				t.Errorf("%s: %s: %s", path, c.line, &stderr)
			}
		}
	}
	if found < 70 {
		t.Errorf("only %d command lines were found", found)
	}
}

// Each warning and each error in the log of a worker has its words in the documentation.
func TestWarningsAreDocumented(t *testing.T) {
	t.Parallel()
	operations, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	known, found := strings.ReplaceAll(string(operations), "`", ""), 0
	for _, message := range warnings(t) {
		found++
		if !strings.Contains(known, strings.TrimSpace(strings.ReplaceAll(message, "`", ""))) {
			t.Errorf("docs/operations.md doesn't say what to do about %q", message)
		}
	}
	if found < 40 {
		t.Errorf("only %d warnings were found", found)
	}
}

// warnings returns the texts of the program's log lines at levels that may be above INFO. Of a text that is put together it is the
// first part that is constant.
func warnings(t *testing.T) (list []string) {
	t.Helper()
	tools := regexp.MustCompile(`_test\.go$|internal/(sandbox|benchmark|chaos|checker|mutants|rig|demo|architecture)/|/testdata/`)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || tools.MatchString(filepath.ToSlash(path)) {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && mayWarn(call) {
				for _, argument := range call.Args {
					if text := constant(argument); strings.Contains(text, " ") {
						list = append(list, text)
						break
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// mayWarn reports whether the call is one of a slog.Logger at a level above INFO, or at one that isn't constant.
func mayWarn(call *ast.CallExpr) bool {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	if of, ok := method.X.(*ast.Ident); ok && of.Name == "http" {
		return false
	}
	switch method.Sel.Name {
	case "Warn", "WarnContext", "Error", "ErrorContext":
		return true
	case "Log", "LogAttrs":
		level, isConstant := call.Args[min(1, len(call.Args)-1)].(*ast.SelectorExpr)
		return len(call.Args) > 2 && (!isConstant || level.Sel.Name == "LevelWarn" || level.Sel.Name == "LevelError")
	}
	return false
}

func constant(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(e.Value) // a number isn't quoted
		return text
	case *ast.BinaryExpr:
		if text := constant(e.X); text != "" {
			return text
		}
		return constant(e.Y)
	case *ast.CallExpr: // fmt.Sprintf
		if len(e.Args) > 0 {
			text, _, _ := strings.Cut(constant(e.Args[0]), "%")
			return text
		}
	}
	return ""
}
