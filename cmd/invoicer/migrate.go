package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/migrations"
)

func (a app) migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "migrate",
		Short:   "Bring the database's schema up to date, or undo the newest migration",
		GroupID: groupSetup,
	}
	down := a.migrateStep("down", "Undo the newest migration; refused if that would delete invoices or recorded jobs", addJSONFlag, migrateDown)
	down.Flags().Bool("force", false, "undo it although the schema is in use: a worker is alive, or there are invoices or jobs")
	down.Long = `Undoes the newest migration, as you need before you install the previous release again.

If a worker is alive, or the schema holds invoices or jobs, the command asks first at a terminal, and elsewhere refuses unless
--force is given. It always refuses to delete an invoice or a recorded job.`
	up := a.migrateStep("up", "Apply every migration that is missing; any number of processes may do so at once", addJSONFlag, migrateUp)
	up.Flags().Bool("dry-run", false, "only say what the migrations are going to lock, and for how long")
	up.Long = `Applies every migration that is missing. Any number of processes may do so at
once: one works, the others wait for it.

Beforehand it says on the standard error which tables that are there each of
them locks, who waits meanwhile, and for how long that is, estimated from the
tables' sizes; with --dry-run that is all it does. A migration waits 0.3 s for a
table that others use, and then gives way and tries again a second later.
Indexes of large tables are built while others write. What is broken off goes on
with the next 'migrate up'.`
	status := a.migrateStep("status", "Show which migrations are applied; exit code 1 if one is pending", addTableFlags, migrateStatus)
	cmd.AddCommand(up, down, status)
	return cmd
}

type migrateFunc func(cmd *cobra.Command, m *migrations.Migrator, cfg *config.Config) error

func (a app) migrateStep(use, short string, addForms func(*cobra.Command), do migrateFunc) *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use: use, Short: short, Args: noArgs,
		Example: "  invoicer migrate " + use + "\n  INVOICER_DATABASE_SCHEMA=billing invoicer migrate " + use + " --json",
	}
	addWaitFlag(cmd, &wait)
	addForms(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		m, err := migrations.New(string(cfg.Database.URL), cfg.Database.Schema)
		if err != nil {
			return err
		}
		w := waiter(cmd, wait)
		if err := w.Answer(cmd.Context(), "postgres at "+cfg.Database.Addr(), pingDatabase(cfg.Database)); err != nil {
			return err
		}
		return do(cmd, m, cfg)
	}
	return cmd
}

// pingDatabase returns a probe that connects to the database and disconnects. It needs no schema.
func pingDatabase(cfg config.Database) func(context.Context) error {
	return func(ctx context.Context) error {
		connection, err := pgx.Connect(ctx, string(cfg.URL))
		if err != nil {
			return err
		}
		return connection.Close(ctx)
	}
}

func migrateUp(cmd *cobra.Command, m *migrations.Migrator, cfg *config.Config) error {
	m.Waits = onceFor(func(name string) {
		cmd.PrintErrf("invoicer: migration %s waits: a transaction of somebody else's is open on its tables for long; it is tried again every second\n", name)
	})
	if dry, err := cmd.Flags().GetBool("dry-run"); err != nil || dry {
		return errors.Join(err, printForecast(cmd, m, cfg))
	}
	list, err := m.Forecast(cmd.Context())
	if err != nil {
		return err
	}
	cmd.PrintErr(strings.Join(forecastLines(list), ""))
	applied, err := m.Up(cmd.Context())
	if err := printMigrations(cmd, "applied", applied, fmt.Sprintf("schema %s is up to date, nothing was applied", cfg.Database.Schema), err); err != nil {
		return err
	}
	return err
}

// onceFor returns a function that calls tell once for each name: at the third call with that name. A shorter wait is no news.
func onceFor(tell func(name string)) func(name string) {
	times := make(map[string]int)
	return func(name string) {
		if times[name]++; times[name] == 3 {
			tell(name)
		}
	}
}

// printMigrations prints the migrations that were applied or undone, even if a later one failed. If the
// list is empty and none failed, it prints the text in nothing.
func printMigrations(cmd *cobra.Command, verb string, list []migrations.Migration, nothing string, failed error) error {
	if wantsJSON(cmd) {
		if list == nil {
			list = []migrations.Migration{}
		}
		return printJSON(cmd, list)
	}
	out := cmd.OutOrStdout()
	for _, one := range list {
		if _, err := fmt.Fprintf(out, "%s %s\n", verb, one.Name); err != nil {
			return err
		}
	}
	if len(list) > 0 || failed != nil {
		return nil //nolint:nilerr // the caller returns failed
	}
	_, err := fmt.Fprintln(out, nothing)
	return err
}

func migrateStatus(cmd *cobra.Command, m *migrations.Migrator, _ *config.Config) error {
	list, err := m.Status(cmd.Context())
	if err != nil {
		return err
	}
	var rows [][]string
	pending := false
	for _, one := range list {
		at, name := "pending", one.Name
		pending = pending || one.AppliedAt == nil
		if one.AppliedAt != nil {
			at = instant(*one.AppliedAt)
		}
		if name == "" {
			name = "(of a newer program)"
		}
		rows = append(rows, []string{fmt.Sprint(one.Version), name, at})
	}
	err = printSheet(cmd, list, sheet{[]string{"version", "name", "applied_at"}, rows})
	if err == nil && pending {
		err = exitError{exitFailed, nil} // the list says which
	}
	return err
}
