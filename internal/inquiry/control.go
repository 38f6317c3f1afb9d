package inquiry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/report"
	"invoicer/invoice/ledger"
	"invoicer/locking"
	"invoicer/worker/queue"
)

// What people do, in [report.Deed].Action.
const (
	PauseQueue   = "queue pause"
	ResumeQueue  = "queue resume"
	FreeLock     = "lock free"
	QuietWorker  = "worker quiet"
	WakenWorker  = "worker quiet --off"
	mostPatience = 5 * time.Second
)

// A Record keeps what people did.
type Record interface {
	RecordAction(ctx context.Context, action, subject, details string, by ledger.Actor) error
}

// A Controller does what people ask for, and has it on record first: nothing is done that isn't. If Redis then refuses, it stays
// on record, and the error says so.
type Controller struct {
	Record     Record
	Redis      redis.UniversalClient
	DatabaseID func(context.Context) (string, error)
	// Issuers returns the issuers whose locks are looked at if none is named. Default: "" alone, the one without a name.
	Issuers func(context.Context) ([]string, error)
}

// Pause keeps workers from taking jobs from a queue, and Resume lets them take jobs again. They return false, and record nothing, if
// it is so already. They return a [*queue.TakenError] for another installation's queue, and an error for one that nobody has used.
func (c Controller) Pause(ctx context.Context, name string, by ledger.Actor) (changed bool, err error) {
	return c.pause(ctx, name, by, true)
}

// Resume is the opposite of [Controller.Pause].
func (c Controller) Resume(ctx context.Context, name string, by ledger.Actor) (changed bool, err error) {
	return c.pause(ctx, name, by, false)
}

func (c Controller) pause(ctx context.Context, name string, by ledger.Actor, pause bool) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, mostPatience)
	defer cancel()
	if err := c.mayControl(ctx, name); err != nil {
		return false, err
	}
	paused, _, err := queue.KeysOf(name).PausedSince(ctx, c.Redis)
	if err != nil || paused == pause {
		return false, err
	}
	action, do := ResumeQueue, queue.KeysOf(name).Resume
	if pause {
		action, do = PauseQueue, queue.KeysOf(name).Pause
	}
	if err := c.Record.RecordAction(ctx, action, name, "", by); err != nil {
		return false, err
	}
	_, err = do(ctx, c.Redis)
	return err == nil, notDone(err)
}

// notDone explains an error after the action was recorded.
func notDone(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("it is on record, but Redis refused: %w; do it again", err)
}

// mayControl returns nil for a queue that this installation may pause.
func (c Controller) mayControl(ctx context.Context, name string) error {
	id, err := c.DatabaseID(ctx)
	if err != nil {
		return err
	}
	standing, err := queue.Look(ctx, c.Redis, name)
	if err != nil {
		return err
	}
	switch o := standing.Owner; {
	case o.Exists() && o.ID != id:
		return fmt.Errorf("queue %s belongs to another installation: %s", name, o)
	case o.Exists():
		return nil
	}
	names, err := queue.Names(ctx, c.Redis)
	if err == nil && !slices.Contains(names, name) {
		err = fmt.Errorf("no worker has had a queue %s, and no job came into it: `invoicer queues` lists the queues", name)
	}
	return err
}

// Lock returns who has the lock of a transaction, and for how long yet. It returns [report.ErrNotHeld] if nobody has. If issuer is nil,
// it looks at the locks of all issuers, and returns a [*report.AmbiguousError] if there are several.
func (c Controller) Lock(ctx context.Context, issuer *string, transactionID string) (report.Lock, error) {
	ctx, cancel := context.WithTimeout(ctx, mostPatience)
	defer cancel()
	locker, err := c.locker(ctx)
	if err != nil {
		return report.Lock{}, err
	}
	issuers, err := c.issuers(ctx, issuer)
	if err != nil {
		return report.Lock{}, err
	}
	held, err := locksOf(ctx, locker, issuers, transactionID)
	switch {
	case err != nil:
		return report.Lock{}, err
	case len(held) == 0:
		return report.Lock{}, report.ErrNotHeld
	case len(held) > 1:
		return report.Lock{}, ambiguous(transactionID, held)
	}
	return held[0], nil
}

