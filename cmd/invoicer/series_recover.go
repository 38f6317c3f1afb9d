package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"invoicer/internal/given"
	"invoicer/internal/seals"
	"invoicer/internal/term"
	"invoicer/internal/witness"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
)

func (a app) seriesRecoverCommand() *cobra.Command {
	var issuer issuerFlag
	var by ledger.Actor
	var dryRun, yes bool
	var folder, publicKey string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "recover NAME",
		Short: "Keep the numbers that a lost database gave out, and resume the series",
		Args:  oneArg("the series' name"),
		Long: `Finds out which numbers of a series were given out by a database that is lost, as
after a failover to a standby that lagged or a restore to an earlier moment, and
reserves each for its transaction. When such a transaction is asked for again, it
gets its number again. All others go on above. A number whose transaction nobody
knows is kept from everybody: no customer holds a number that another one holds.

It asks the done entries and the highest numbers in Redis, the files in
witness.folder, and the seals in the folder of --seals. A number that is known
to be of two transactions is kept from everybody, and its source names both.
Then the series is resumed. What is reserved stays so; the audit knows it, and
lists it.`,
		Example: `  invoicer series recover INV --dry-run
  invoicer series recover INV --note 'failover of 2026-03-02'
  invoicer series recover INV --seals /mnt/seals`,
	}
	issuer.add(cmd, "the series of this issuer")
	addConfigFlags(cmd, "witness")
	cmd.Flags().StringVar(&folder, "seals", "", "also ask the seals in this `folder`")
	cmd.Flags().StringVar(&publicKey, "public-key", "", "the key of the seals, in this `file`")
	_ = cmd.MarkFlagDirname("seals") // can't fail: the flag was added above
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be reserved, and change nothing")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask")
	addActorFlags(cmd, &by)
	addWaitFlag(cmd, &wait)
	addOutputFlags(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id := invoice.SeriesID{Issuer: issuer.code, Name: args[0]}
		if !invoice.IsSeriesName(id.Name) {
			return usageErrorf("%q is not a series' name: it must be 1 to 64 characters of A-Z 0-9 -", id.Name)
		}
		if err := checkActor(cmd, &by.Name); err != nil {
			return exitError{exitUsage, err}
		}
		sealed, err := openSeals(folder, publicKey)
		if err != nil {
			return err
		}
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		return withServers(cmd, cfg, wait, func(store *postgres.DB, _ redis.UniversalClient) error {
			rdb, err := openRedis(cmd, cfg, wait)
			if err != nil {
				return err
			}
			defer rdb.Close()
			r := recovery{id: id, by: by, store: store, redis: rdb, sealed: sealed, folder: cfg.Witness.Folder, log: newLogger(cfg.Log, cmd.ErrOrStderr())}
			if err := r.find(cmd.Context()); err != nil {
				return inBrief(cfg, err)
			}
			if !dryRun {
				if err := confirmed(cmd, yes, r.text(), "Reserve them, and resume the series?", "nothing was changed"); err != nil {
					return err
				}
				if err := r.do(cmd.Context()); err != nil {
					return inBrief(cfg, err)
				}
			}
			return printAnswer(cmd, r.answer(), r.sheet, func(out io.Writer) { r.tell(out, dryRun) })
		})
	}
	return cmd
}

// A recovery is one run of `invoicer series recover`.
type recovery struct {
	id    invoice.SeriesID
	by    ledger.Actor
	store *postgres.DB
	redis redis.UniversalClient

	folder string        // of the witness, "" for none
	log    *slog.Logger  // says which of its lines can't be read
	sealed *seals.Folder // nil for none

	databaseID string
	now        postgres.Lineage // of the server
	later      int64            // the timeline of another primary that was used since, 0 for none
	found      []given.Recollection
	state      string // of the series afterwards
}

func (r *recovery) find(ctx context.Context) (err error) {
	if r.databaseID, err = r.store.DatabaseID(ctx); err != nil {
		return err
	}
	versions, err := r.store.Series.History(ctx, r.id)
	if err != nil {
		return err
	}
	if len(versions) == 0 {
		return noSettings(r.id)
	}
	newest := versions[len(versions)-1]
	r.state = newest.State
	if newest.State == string(invoice.SeriesClosed) {
		return fmt.Errorf("series %s is closed for good, so it gives out no number", r.id)
	}
	standing, err := r.store.Invoices.Standing(ctx)
	if err != nil {
		return err
	}
	r.now = standing.Now
	if latest, err := given.Timeline(ctx, r.redis, r.databaseID, r.now.System); err != nil {
		return err
	} else if r.now.Before(postgres.Lineage{System: r.now.System, Timeline: latest}) {
		r.later = latest
	}
	counters := slices.DeleteFunc(standing.Counters, func(c postgres.Counter) bool { return c.ID() != r.id })
	if r.found, err = given.Recall(ctx, r.redis, r.records(), r.databaseID, r.id, counters); err != nil {
		return err
	}
	if newest.Date == string(invoice.DateIssue) {
		fillDates(r.found, counters, newest.Timezone)
	}
	return nil
}

func (r *recovery) records() (all []given.Record) {
	if r.folder != "" {
		all = append(all, given.Record{Source: "witness", Each: func(ctx context.Context, each func(invoice.Made, func() string)) error {
			return witness.Each(ctx, r.folder, r.databaseID, r.log, each)
		}})
	}
	if r.sealed != nil {
		all = append(all, given.Record{Source: "seal", Each: r.eachSealed})
	}
	return all
}

