package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/await"
	"invoicer/internal/term"
	"invoicer/migrations"
)

func (a app) migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "migrate",
		Short:   "Bring the database's schema up to date, or take a step back",
		GroupID: groupSetup,
	}
	down := a.migrateStep("down", "Take the newest migration back; refused where that would delete invoices or recorded jobs", migrateDown)
	down.Flags().Bool("force", false, "take it back although the schema is in use: a worker is alive, or there are invoices or jobs")
	down.Long = `Takes the newest migration back, which is of use before the release before is installed again.

Where a worker is alive, or the schema holds invoices or jobs, it asks at a terminal first, and is refused elsewhere, unless
--force is given. What would delete an invoice or a recorded job is refused in any case.`
	cmd.AddCommand(
		a.migrateStep("up", "Apply every migration that is missing; any number of processes may do so at once", migrateUp),
		down,
		a.migrateStep("status", "Show which migrations are applied", migrateStatus),
	)
	return cmd
}

type migrateFunc func(cmd *cobra.Command, m *migrations.Migrator, cfg *config.Config) error

func (a app) migrateStep(use, short string, do migrateFunc) *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use: use, Short: short, Args: noArgs,
		Example: "  invoicer migrate " + use + "\n  INVOICER_DATABASE_SCHEMA=billing invoicer migrate " + use + " --json",
	}
	addWaitFlag(cmd, &wait)
	addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		m, err := migrations.New(string(cfg.Database.URL), cfg.Database.Schema)
		if err != nil {
			return err
		}
		p := await.Waiter{AtMost: wait, Tell: func(message string) { cmd.PrintErrln("invoicer:", message) }}
		if err := p.Answer(cmd.Context(), "postgres at "+cfg.Database.Addr(), pingDatabase(cfg.Database)); err != nil {
			return err
		}
		return do(cmd, m, cfg)
	}
	return cmd
}

// pingDatabase needs no schema, and keeps no connection.
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
	applied, err := m.Up(cmd.Context())
	if err := tellMigrations(cmd, "applied", applied, fmt.Sprintf("schema %s is up to date, nothing was applied", cfg.Database.Schema), err); err != nil {
		return err
	}
	return err
}

// tellMigrations prints what was done, also beside an error: what is done stays done.
func tellMigrations(cmd *cobra.Command, verb string, list []migrations.Migration, nothing string, failed error) error {
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
		return nil //nolint:nilerr // the caller returns it
	}
	_, err := fmt.Fprintln(out, nothing)
	return err
}

func migrateStatus(cmd *cobra.Command, m *migrations.Migrator, _ *config.Config) error {
	list, err := m.Status(cmd.Context())
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return printJSON(cmd, list)
	}
	var rows [][]string
	for _, one := range list {
		at, name := "pending", one.Name
		if one.AppliedAt != nil {
			at = instant(*one.AppliedAt)
		}
		if name == "" {
			name = "(of a newer program)"
		}
		rows = append(rows, []string{fmt.Sprint(one.Version), name, at})
	}
	term.WriteTable(cmd.OutOrStdout(), []string{"version", "name", "applied_at"}, rows)
	return nil
}
