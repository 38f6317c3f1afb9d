package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"invoicer/config"
)

// helpWidth is how many columns help may take: a terminal's.
const helpWidth = 80

// showHelp is the help of every command. It differs from cobra's in that nothing is wider than a terminal, that a command's own
// flags come before those of the configuration, and that those every command has are left to 'invoicer help keys'.
func showHelp(cmd *cobra.Command, _ []string) {
	out := cmd.OutOrStdout()
	about := cmd.Long
	if about == "" {
		about = cmd.Short + "."
	}
	wrapText(out, about)
	showUsage(out, cmd)
	if cmd.Example != "" {
		_, _ = fmt.Fprintf(out, "\nExamples:\n%s\n", cmd.Example)
	}
	showCommands(out, cmd)
	showFlags(out, cmd)
}

func showUsage(out io.Writer, cmd *cobra.Command) {
	_, _ = fmt.Fprint(out, "\nUsage:\n")
	if !onlyGroups(cmd) {
		_, _ = fmt.Fprintf(out, "  %s\n", cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		_, _ = fmt.Fprintf(out, "  %s COMMAND\n", cmd.CommandPath())
	}
}

// onlyGroups reports whether a command only holds subcommands. Without one of them it shows its help: see [app.finish].
func onlyGroups(cmd *cobra.Command) bool { return cmd.HasSubCommands() && cmd.DisableFlagsInUseLine }

// showCommands lists the subcommands, by group if they have groups.
func showCommands(out io.Writer, cmd *cobra.Command) {
	groups := cmd.Groups()
	if len(groups) == 0 {
		groups = []*cobra.Group{{Title: "Commands:"}}
	}
	for _, group := range groups {
		title := group.Title
		for _, sub := range cmd.Commands() {
			if sub.GroupID != group.ID || sub.Hidden {
				continue
			}
			if title != "" {
				_, _ = fmt.Fprintf(out, "\n%s\n", title)
				title = ""
			}
			const column = 14
			wrapBeside(out, "  "+sub.Name(), column, sub.Short)
		}
	}
	if cmd.HasAvailableSubCommands() {
		_, _ = fmt.Fprintf(out, "\n'%s COMMAND --help' explains a command.\n", cmd.CommandPath())
	}
}

// showFlags shows a command's own flags, and then those of the configuration that it has and others have not.
func showFlags(out io.Writer, cmd *cobra.Command) {
	keys := config.Keys()
	isKey := func(name string) bool {
		return slices.ContainsFunc(keys, func(k config.Key) bool { return k.Flag() == name })
	}
	title, everywhere := "\nFlags:\n", cmd.Root().PersistentFlags()
	local := cmd.NonInheritedFlags()
	local.VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden || isKey(flag.Name) || flag.Name == "config" {
			return
		}
		_, _ = fmt.Fprint(out, title)
		title = ""
		showFlag(out, flag)
	})
	if cmd.Name() == keysTopic || cmd.Name() == "completion" || cmd.HasParent() && cmd.Parent().Name() == "completion" {
		return
	}
	section, others := "", []string{}
	for _, k := range keys {
		switch {
		case everywhere.Lookup(k.Flag()) != nil:
			others = append(others, "--"+k.Flag())
		case local.Lookup(k.Flag()) != nil:
			if k.Section() != section {
				section = k.Section()
				_, _ = fmt.Fprintf(out, "\nConfiguration, %s:\n", section)
			}
			showKey(out, k)
		}
	}
	_, _ = fmt.Fprintln(out)
	wrapText(out, "'invoicer help "+keysTopic+"' explains the configuration that every command has, and has the variable of each key, such as "+
		keys[0].Env()+": --config, "+strings.Join(others, ", ")+".")
}

// showFlag writes what pflag does, within the width.
func showFlag(out io.Writer, flag *pflag.Flag) {
	kind, usage := pflag.UnquoteUsage(flag)
	name := "      --" + flag.Name
	if flag.Shorthand != "" {
		name = "  -" + flag.Shorthand + ", --" + flag.Name
	}
	if kind != "" {
		name += " " + kind
	}
	if flag.DefValue != "" && !slices.Contains([]string{"0", "0s", "false", "[]"}, flag.DefValue) {
		usage += " (default " + flag.DefValue + ")"
	}
	const column = 28
	wrapBeside(out, name, column, usage)
}

// showKey writes a key of the configuration: its flag, its variable, and what it means.
func showKey(out io.Writer, k config.Key) {
	kind, allowed := k.Form()
	const column = 40
	_, _ = fmt.Fprintf(out, "  %-*s %s\n", column-3, "--"+k.Flag()+" "+kind, k.Env())
	value := "empty"
	if k.Default != "" {
		value = k.Default
	}
	notes := "default " + value
	if allowed != "" {
		notes += "; allowed: " + allowed
	}
	wrapBeside(out, "", 6, k.Doc)
	wrapBeside(out, "", 6, "("+notes+")")
}

// keysTopic is the name of the page about all keys.
const keysTopic = "keys"

// keysCommand is a page of help and no command.
func keysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: keysTopic, Short: "Explain every configuration key: its flag, variable and default", GroupID: groupSetup}
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		out := cmd.OutOrStdout()
		wrapText(out, `Every configuration key, with its flag and its variable; 'invoicer keys' prints this.

A key's flag wins over its variable, and both win over the configuration file. --config FILE names the file, else
INVOICER_CONFIG does, else it is ./invoicer.yaml if there is one. There, a key is written as

  lock:
    ttl: 15s`)
		section := ""
		for _, k := range config.Keys() {
			if k.Section() != section {
				section = k.Section()
				_, _ = fmt.Fprintf(out, "\n%s:\n", section)
			}
			showKey(out, k)
		}
		_, _ = fmt.Fprintln(out)
		wrapText(out, "All commands have the flags of redis, database and log. A command has others only for what it uses. 'invoicer config' shows the values that apply; 'invoicer config --example' prints a file to start from.")
	})
	return cmd
}

// wrapText writes paragraphs. Lines that begin with a blank stay as they are.
func wrapText(out io.Writer, text string) {
	var paragraph []string
	flush := func() {
		if len(paragraph) > 0 {
			wrapBeside(out, "", 0, strings.Join(paragraph, " "))
		}
		paragraph = nil
	}
	for line := range strings.Lines(strings.Trim(text, "\n")) {
		line = strings.TrimRight(line, " \n")
		switch {
		case line == "":
			flush()
			_, _ = fmt.Fprintln(out)
		case line[0] == ' ' || line[0] == '\t' || line[0] == '#':
			flush()
			_, _ = fmt.Fprintln(out, strings.ReplaceAll(line, "\t", "  "))
		default:
			paragraph = append(paragraph, line)
		}
	}
	flush()
}

// wrapBeside writes a text from a column on, beside a name if that leaves room, else beneath it.
func wrapBeside(out io.Writer, name string, column int, text string) {
	line, used := name, utf8.RuneCountInString(name)
	if name != "" && used >= column {
		_, _ = fmt.Fprintln(out, name)
		line, used = "", 0
	}
	line, used = line+strings.Repeat(" ", column-used), column
	for i, word := range strings.Fields(text) {
		size := utf8.RuneCountInString(word)
		if i > 0 && used+1+size > helpWidth {
			_, _ = fmt.Fprintln(out, line)
			line, used = strings.Repeat(" ", column), column
		} else if used > column {
			line, used = line+" ", used+1
		}
		line, used = line+word, used+size
	}
	_, _ = fmt.Fprintln(out, strings.TrimRight(line, " "))
}
