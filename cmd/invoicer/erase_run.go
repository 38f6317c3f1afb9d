package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/inquiry"
	"invoicer/internal/term"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
	"invoicer/locking"
	"invoicer/worker/queue"
)

// firstWithErasures is the migration that a worker knows which knows erased invoices.
const firstWithErasures = 43

// erasePage is the number of invoices that one transaction erases at most. It takes fewer at a time if that takes the database too long.
const erasePage = 500

// An eraseSummary is the result that --json prints.
type eraseSummary struct {
	DryRun   bool  `json:"dry_run"`
	Erased   int   `json:"erased"`   // invoices, or would be
	Held     int   `json:"held"`     // invoices and jobs that holds exempt
	Payloads int   `json:"payloads"` // of jobs
	Complete bool  `json:"complete"`
	Erasures []int `json:"erasures"` // ids of the records of who did it
}

// An eraser erases in the database and in Redis.
type eraser struct {
	*postgres.Erasures

	rdb    redis.UniversalClient
	locker *locking.Locker
	queues []string
	by     ledger.Actor
	sum    eraseSummary
	told   *term.Progress
}

// erase erases what the flags select. It counts first where somebody has to be asked.
func (r *eraseRequest) erase(cmd *cobra.Command, cfg *config.Config) error {
	store, err := openStore(cmd.Context(), cfg, waiter(cmd, r.wait))
	if err != nil {
		return err
	}
	defer store.Close()
	selections, err := r.selections(cmd.Context(), r.issuer.orAll(cmd), cfg, store)
	if err != nil {
		return withoutTables(cfg.Database.Schema, err)
	}
	e := &eraser{Erasures: store.Erasures, by: r.by}
	e.sum.DryRun, e.sum.Erasures = r.dryRun, []int{}
	if r.dryRun {
		err = e.all(cmd, selections)
		return errors.Join(e.print(cmd), inBrief(cfg, err))
	}
	if !r.yes && term.IsTerminal(cmd.ErrOrStderr()) && term.IsTerminal(cmd.InOrStdin()) {
		count := &eraser{Erasures: store.Erasures, sum: eraseSummary{DryRun: true}}
		if err := count.all(cmd, selections); err != nil {
			return inBrief(cfg, err)
		}
		if err := confirmed(cmd, false, count.text()+". What is erased can't be brought back", "Erase it?", "nothing was erased"); err != nil {
			return err
		}
	}
	if err := e.openRedis(cmd, cfg, store, r); err != nil {
		return err
	}
	defer e.rdb.Close()
	if err := refuseOlderWorkers(cmd.Context(), cfg, store, e.rdb, firstWithErasures, "would take a later job of what is erased for a conflict, and keep its payload", "erase"); err != nil {
		return err
	}
	err = e.goOn(cmd.Context())
	if err == nil {
		err = e.all(cmd, selections)
	}
	return errors.Join(e.print(cmd), inBrief(cfg, err))
}

// selections returns what to erase of an issuer, or of all if it is nil: one selection, or one for each issuer whose invoices aren't kept for ever.
func (r *eraseRequest) selections(ctx context.Context, issuer *string, cfg *config.Config, store *postgres.DB) ([]postgres.Selection, error) {
	if r.customer != "" {
		return []postgres.Selection{{Issuer: issuer, Customer: r.customer}}, nil
	}
	now, err := store.Erasures.Now(ctx)
	if err != nil {
		return nil, err
	}
	if !r.due {
		return []postgres.Selection{{Issuer: issuer, Before: now.Add(-r.age)}}, nil
	}
	var codes []string
	if issuer != nil {
		codes = []string{*issuer}
	} else if codes, err = store.Issuers.Codes(ctx); err != nil {
		return nil, err
	}
	var list []postgres.Selection
	for _, code := range codes {
		if age, ok := cfg.Retention.InvoicesOf(code); ok {
			list = append(list, postgres.Selection{Issuer: &code, Before: now.Add(-age)})
		}
	}
	return list, nil
}

func (e *eraser) openRedis(cmd *cobra.Command, cfg *config.Config, store *postgres.DB, r *eraseRequest) error {
	id, err := store.DatabaseID(cmd.Context())
	if err != nil {
		return inBrief(cfg, err)
	}
	if e.rdb, err = openRedis(cmd, cfg, r.wait); err != nil {
		return err
	}
	if e.queues, err = queue.Names(cmd.Context(), e.rdb); err == nil {
		e.locker, err = locking.New(e.rdb, locking.Options{Prefix: inquiry.LockPrefix(id)})
	}
	if err != nil {
		return errors.Join(inBrief(cfg, err), e.rdb.Close())
	}
	return nil
}

