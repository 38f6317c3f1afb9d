package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/await"
	"invoicer/internal/term"
	"invoicer/invoice/postgres/audit"
	"invoicer/migrations"
)

func (a app) auditCommand() *cobra.Command {
	var wait time.Duration
	var limit int
	cmd := &cobra.Command{
		Use:     "audit",
		Short:   "Prove from the database alone that the promises were kept",
		GroupID: groupLook,
		Long: `Proves from the database alone, in one snapshot, that the promises were kept:

  1  one: no transaction and no key has a second invoice
  2  none lost: every accepted job has one end, or is still waiting
  3  gapless: the numbers of each series and period are 1 to n
  4  classified: every end has its outcome, and a duplicate names its invoice
  7  immutable: every invoice adds up, and its content is what was invoiced

It also checks that the constraints and triggers that enforce the promises exist, are valid and are enabled. It only reads,
needs no Redis, and may run beside workers and on a standby.

The exit code is 3 when a promise is broken; the offending rows are listed. Waiting jobs are listed too, and are no fault.`,
		Example: `  invoicer audit
  invoicer audit --json | jq '.checks[] | select(.broken > 0)'`,
		Args: noArgs,
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "list at most this many offending rows of each check, and as many waiting jobs; all are counted")
	addWaitFlag(cmd, &wait)
	addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if limit < 0 || limit > 1_000_000 {
			return usageErrorf("--limit %d: must be 0 to 1000000", limit)
		}
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		report, err := runAudit(cmd, cfg, wait, limit)
		if err != nil {
			return err
		}
		if wantsJSON(cmd) {
			err = printJSON(cmd, report)
		} else {
			err = printAudit(cmd, report)
		}
		if err == nil && !report.OK() {
			err = exitError{exitAudit, nil} // the report has named the broken promise
		}
		return err
	}
	return cmd
}

// runAudit waits for the database and audits it.
func runAudit(cmd *cobra.Command, cfg *config.Config, wait time.Duration, limit int) (*audit.Report, error) {
	ctx := cmd.Context()
	store, err := newStore(cfg)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	server := "postgres at " + cfg.Database.Addr()
	w := waiter(cmd, wait)
	if err := w.Answer(ctx, server, store.Ping); err != nil {
		return nil, err
	}
	migrator, err := migrations.New(string(cfg.Database.URL), cfg.Database.Schema)
	if err != nil {
		return nil, err
	}
	var missing *migrations.MissingError
	if err := migrator.Check(ctx); errors.As(err, &missing) {
		return nil, err
	} else if err != nil {
		return nil, await.Briefly(server+": ", err)
	}
	progress := newAuditProgress(cmd)
	defer progress.clear()
	report, err := audit.Run(ctx, audit.Options{
		URL: string(cfg.Database.URL), Schema: cfg.Database.Schema, Limit: noneIfZero(limit), Progress: progress.show,
	})
	var newer *audit.NewerSchemaError
	switch {
	case errors.As(err, &newer):
		return nil, newer
	case err != nil:
		return nil, await.Briefly("audit of "+server+": ", err)
	}
	return report, nil
}

// An auditProgress is a line on a terminal that shows the running check, until the audit is over. In a pipe or a file there is none.
type auditProgress struct {
	cmd     *cobra.Command
	visible bool
}

func newAuditProgress(cmd *cobra.Command) *auditProgress {
	return &auditProgress{cmd: cmd, visible: term.IsTerminal(cmd.ErrOrStderr())}
}

const clearLine = "\r\x1b[K"

func (p *auditProgress) show(check string, done, total int64) {
	if !p.visible {
		return
	}
	line := "checking " + check
	if done > 0 {
		line += fmt.Sprintf(": %s of %s invoices", term.Thousands(int(done)), term.Thousands(int(total)))
	}
	p.cmd.PrintErr(clearLine, line)
}

func (p *auditProgress) clear() {
	if p.visible {
		p.cmd.PrintErr(clearLine)
	}
}