// eachSealed hands over what the seals have.
func (r *recovery) eachSealed(ctx context.Context, each func(invoice.Made, func() string)) error {
	if of := r.sealed.Database(); of != r.databaseID {
		return fmt.Errorf("--seals: these are the seals of another database, %s, and this one is %s", of, r.databaseID)
	}
	entries, err := r.sealed.Entries(ctx)
	if err != nil {
		return fmt.Errorf("--seals: %w", err)
	}
	defer entries.Close()
	for {
		one, err := entries.Next()
		if err != nil || one == nil {
			return err
		}
		slot := invoice.SlotKey{Issuer: one.Slot.Issuer, Series: one.Slot.Series, Period: one.Slot.Period}
		each(invoice.Made{
			Numbered: invoice.Numbered{SlotKey: slot, Number: one.Number}, InvoiceNumber: one.InvoiceNumber, TransactionID: one.TransactionID,
		}, func() string { return "seal " + seals.FileName(one.Seal) })
	}
}

// fillDates dates the documents whose dates nobody knows as those before them, so that dates rise with numbers.
func fillDates(found []given.Recollection, counters []postgres.Counter, timezone string) {
	last := make(map[invoice.SlotKey]string)
	for _, c := range counters {
		last[c.SlotKey] = c.LastDate
	}
	zone, err := time.LoadLocation(timezone)
	if err != nil {
		zone = time.UTC
	}
	for i := range found {
		date := last[found[i].Slot]
		for n := range found[i].Numbers {
			one := &found[i].Numbers[n]
			if one.Date < date {
				one.Date = date
			}
			one.Date = cmp.Or(one.Date, time.Now().In(zone).Format(time.DateOnly))
			date = one.Date
		}
	}
}

func (r *recovery) do(ctx context.Context) error {
	memory := given.NewMemory(r.redis, r.databaseID)
	if err := memory.Meant(ctx, r.now); err != nil {
		return err
	}
	reserved := 0
	for _, f := range r.found {
		last := f.Counter
		if len(f.Numbers) > 0 {
			if err := r.store.Invoices.Reserve(ctx, f.Slot, f.Numbers, r.by.Name, r.by.Note); err != nil {
				return err
			}
			reserved += len(f.Numbers)
			last = f.Numbers[len(f.Numbers)-1].Number
		}
		if last == 0 {
			continue
		}
		if err := memory.Raise(ctx, invoice.Numbered{SlotKey: f.Slot, Number: last}); err != nil {
			return err
		}
	}
	resumed, err := r.store.Series.ResumeRecovered(ctx, r.id, fmt.Sprintf("recovered: %d numbers reserved", reserved), r.by.Name, r.by.Note)
	if errors.Is(err, invoice.ErrNoSeries) {
		return noSettings(r.id)
	}
	r.state = string(resumed.State)
	return err
}

func (r *recovery) text() string {
	numbers, known := 0, 0
	for i := range r.found {
		numbers += len(r.found[i].Numbers)
		known += r.found[i].Known()
	}
	old := ""
	if r.later > 0 {
		old = fmt.Sprintf("this server has timeline %d, and workers have used a primary with timeline %d since: from now on this one is the right one\n", r.now.Timeline, r.later)
	}
	if numbers == 0 {
		return old + fmt.Sprintf("series %s: nothing remembers a number above its counter\n", r.id)
	}
	return old + fmt.Sprintf("series %s: %d numbers above its counter were given out; of %d of them the transaction is known\n", r.id, numbers, known)
}

func (r *recovery) tell(out io.Writer, dryRun bool) {
	_, _ = fmt.Fprint(out, r.text())
	if s := r.sheet(); len(s.rows) > 0 {
		term.WriteTable(out, s.columns, s.rows)
	}
	if dryRun {
		_, _ = fmt.Fprintln(out, "nothing was changed (--dry-run)")
	} else {
		_, _ = fmt.Fprintf(out, "series %s is %s\n", r.id, r.state)
	}
}

// A recoveredNumber is a number that is reserved.
type recoveredNumber struct {
	Period        string `json:"period"`
	Number        int64  `json:"number"`
	InvoiceNumber string `json:"invoice_number,omitempty"`
	TransactionID string `json:"transaction_id,omitempty"`
	DocumentDate  string `json:"document_date,omitempty"`
	Source        string `json:"source"`
}

func (r *recovery) answer() any {
	numbers := []recoveredNumber{}
	for _, f := range r.found {
		for _, n := range f.Numbers {
			numbers = append(numbers, recoveredNumber{f.Slot.Period, n.Number, n.InvoiceNumber, n.TransactionID, n.Date, n.Source})
		}
	}
	return struct {
		Issuer  string            `json:"issuer,omitempty"`
		Series  string            `json:"series"`
		State   string            `json:"state"`
		Numbers []recoveredNumber `json:"numbers"`
	}{r.id.Issuer, r.id.Name, r.state, numbers}
}

func (r *recovery) sheet() sheet {
	s := sheet{columns: []string{"period", "number", "invoice_number", "transaction_id", "document_date", "source"}}
	for _, f := range r.found {
		for _, n := range f.Numbers {
			s.rows = append(s.rows, []string{orDash(&f.Slot.Period), fmt.Sprint(n.Number), orDash(&n.InvoiceNumber), orDash(&n.TransactionID), orDash(&n.Date), n.Source})
		}
	}
	return s
}
