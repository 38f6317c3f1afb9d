package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/await"
	"invoicer/internal/objects"
	"invoicer/internal/seals"
	"invoicer/internal/term"
	"invoicer/invoice/postgres/audit"
	"invoicer/migrations"
)

// An auditRun is one call of the command.
type auditRun struct {
	wait                            time.Duration
	limit                           int
	folder, publicKey, since, state string
	against, againstSchema          string
	inside                          bool
}

func (a app) auditCommand() *cobra.Command {
	r := &auditRun{}
	cmd := &cobra.Command{
		Use:     "audit",
		Short:   "Prove from the database alone that the promises were kept",
		GroupID: groupLook,
		Long: `Proves from the database alone that the promises were kept:

  1  one: no transaction and no key has a second invoice
  2  none lost: every accepted job has one end, or is still waiting
  3  gapless: the numbers of each series and period are 1 to n
  4  classified: every end has its outcome, and a duplicate names its invoice
  7  immutable: every invoice adds up, its content is what was invoiced, and it
     is linked to the one before it in its series and period

It also checks that the constraints and triggers that enforce the promises
exist, are valid and are enabled. It only reads, needs no Redis, and may run
beside workers and on a standby. It sees one snapshot, or where it takes longer
than a minute, one after the other, so that it doesn't keep vacuum from its
work; what came after the first isn't looked at by all checks.

--seals also compares the invoices with the seals in a folder, which 'invoicer
seal' has written: it names each that isn't there any more or isn't what was
sealed, whoever changed it. What came after the last seal is counted. If
something is wrong with the folder itself, nothing is audited, and the exit
code is 1.

--since SEAL is for a database that was audited in full when that seal was made:
of the invoices up to it, sums and fingerprints aren't computed again. Their
hashes are, from all their rows, and compared with the seals. SEAL is a number
in the folder of --seals, 'last', or the file of a seal. All else is checked in
full.

--resume FILE keeps in the file how far the audit has come. If it is broken off,
the same command goes on where it was; what was checked by then isn't looked at
again. Once it is over, the file is removed.

Documents that are kept in a folder or a bucket (documents.store) are read from
there and hashed, four at a time; a bucket needs the keys of documents.s3. With
--database-only, or where these keys are missing, they are counted and not
hashed, and the report says so.

--against URL compares the documents with those of another database instead: a
lost primary that came back, a restored backup, a standby. It says which
transactions are invoiced in one of them alone, which numbers were given to two,
which transactions have two numbers, and which documents differ. It only reads,
here and there, and checks nothing else. The exit code is 0 if both have the
same, and 1 if they differ. --json and -o csv have every difference. While
workers write, the newest documents differ. Give the password of the other one
in ~/.pgpass, since others see what is on the command line.

The exit code is 3 when a promise is broken; the offending rows are listed.
Waiting jobs are listed too, and are no fault. -o csv has the checks, and --json
everything. How far it has come is shown on a terminal, and elsewhere written
to the standard error as a line every 30 seconds.`,
		Example: `  invoicer audit
  invoicer audit --seals /mnt/seals --public-key seals.pem
  invoicer audit --since /mnt/seals/000012.seal --resume audit.state
  invoicer audit --against postgres://auditor@db1-restored/invoicer
  invoicer audit --json | jq '.checks[] | select(.broken > 0)'`,
		Args: noArgs,
	}
	cmd.Flags().IntVar(&r.limit, "limit", 20, "list at most this many offending rows of each check, and as many waiting jobs; all are counted")
	cmd.Flags().StringVar(&r.folder, "seals", "", "compare with the seals in this `folder`")
	cmd.Flags().StringVar(&r.publicKey, "public-key", "",
		"the public key of the first seal, in this `file`; else the one in the folder, which whoever writes there can replace")
	cmd.Flags().StringVar(&r.since, "since", "", "compute no sums and fingerprints again of what this `seal` and those before it have")
	cmd.Flags().StringVar(&r.state, "resume", "", "keep in this `file` how far it has come, and go on from there")
	cmd.Flags().BoolVar(&r.inside, "database-only", false, "don't read the documents that are kept outside of the database")
	cmd.Flags().StringVar(&r.against, "against", "", "compare with the database at this `URL`, and audit nothing")
	cmd.Flags().StringVar(&r.againstSchema, "against-schema", "", "the `schema` of the other database, if it has another name than this one's")
	_ = cmd.MarkFlagDirname("seals") // can't fail: the flag was added above
	addWaitFlag(cmd, &r.wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return r.run(cmd, a) }
	return cmd
}