// goOn forgets in Redis what erasures have erased in the database that were broken off.
func (e *eraser) goOn(ctx context.Context) error {
	unfinished, err := e.Unfinished(ctx)
	if err != nil {
		return err
	}
	for _, one := range unfinished {
		for step := (postgres.Erased{}); !step.Complete; {
			if step, err = e.Left(ctx, one.ID, step.Upto, erasePage); err != nil {
				return err
			}
			if err := e.forget(ctx, &step); err != nil {
				return err
			}
		}
		if !one.Old {
			continue // it may be under way
		}
		if err := e.End(ctx, one.ID); err != nil {
			return err
		}
	}
	return nil
}

// all erases, or counts, one selection after the other.
func (e *eraser) all(cmd *cobra.Command, selections []postgres.Selection) error {
	e.told = term.NewProgress(cmd.ErrOrStderr(), -1, "erasing", "invoices")
	defer e.told.Stop(false)
	ctx, stop := untilSignal(cmd.Context(), func() { e.told.Say("stopping") })
	defer stop()
	for _, what := range selections {
		if err := e.one(ctx, what); err != nil {
			if errors.Is(context.Cause(ctx), errSignal) {
				return errors.New("stopped by a signal: run the same command again for the rest")
			}
			return err
		}
	}
	e.sum.Complete = true
	e.told.Stop(true)
	return nil
}

// one erases one selection. It is put on record once there is something to erase.
func (e *eraser) one(ctx context.Context, what postgres.Selection) error {
	erasure := int64(0)
	err := e.steps(ctx, &erasure, what, e.Invoices)
	if err == nil && what.Customer != "" {
		err = e.steps(ctx, &erasure, what, e.Payloads)
	}
	if err != nil || erasure == 0 {
		return err
	}
	return e.End(ctx, erasure)
}

type eraseStep = func(ctx context.Context, erasure int64, what postgres.Selection, after int64, most int) (postgres.Erased, error)

func (e *eraser) steps(ctx context.Context, erasure *int64, what postgres.Selection, next eraseStep) error {
	after, most := int64(0), erasePage
	for {
		step, err := next(ctx, *erasure, what, after, most)
		if errors.Is(err, invoice.ErrUnavailable) && most > 1 && ctx.Err() == nil {
			most = max(1, most/10) // their lines may be too many for one statement
			continue
		}
		if err != nil {
			return err
		}
		if *erasure == 0 && !e.sum.DryRun && step.Invoices+step.Payloads > 0 {
			if *erasure, err = e.Begin(ctx, what, e.by); err != nil {
				return err
			}
			e.sum.Erasures = append(e.sum.Erasures, int(*erasure))
			continue // the same step, in earnest
		}
		if err := e.forget(ctx, &step); err != nil {
			return err
		}
		e.sum.Erased += step.Invoices
		e.sum.Held += step.Held
		e.sum.Payloads += step.Payloads
		e.told.Sent.Add(int64(step.Invoices))
		if after = step.Upto; step.Complete {
			return nil
		}
	}
}

// forget deletes what Redis knows of erased transactions: their done entries, and the tasks of their ended jobs.
func (e *eraser) forget(ctx context.Context, step *postgres.Erased) error {
	ctx = context.WithoutCancel(ctx) // it is erased: this belongs to it
	for _, t := range step.Transactions {
		if _, err := e.locker.Within(t.Issuer).Drop(ctx, t.ID); err != nil {
			return err
		}
	}
	ids := make(map[string][]string)
	for _, t := range step.Tasks {
		in := e.queues
		if t.Queue != nil {
			in = []string{*t.Queue}
		}
		for _, q := range in {
			ids[q] = append(ids[q], t.JobID)
			for n := 1; n <= t.Dispatch; n++ {
				ids[q] = append(ids[q], t.JobID+"."+strconv.Itoa(n))
			}
		}
	}
	for q, of := range ids {
		if _, err := queue.KeysOf(q).ForgetEnded(ctx, e.rdb, of); err != nil {
			return err
		}
	}
	return nil
}

func (e *eraser) text() string {
	s, would := &e.sum, ""
	if s.DryRun {
		would = "would be "
	}
	text := fmt.Sprintf("%s %s %serased", term.Thousands(s.Erased), plural(s.Erased, "invoice", "invoices"), would)
	if s.Payloads > 0 && !s.DryRun {
		text += fmt.Sprintf(", with %s %s of jobs", term.Thousands(s.Payloads), plural(s.Payloads, "payload", "payloads"))
	}
	if s.Held > 0 {
		text += fmt.Sprintf("; %s held", term.Thousands(s.Held))
	}
	return text
}

func (e *eraser) print(cmd *cobra.Command) error {
	if wantsJSON(cmd) {
		return printJSON(cmd, e.sum)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), e.text())
	return err
}
