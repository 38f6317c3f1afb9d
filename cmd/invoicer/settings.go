package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
)

func (a app) settingsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:         "settings",
		Short:       "Say whether and how jobs become invoices",
		GroupID:     groupSetup,
		Annotations: map[string]string{showsList: ""},
		Long: `Whatever decides whether and how a job becomes an invoice is kept in the database, so that no two workers decide differently, with
everything that was changed, by whom and why. Each invoice names the version under which it was made. Without a subcommand it shows the settings.

` + describeSettings(),
	}
	cmd.AddCommand(a.settingsListCommand(), a.settingsSetCommand())
	return cmd
}

func describeSettings() string {
	var lines []string
	for _, s := range config.Settings() {
		lines = append(lines, fmt.Sprintf("  %s (default %s):\n    %s", s.Name, s.Default, s.Doc))
	}
	return strings.Join(lines, "\n")
}

func (a app) settingsListCommand() *cobra.Command {
	var history bool
	var wait time.Duration
	var issuer issuerFlag
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the settings, and who has changed them",
		Args:  noArgs,
		Example: `  invoicer settings list
  invoicer settings list --history
  invoicer settings list --json | jq .strict`,
	}
	cmd.Flags().BoolVar(&history, "history", false, "show all versions, the newest first, instead of what holds")
	issuer.add(cmd, "the settings of this issuer")
	addWaitFlag(cmd, &wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, store, err := a.configuredStore(cmd, wait)
		if err != nil {
			return err
		}
		defer store.Close()
		versions, err := store.Settings.History(cmd.Context(), issuer.code)
		if err != nil {
			return withoutTables(cfg.Database.Schema, err)
		}
		newest := len(versions) - 1
		if newest < 0 && issuer.code != "" {
			return noIssuer(issuer.code)
		}
		if newest < 0 {
			return errors.New("the database has no settings: run `invoicer audit`")
		}
		if history {
			return printSheet(cmd, versions, settingsHistory(versions))
		}
		current, err := postgres.SettingsIn(&versions[newest])
		if err != nil {
			return err
		}
		return printSheet(cmd, versions[newest], settingsSheet(&current))
	}
	return cmd
}

func settingsSheet(s *invoice.Settings) sheet {
	var rows [][]string
	for _, one := range config.Settings() {
		rows = append(rows, []string{one.Name, one.Get(s), one.Default, one.Doc})
	}
	return sheet{[]string{"setting", "value", "default", "meaning"}, rows}
}

func settingsHistory(versions []report.SettingsVersion) sheet {
	var rows [][]string
	for i := len(versions) - 1; i >= 0; i-- {
		v := &versions[i]
		rows = append(rows, []string{fmt.Sprint(v.Version), instant(v.ChangedAt), v.Change, v.Actor, v.Role, orDash(v.Note)})
	}
	return sheet{[]string{"version", "changed_at", "change", "by", "role", "note"}, rows}
}

func (a app) settingsSetCommand() *cobra.Command {
	var by ledger.Actor
	var wait time.Duration
	var issuer issuerFlag
	cmd := &cobra.Command{
		Use:   "set NAME VALUE | set NAME=VALUE...",
		Short: "Change settings, for all invoices from now on",
		Args:  cobra.ArbitraryArgs,
		Long: `Changes settings for all invoices that are committed once this command has returned, by whichever worker.

` + describeSettings(),
		Example: `  invoicer settings set dates.latest 30d --note 'we invoice ahead'
  invoicer settings set dates.earliest=2020-01-01 strict=true`,
	}
	issuer.add(cmd, "the settings of this issuer")
	addActorFlags(cmd, &by)
	addWaitFlag(cmd, &wait)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		stated, err := settingArgs(args)
		if err != nil {
			return err
		}
		if err := checkActor(cmd, &by.Name); err != nil {
			return exitError{exitUsage, err}
		}
		cfg, store, err := a.configuredStore(cmd, wait)
		if err != nil {
			return err
		}
		defer store.Close()
		change := postgres.SettingsChange{Issuer: issuer.code, By: by.Name, Note: by.Note}
		change.To = func(current invoice.Settings) (next invoice.Settings, err error) {
			next, change.What, err = applySettings(current, stated)
			return next, err
		}
		changed, err := store.Settings.Change(cmd.Context(), &change)
		if errors.Is(err, invoice.ErrNoIssuer) {
			return noIssuer(issuer.code)
		}
		if err != nil {
			return withoutTables(cfg.Database.Schema, err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "version %d of the settings%s: %s\n", changed.Version, issuer.of(), change.What)
		return err
	}
	return cmd
}

// settingArgs returns what the arguments state, as pairs of names and values.
func settingArgs(args []string) (stated [][2]string, err error) {
	if len(args) == 2 && !strings.Contains(args[0], "=") {
		args = []string{args[0] + "=" + args[1]}
	}
	if len(args) == 0 {
		return nil, usageErrorf("state what to change: NAME VALUE, or NAME=VALUE several times")
	}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, usageErrorf("%q: state NAME=VALUE", arg)
		}
		if _, err := config.WithSetting(invoice.Settings{}, name, value); err != nil {
			return nil, exitError{exitUsage, err}
		}
		stated = append(stated, [2]string{name, value})
	}
	return stated, nil
}

// applySettings returns the settings with what is stated, and what that changes.
func applySettings(current invoice.Settings, stated [][2]string) (next invoice.Settings, what string, err error) {
	next = current
	for _, s := range stated {
		if next, err = config.WithSetting(next, s[0], s[1]); err != nil {
			return next, "", err
		}
	}
	var changes []string
	for _, one := range config.Settings() {
		if is, was := one.Get(&next), one.Get(&current); is != was {
			changes = append(changes, fmt.Sprintf("%s %s (was %s)", one.Name, is, was))
		}
	}
	if len(changes) == 0 {
		return next, "", errors.New("the settings have these values already")
	}
	return next, strings.Join(changes, ", "), nil
}

// compareSettings returns an error if the configuration states another value of a setting than the database has.
func compareSettings(ctx context.Context, cfg *config.Config, store *postgres.DB) error {
	current, err := store.Settings.Current(ctx, "")
	if err != nil {
		return err
	}
	for _, one := range config.Settings() {
		text, isStated := cfg.Settings[one.Name]
		if !isStated {
			continue
		}
		stated, err := config.WithSetting(*current, one.Name, text)
		if err != nil {
			return err
		}
		if is := one.Get(current); one.Get(&stated) != is {
			return usageErrorf("%s is %s (%s), but the database's setting is %s: take the key out, or change the setting by `invoicer settings set %s %s`",
				one.Name, text, cfg.Origins[one.Name], cmp.Or(is, "-"), one.Name, text)
		}
	}
	return nil
}