func (r *auditRun) run(cmd *cobra.Command, a app) error {
	if r.limit < 0 || r.limit > 1_000_000 {
		return usageErrorf("--limit %d: must be 0 to 1000000", r.limit)
	}
	if r.against != "" || r.againstSchema != "" {
		return r.compare(cmd, a)
	}
	folder, seal, err := sinceSeal(r.since, r.folder)
	if err != nil {
		return err
	}
	sealed, err := openSeals(folder, r.publicKey)
	if err != nil {
		return err
	}
	since, err := sealNumber(seal, sealed)
	if err != nil {
		return err
	}
	cfg, err := a.loadConfig(cmd)
	if err != nil {
		return err
	}
	// What lives at a time is little, and what is read and thrown away much: collecting it seldom saves a fifth of the time.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	report, err := r.audit(cmd, cfg, sealed, since)
	if err != nil {
		return err
	}
	var written error
	err = printAnswer(cmd, report, func() sheet { return checkSheet(report) }, func(out io.Writer) { written = writeAudit(out, report) })
	err = errors.Join(err, written)
	if err == nil && r.state != "" {
		err = stateFile(r.state).remove()
	}
	if err == nil && !report.OK() {
		err = exitError{exitAudit, nil} // the report has named the broken promise
	}
	return err
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

// audit waits for the database and audits it.
func (r *auditRun) audit(cmd *cobra.Command, cfg *config.Config, sealed *seals.Folder, since int) (*audit.Report, error) {
	options := audit.Options{URL: string(cfg.Database.URL), Schema: cfg.Database.Schema, Limit: noneIfZero(r.limit), Seals: sealed, Since: since}
	if r.state != "" {
		file := stateFile(r.state)
		var err error
		if options.Continue, err = file.read(); err != nil {
			return nil, err
		}
		options.Reached = file.write
	}
	if !r.inside {
		keeper, err := newKeeper(cfg)
		if err != nil {
			return nil, err
		}
		options.Objects = audited{keeper}
	}
	server, err := awaitMigrated(cmd, cfg, r.wait)
	if err != nil {
		return nil, err
	}
	if before := options.Continue; before != nil {
		cmd.PrintErrf("invoicer: the audit of %s goes on where it was broken off\n", instant(before.TakenAt))
	}
	progress := newAuditProgress(cmd)
	defer progress.clear()
	options.Progress = progress.show
	report, err := audit.Run(cmd.Context(), options)
	var other *audit.OtherStateError
	if errors.As(err, &other) {
		return nil, fmt.Errorf("--resume %s: %s: remove the file, or name another", r.state, strings.TrimSuffix(other.Error(), ": begin anew"))
	}
	if err != nil {
		return nil, readable("audit of "+server+": ", err)
	}
	return report, nil
}

// audited are the objects as the audit asks for them.
type audited struct{ keeper *objects.Keeper }

func (a audited) Open(ctx context.Context, place string) (io.ReadCloser, error) {
	content, err := a.keeper.Open(ctx, place)
	if errors.Is(err, objects.ErrUnset) {
		err = fmt.Errorf("%w: %w", audit.ErrUnset, err)
	}
	return content, err
}

// An auditProgress shows the running check: as a line on a terminal, until the audit is over, and elsewhere as a line every 30 seconds.
type auditProgress struct {
	cmd     *cobra.Command
	visible bool
	told    time.Time
}

// tellEvery is the time between two lines that aren't on a terminal.
const tellEvery = 30 * time.Second

func newAuditProgress(cmd *cobra.Command) *auditProgress {
	return &auditProgress{cmd: cmd, visible: term.IsTerminal(cmd.ErrOrStderr()), told: time.Now()}
}

const clearLine = "\r\x1b[K"

func (p *auditProgress) show(check string, done, total int64) {
	line := "checking " + check
	if done > 0 {
		line += fmt.Sprintf(": %s of %s", term.Thousands(int(done)), term.Thousands(int(total)))
	}
	switch {
	case p.visible:
		p.cmd.PrintErr(clearLine, line)
	case time.Since(p.told) >= tellEvery:
		p.told = time.Now()
		p.cmd.PrintErr("invoicer: " + line + "\n")
	}
}

func (p *auditProgress) clear() {
	if p.visible {
		p.cmd.PrintErr(clearLine)
	}
}