func (c Controller) issuers(ctx context.Context, issuer *string) ([]string, error) {
	switch {
	case issuer != nil:
		return []string{*issuer}, nil
	case c.Issuers == nil:
		return nameless(ctx)
	}
	return c.Issuers(ctx)
}

// locksOf returns the locks of a transaction id that are held, of the given issuers.
func locksOf(ctx context.Context, locker *locking.Locker, issuers []string, transactionID string) (held []report.Lock, err error) {
	for _, issuer := range issuers {
		holder, left, err := locker.Within(issuer).Holder(ctx, transactionID)
		if errors.Is(err, locking.ErrNotHeld) {
			continue
		}
		if err != nil {
			return nil, err
		}
		held = append(held, lockOf(issuer, transactionID, holder, left))
	}
	return held, nil
}

func ambiguous(transactionID string, held []report.Lock) error {
	several := &report.AmbiguousError{ID: transactionID}
	for _, lock := range held {
		several.Issuers = append(several.Issuers, lock.Issuer)
	}
	return several
}

// ofOneIssuer returns an error if what the id is first, such as a transaction's id, it is for several issuers.
func ofOneIssuer(id string, matches []report.Match) error {
	several := &report.AmbiguousError{ID: id}
	for _, m := range matches {
		if m.Kind == matches[0].Kind && !slices.Contains(several.Issuers, m.Issuer) {
			several.Issuers = append(several.Issuers, m.Issuer)
		}
	}
	if len(several.Issuers) > 1 {
		return several
	}
	return nil
}

func lockOf(issuer, transactionID string, holder locking.Holder, left time.Duration) report.Lock {
	l := report.Lock{Issuer: issuer, TransactionID: transactionID, JobID: holder.ID, Worker: holder.Worker, Expires: left >= 0}
	if l.Expires {
		l.Until = time.Now().Add(left).UTC()
	}
	return l
}

func (c Controller) locker(ctx context.Context) (*locking.Locker, error) {
	id, err := c.DatabaseID(ctx)
	if err != nil {
		return nil, err
	}
	return locking.New(c.Redis, locking.Options{Prefix: LockPrefix(id)})
}

// Free frees a lock that was seen. It returns [report.ErrNotHeld] if another holder has it by now, or nobody. If the holder still
// works, it writes its invoice all the same: that there is never a second one is the database's doing.
func (c Controller) Free(ctx context.Context, seen report.Lock, by ledger.Actor) error {
	ctx, cancel := context.WithTimeout(ctx, mostPatience)
	defer cancel()
	locker, err := c.locker(ctx)
	if err != nil {
		return err
	}
	details := fmt.Sprintf("held by job %s on worker %s", seen.JobID, seen.Worker)
	if seen.Issuer != "" {
		details = "of issuer " + seen.Issuer + ", " + details
	}
	if err := c.Record.RecordAction(ctx, FreeLock, seen.TransactionID, details, by); err != nil {
		return err
	}
	err = locker.Within(seen.Issuer).Break(ctx, seen.TransactionID, locking.Holder{ID: seen.JobID, Worker: seen.Worker})
	if errors.Is(err, locking.ErrNotHeld) {
		return report.ErrNotHeld
	}
	return notDone(err)
}

// Quiet tells a worker to take no more jobs, or to take jobs again. It returns an error for a worker that doesn't run, or is
// another installation's.
func (c Controller) Quiet(ctx context.Context, worker string, quiet bool, by ledger.Actor) error {
	id, err := c.DatabaseID(ctx)
	if err != nil {
		return err
	}
	running, err := queue.Workers(ctx, c.Redis)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(running, func(w report.Worker) bool { return w.Name == worker && w.Installation == id }) {
		return fmt.Errorf("no worker %q of this installation is running: `invoicer workers` lists them", worker)
	}
	action := WakenWorker
	if quiet {
		action = QuietWorker
	}
	if err := c.Record.RecordAction(ctx, action, worker, "", by); err != nil {
		return err
	}
	return notDone(queue.SetQuiet(ctx, c.Redis, worker, quiet))
}
