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

// A Lock is a transaction's lock.
type Lock struct {
	TransactionID string    `json:"transaction_id"`
	JobID         string    `json:"job_id"`
	Worker        string    `json:"worker"`
	Until         time.Time `json:"until"`   // zero for a lock without an expiry
	Expires       bool      `json:"expires"` // false for a lock that a worker hasn't set: the next attempt gives it an expiry
}

// Lock returns who has the lock of a transaction, and for how long yet. It returns [locking.ErrNotHeld] if nobody has.
func (c Controller) Lock(ctx context.Context, transactionID string) (Lock, error) {
	locker, err := c.locker(ctx)
	if err != nil {
		return Lock{}, err
	}
	holder, left, err := locker.Holder(ctx, transactionID)
	if err != nil {
		return Lock{}, err
	}
	l := Lock{TransactionID: transactionID, JobID: holder.ID, Worker: holder.Worker, Expires: left >= 0}
	if l.Expires {
		l.Until = time.Now().Add(left).UTC()
	}
	return l, nil
}

func (c Controller) locker(ctx context.Context) (*locking.Locker, error) {
	id, err := c.DatabaseID(ctx)
	if err != nil {
		return nil, err
	}
	return locking.New(c.Redis, locking.Options{Prefix: LockPrefix(id)})
}

// Free frees a lock that was seen. It returns [locking.ErrNotHeld] if another holder has it by now, or nobody. If the holder still
// works, it writes its invoice all the same: that there is never a second one is the database's doing.
func (c Controller) Free(ctx context.Context, seen Lock, by ledger.Actor) error {
	locker, err := c.locker(ctx)
	if err != nil {
		return err
	}
	details := fmt.Sprintf("held by job %s on worker %s", seen.JobID, seen.Worker)
	if err := c.Record.RecordAction(ctx, FreeLock, seen.TransactionID, details, by); err != nil {
		return err
	}
	err = locker.Break(ctx, seen.TransactionID, locking.Holder{ID: seen.JobID, Worker: seen.Worker})
	if errors.Is(err, locking.ErrNotHeld) {
		return err
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
