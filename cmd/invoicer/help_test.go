package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"invoicer/config"
)

// Help fits a terminal, shows an example of whatever can be run, and names the variable of each key that it mentions.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, cmd := range everyCommand((app{}).rootCommand()) {
		path := strings.Fields(cmd.CommandPath())[1:]
		t.Run(strings.Join(append(path, "--help"), " "), func(t *testing.T) {
			t.Parallel()
			help := helpOf(t, append(path, "--help")...)
			for line := range strings.Lines(help) {
				if line = strings.TrimSuffix(line, "\n"); utf8.RuneCountInString(line) > helpWidth {
					t.Errorf("%d columns: %s", utf8.RuneCountInString(line), line)
				}
			}
			if cmd.Runnable() && !onlyGroups(cmd) && (cmd.Example == "" || !strings.Contains(help, cmd.Example)) {
				t.Errorf("no example: %q", cmd.Example)
			}
			for _, k := range config.Keys() {
				if shown := strings.Contains(help, "  --"+k.Flag()+" "); shown != strings.Contains(help, " "+k.Env()+"\n") {
					t.Errorf("--%s is shown: %t; %s is the other way round", k.Flag(), shown, k.Env())
				}
			}
		})
	}
}

// A command's own flags come before those of the configuration, which are there as well; what every command has is explained in
// one place.
func TestHelpOfFlags(t *testing.T) {
	t.Parallel()
	replay := helpOf(t, "replay", "--help")
	own, numbering := strings.Index(replay, "--outcome"), strings.Index(replay, "  --numbering-period ")
	if own < 0 || numbering < own {
		t.Errorf("--outcome is at %d, --numbering-period at %d", own, numbering)
	}
	if strings.Contains(replay, "INVOICER_LOG_LEVEL") || !strings.Contains(replay, "invoicer help keys") {
		t.Errorf("replay explains what all commands have, or doesn't say where that is:\n%s", replay)
	}
	keys := helpOf(t, "help", "keys")
	for _, k := range config.Keys() {
		if !strings.Contains(keys, "--"+k.Flag()+" ") || !strings.Contains(keys, k.Env()) {
			t.Errorf("%s isn't explained", k.Name)
		}
	}
	root := helpOf(t, "help")
	var at []int
	for _, want := range []string{"\nRun:\n  demo", "\nAsk for invoices:\n  enqueue", "\nLook:\n", "\nMend and tidy:\n", "\nSet up:\n", "--config"} {
		at = append(at, strings.Index(root, want))
	}
	if !slices.IsSorted(at) || at[0] < 0 {
		t.Errorf("groups are at %v in\n%s", at, root)
	}
}

func helpOf(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), args, nil, strings.NewReader(""), &stdout, &stderr); code != exitOK {
		t.Fatalf("%q exits with %d: %s", args, code, stderr.String())
	}
	return stdout.String()
}

// everyCommand returns a command and all below it.
func everyCommand(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		all = append(all, everyCommand(sub)...)
	}
	return all
}
