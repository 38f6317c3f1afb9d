package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"invoicer/config"
)

// The groups that 'invoicer help' shows.
const (
	groupRun   = "run"
	groupAsk   = "ask"
	groupLook  = "look"
	groupMend  = "mend"
	groupSetup = "setup"
)

func (a app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "invoicer",
		Short: "One invoice per transaction, numbered without a gap, however often it is asked for",
		Long: `invoicer turns billing jobs into exactly one invoice for each transaction, numbered without a gap,
however often and from however many processes it is asked for.

Exit codes: 0 success, 1 failure, 2 wrong usage or configuration, 3 the audit found a broken promise.`,
		Example: `  invoicer migrate up
  invoicer worker
  invoicer enqueue --durable jobs.jsonl
  invoicer status TRANSACTION_ID`,
		Version:       buildVersion().Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("invoicer {{.Version}}\n")
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Run:"},
		&cobra.Group{ID: groupAsk, Title: "Ask for invoices:"},
		&cobra.Group{ID: groupLook, Title: "Look:"},
		&cobra.Group{ID: groupMend, Title: "Mend and tidy:"},
		&cobra.Group{ID: groupSetup, Title: "Set up:"},
	)
	root.AddCommand(
		a.demoCommand(),
		a.workerCommand(),
		a.serveCommand(),
		a.healthCommand(),
		a.enqueueCommand(),
		a.replayCommand(),
		a.dismissCommand(),
		a.queueCommand(),
		a.restoreCommand(),
		a.statusCommand(),
		a.doctorCommand(),
		a.topCommand(),
		a.racesCommand(),
		a.cacheCommand(),
		a.queuesCommand(),
		a.workersCommand(),
		a.listCommand(),
		a.lockCommand(),
		a.historyCommand(),
		a.eventsCommand(),
		a.auditCommand(),
		a.sealCommand(),
		a.pruneCommand(),
		a.eraseCommand(),
		a.exportCommand(),
		a.documentCommand(),
		a.handoverCommand(),
		a.migrateCommand(),
		a.issuerCommand(), a.seriesCommand(), a.settingsCommand(),
		a.importCommand(),
		a.tokenCommand(),
		a.rolesCommand(),
		a.configCommand(),
		keysCommand(),
		schemaCommand(),
		openapiCommand(),
		versionCommand(),
	)
	root.SetHelpFunc(showHelp)
	root.SetHelpCommand(helpCommand())
	root.SetCompletionCommandGroupID(groupSetup)
	root.InitDefaultCompletionCmd()
	addCompletionExamples(root)

	flags := root.PersistentFlags()
	flags.String("config", "", "the configuration `file`; else INVOICER_CONFIG, else ./invoicer.yaml if there is one")
	_ = root.MarkPersistentFlagFilename("config", "yaml", "yml", "json") // can't fail: the flag is added in the line above
	config.AddFlags(flags, "redis", "database", "log")

	root.SetFlagErrorFunc(flagError)
	a.finish(root)
	return root
}

// finish adds to every command what each would need otherwise: its errors end the program with exitFailed, an error about a missing
// right in the database says what to grant, and an unknown subcommand is an error with a suggestion.
func (a app) finish(cmd *cobra.Command) {
	if cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.Args = noSuchCommand
		cmd.RunE = runAlone
		cmd.DisableFlagsInUseLine = true
	}
	if runE := cmd.RunE; runE != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			err := runE(cmd, args)
			if err == nil || errors.As(err, new(exitError)) {
				return err
			}
			if forbidden(err) {
				err = a.explainRights(cmd, err)
			}
			return exitError{exitFailed, err}
		}
	}
	for _, sub := range cmd.Commands() {
		a.finish(sub)
	}
}

// showsList marks a command that, without a subcommand, runs its subcommand list.
const showsList = "shows-list"

// runAlone runs a command that only holds subcommands.
func runAlone(cmd *cobra.Command, _ []string) error {
	if _, marked := cmd.Annotations[showsList]; !marked {
		return cmd.Help()
	}
	list, _, err := cmd.Find([]string{"list"})
	if err != nil {
		return err
	}
	list.SetContext(cmd.Context())
	if err := list.ParseFlags(nil); err != nil { // it then knows the flags of all commands
		return err
	}
	return list.RunE(list, nil)
}

// noSuchCommand is the Args of a command that has only subcommands.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	message := fmt.Sprintf("there is no command %q", strings.TrimPrefix(cmd.CommandPath()+" ", "invoicer ")+args[0])
	if cmd.SuggestionsMinimumDistance == 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		message += "; did you mean " + strings.Join(similar, " or ") + "?"
	}
	return fmt.Errorf("%s; '%s --help' lists the commands", message, cmd.CommandPath())
}

// flagError returns an error about the subcommand if that is unknown, and otherwise about the flag: in 'invoicer wroker --queue x'
// the mistake is the word wroker.
func flagError(cmd *cobra.Command, err error) error {
	if cmd.HasSubCommands() {
		if unknown := noSuchCommand(cmd, cmd.Flags().Args()); unknown != nil {
			return unknown
		}
	}
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		switch invalid.GetFlag().Value.(type) {
		case *form:
			return fmt.Errorf("--%s %q: %w", invalid.GetFlag().Name, invalid.GetValue(), invalid.Unwrap())
		case jsonSwitch:
			if !errors.Is(invalid, strconv.ErrSyntax) {
				return invalid.Unwrap()
			}
		}
		if wanted := valuesOf(invalid.GetFlag().Value.Type()); wanted != "" {
			return fmt.Errorf("--%s %q: must be %s", invalid.GetFlag().Name, invalid.GetValue(), wanted)
		}
	}
	return fmt.Errorf("%w; '%s --help' lists the flags", err, cmd.CommandPath())
}

// valuesOf describes the values of a flag's type. It returns "" if the flag's own error does.
func valuesOf(flagType string) string {
	switch flagType {
	case "bool":
		return "true or false"
	case "int":
		return "a whole number"
	case "float64":
		return "a number"
	case "duration":
		return "a duration, such as 500ms, 30s or 5m"
	}
	return ""
}

// noArgs is the Args of a command that takes flags only.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("'%s' takes no argument, but there is %q; '%[1]s --help' shows its flags", cmd.CommandPath(), args[0])
}

// addCompletionExamples adds examples to cobra's own commands, as all others have them.
func addCompletionExamples(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		for _, shell := range cmd.Commands() {
			shell.Example = "  " + shell.CommandPath() + " > invoicer." + shell.Name()
		}
	}
}

// helpCommand returns a help command that, unlike cobra's, returns an error for an unknown command.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [command]",
		Short:   "Show what a command does",
		GroupID: groupSetup,
		Example: `  invoicer help worker
  invoicer help replay history`,
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err == nil && about.HasSubCommands() {
				err = noSuchCommand(about, rest)
			}
			if err != nil {
				return exitError{exitUsage, err}
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

// addConfigFlags adds the flags of the given sections of the configuration to a command, beside those of redis,
// database and log, which every command has.
func addConfigFlags(cmd *cobra.Command, sections ...string) {
	config.AddFlags(cmd.Flags(), sections...)
}

// loadConfig reads the configuration from the command's flags, the environment and the file. Its error ends the
// program with exitUsage.
func (a app) loadConfig(cmd *cobra.Command) (*config.Config, error) {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(config.Sources{
		File: file, Environ: a.environ, Flags: cmd.Flags(),
		Checks: []func(*config.Config) []config.Problem{checkNumbering, checkDocuments, checkEmail},
	})
	if err != nil {
		return nil, exitError{exitUsage, err}
	}
	return cfg, nil
}
