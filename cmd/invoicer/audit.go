package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/await"
	"invoicer/internal/seals"
	"invoicer/internal/term"
	"invoicer/invoice/postgres/audit"
	"invoicer/migrations"
)

func (a app) auditCommand() *cobra.Command {
	var wait time.Duration
	var limit int
	var folder, publicKey string
	cmd := &cobra.Command{
		Use:     "audit",
		Short:   "Prove from the database alone that the promises were kept",
		GroupID: groupLook,
		Long: `Proves from the database alone, in one snapshot, that the promises were kept:

  1  one: no transaction and no key has a second invoice
  2  none lost: every accepted job has one end, or is still waiting
  3  gapless: the numbers of each series and period are 1 to n
  4  classified: every end has its outcome, and a duplicate names its invoice
  7  immutable: every invoice adds up, its content is what was invoiced, and it
     is linked to the one before it in its series and period

It also checks that the constraints and triggers that enforce the promises exist, are valid and are enabled. It only reads,
needs no Redis, and may run beside workers and on a standby.

--seals also compares the invoices with the seals in a folder, which 'invoicer seal' has written: it names each that isn't there any
more or isn't what was sealed, whoever changed it. What came after the last seal is counted. If something is wrong with the folder
itself, nothing is audited, and the exit code is 1.

The exit code is 3 when a promise is broken; the offending rows are listed. Waiting jobs are listed too, and are no fault. -o csv
has the checks, and --json everything.`,
		Example: `  invoicer audit
  invoicer audit --seals /mnt/seals --public-key seals.pem
  invoicer audit --json | jq '.checks[] | select(.broken > 0)'`,
		Args: noArgs,
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "list at most this many offending rows of each check, and as many waiting jobs; all are counted")
	cmd.Flags().StringVar(&folder, "seals", "", "compare with the seals in this `folder`")
	cmd.Flags().StringVar(&publicKey, "public-key", "",
		"the public key of the first seal, in this `file`; else the one in the folder, which whoever writes there can replace")
	_ = cmd.MarkFlagDirname("seals") // can't fail: the flag was added above
	addWaitFlag(cmd, &wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if limit < 0 || limit > 1_000_000 {
			return usageErrorf("--limit %d: must be 0 to 1000000", limit)
		}
		sealed, err := openSeals(folder, publicKey)
		if err != nil {
			return err
		}
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		report, err := runAudit(cmd, cfg, wait, limit, sealed)
		if err != nil {
			return err
		}
		var written error
		err = printAnswer(cmd, report, func() sheet { return checkSheet(report) }, func(out io.Writer) { written = writeAudit(out, report) })
		err = errors.Join(err, written)
		if err == nil && !report.OK() {
			err = exitError{exitAudit, nil} // the report has named the broken promise
		}
		return err
	}
	return cmd
}

// openSeals returns the seals of a folder, nil if there is no folder.
func openSeals(folder, publicKey string) (*seals.Folder, error) {
	if folder == "" {
		if publicKey != "" {
			return nil, usageErrorf("--public-key goes with --seals")
		}
		return nil, nil
	}
	key, err := readPublicKey("--public-key", publicKey)
	if err != nil {
		return nil, err
	}
	sealed, err := seals.Open(folder, key)
	if err == nil && len(sealed.Seals()) == 0 {
		err = errors.New("--seals: there are no seals in " + folder + ": `invoicer seal` makes them")
	}
	return sealed, folderError(folder, err)
}

// awaitMigrated waits for the database, and makes sure that it is migrated. It returns the server's name for errors.
func awaitMigrated(cmd *cobra.Command, cfg *config.Config, wait time.Duration) (server string, err error) {
	ctx := cmd.Context()
	server = "postgres at " + cfg.Database.Addr()
	store, err := newStore(cfg)
	if err != nil {
		return server, err
	}
	defer store.Close()
	w := waiter(cmd, wait)
	if err := w.Answer(ctx, server, store.Ping); err != nil {
		return server, err
	}
	migrator, err := migrations.New(string(cfg.Database.URL), cfg.Database.Schema)
	if err != nil {
		return server, err
	}
	var missing *migrations.MissingError
	if err := migrator.Check(ctx); errors.As(err, &missing) {
		return server, err
	} else if err != nil {
		return server, await.Briefly(server+": ", err)
	}
	return server, nil
}

// runAudit waits for the database and audits it.
func runAudit(cmd *cobra.Command, cfg *config.Config, wait time.Duration, limit int, sealed *seals.Folder) (*audit.Report, error) {
	server, err := awaitMigrated(cmd, cfg, wait)
	if err != nil {
		return nil, err
	}
	progress := newAuditProgress(cmd)
	defer progress.clear()
	report, err := audit.Run(cmd.Context(), audit.Options{
		URL: string(cfg.Database.URL), Schema: cfg.Database.Schema, Limit: noneIfZero(limit), Progress: progress.show, Seals: sealed,
	})
	if err != nil {
		return nil, readable("audit of "+server+": ", err)
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
