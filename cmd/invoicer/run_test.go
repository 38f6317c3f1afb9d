package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"invoicer/config"
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
