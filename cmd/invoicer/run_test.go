package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/invoice"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err    error
		code   int
		stderr string
	}{
		"well":                  {nil, exitOK, ""},
		"an error without code": {errors.New("no server"), exitFailed, "invoicer: no server\n"},
		"several lines":         {errors.New("one\ntwo"), exitFailed, "invoicer: one\ninvoicer: two\n"},
		"an error with a code":  {exitError{exitAudit, errors.New("broken")}, exitAudit, "invoicer: broken\n"},
		"a wrapped code":        {fmt.Errorf("audit: %w", exitError{exitAudit, errors.New("broken")}), exitAudit, "invoicer: broken\n"},
		"a code that says all":  {exitError{code: exitAudit}, exitAudit, ""},
		"a usage error":         {usageErrorf("%d files", 2), exitUsage, "invoicer: 2 files\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := &cobra.Command{Use: "x", RunE: func(*cobra.Command, []string) error { return tt.err }, SilenceErrors: true, SilenceUsage: true}
			app{}.finish(cmd)
			cmd.SetArgs([]string{})
			var stderr bytes.Buffer
			if code := printError(cmd.Execute(), &stderr); code != tt.code {
				t.Errorf("code %d, want %d", code, tt.code)
			}
			if stderr.String() != tt.stderr {
				t.Errorf("stderr %q, want %q", stderr.String(), tt.stderr)
			}
		})
	}
}

// A mistake in how a command defines its flags shows as a panic, and a command without a group in the wrong place.
func TestCommands(t *testing.T) {
	t.Parallel()
	for _, cmd := range (app{}).rootCommand().Commands() {
		if cmd.GroupID == "" || cmd.Short == "" {
			t.Errorf("%s: group %q, short %q", cmd.Name(), cmd.GroupID, cmd.Short)
		}
		var stdout bytes.Buffer
		if code := run(context.Background(), []string{cmd.Name(), "--help"}, nil, strings.NewReader(""), &stdout, io.Discard); code != exitOK {
			t.Errorf("%s --help exits with %d", cmd.Name(), code)
		}
		if !strings.Contains(stdout.String(), "invoicer "+cmd.Name()) {
			t.Errorf("%s --help prints:\n%s", cmd.Name(), stdout.String())
		}
	}
}

func TestLoggerFormats(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{
		"":     `"msg":"hello"`, // a buffer is no terminal
		"json": `"msg":"hello"`,
		"text": `msg=hello`,
	} {
		var b bytes.Buffer
		logger := newLogger(config.Log{Level: slog.LevelWarn, Format: format}, &b)
		logger.Info("quiet")
		logger.Warn("hello")
		if got := b.String(); !strings.Contains(got, want) || strings.Contains(got, "quiet") {
			t.Errorf("format %q at level warn: %s", format, got)
		}
	}
}

// Whatever text a line holds, it stays one line, a terminal has nothing to obey in it, and JSON still says the same.
func TestLogLinesArePrintable(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"newline": "T1\nlevel=ERROR msg=forged", "return": "T1\rforged", "both": "T1\r\n{\"level\":\"ERROR\"}", "form feed": "\v\f",
		"escape sequence": "\x1b[2J\x1b]0;owned\a", "DEL": "T\x7f1", "C1": "\u009b2J", "next line": "T1\u0085forged", "NUL": "\x00",
		"right to left": "\u202egnp.exe\u202c", "isolate": "\u2066T1\u2069", "line separator": "a\u2028b\u2029c", "mark": "\ufeff\u200b\u00ad",
		"tag": "\U000e0041", "invalid": "T\xff\x9b1", "quote": `" outcome="created`, "equals": "a=b", "backslash": `\u000a\n`, "print": "Zürich 漢字 🙂",
	} {
		for _, format := range []string{"json", "text"} {
			t.Run(name+" as "+format, func(t *testing.T) {
				t.Parallel()
				var b bytes.Buffer
				log := newLogger(config.Log{Format: format}, &b)
				log.With(text, text).WithGroup(text).Info(text, "job_id", text, "error", errors.New(text), "any", []string{text}, text, invoice.Outcome(text),
					"in", slog.GroupValue(slog.String(text, text)))
				line, ended := strings.CutSuffix(b.String(), "\n")
				if !ended || !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Fatalf("%q", b.String())
				}
				if format == "text" {
					return
				}
				var said map[string]any
				if err := json.Unmarshal([]byte(line), &said); err != nil {
					t.Fatal(err)
				}
				if want := strings.Map(func(r rune) rune { return r }, text); said["msg"] != want || said[want].(map[string]any)["job_id"] != want {
					t.Errorf("%q became %q", want, said)
				}
			})
		}
	}
}

// What libraries log by themselves has the same form.
func TestWhatLibrariesLogIsCaught(t *testing.T) { //nolint:paralleltest // the logger of package log is the process's
	before := slog.Default()
	flags := log.Flags()
	t.Cleanup(func() {
		slog.SetDefault(before)
		log.SetOutput(os.Stderr)
		log.SetFlags(flags)
	})
	var b bytes.Buffer
	catchLogs(newLogger(config.Log{Format: "json"}, &b))
	log.Printf("error: could not delete task with id %q: %v", "x", "no\n{\"level\":\"ERROR\"}\u202e")
	if got := b.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"from":"log"`) || strings.Contains(got, "\u202e") {
		t.Errorf("%q", got)
	}
}
