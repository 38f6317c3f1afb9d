package documents

import (
	"context"
	"log/slog"
	"time"

	"invoicer/invoice/document"
)

// Leftovers are the objects that are to be deleted: those of erased documents, and those that no document got.
type Leftovers interface {
	ClaimLeftovers(ctx context.Context, most int, lease time.Duration) ([]document.Leftover, error)
	SettleLeftover(ctx context.Context, l document.Leftover) error
	PutOffLeftover(ctx context.Context, l document.Leftover, why error, again time.Duration) error
	Leftovers(ctx context.Context) (count, failing int, oldest time.Time, err error)
}

// Objects are the bytes outside of the database.
type Objects interface {
	Delete(ctx context.Context, place string) error
}

// A Sweeper deletes objects that are to be deleted, until its context ends. What fails is tried again, at last every 30 minutes, and for ever: nobody's
// personal data is given up to stay.
type Sweeper struct {
	Leftovers Leftovers
	Objects   Objects
	Logger    *slog.Logger
	// Seen is told now and then how many objects are to be deleted, how many of these couldn't be at the last try, and since when the oldest is to
	// be. Default: nobody is told.
	Seen func(count, failing int, oldest time.Time)
}

// Run deletes what is to be deleted until ctx ends.
func (s *Sweeper) Run(ctx context.Context) {
	var seen time.Time
	for ctx.Err() == nil {
		if s.Seen != nil && time.Since(seen) >= seeing {
			seen = time.Now()
			if count, failing, oldest, err := s.Leftovers.Leftovers(ctx); err == nil {
				s.Seen(count, failing, oldest)
			}
		}
		list, err := s.Leftovers.ClaimLeftovers(ctx, batch, lease)
		if err != nil {
			s.Logger.DebugContext(ctx, "objects wait to be deleted", "error", err)
		}
		for _, l := range list {
			if ctx.Err() != nil {
				return // the rest is claimed again when its lease is over
			}
			s.remove(ctx, l)
		}
		if len(list) == 0 && !pause(ctx, idle) {
			return
		}
	}
}

// removedWithin bounds the deletion of one object, so that a batch is done well within its lease or is claimed again without harm.
const removedWithin = 20 * time.Second

func (s *Sweeper) remove(ctx context.Context, l document.Leftover) {
	removing, cancel := context.WithTimeout(ctx, removedWithin)
	defer cancel()
	err := s.Objects.Delete(removing, l.Place)
	if err == nil {
		err = s.Leftovers.SettleLeftover(ctx, l)
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	again := backOff(l.Attempts)
	s.Logger.WarnContext(ctx, "the bytes of a document can't be deleted: it is tried again", "invoice_id", l.InvoiceID, "place", l.Place, "attempt", l.Attempts, "again", again, "error", err)
	if err := s.Leftovers.PutOffLeftover(ctx, l, err, again); err != nil {
		s.Logger.DebugContext(ctx, "objects wait to be deleted", "error", err)
	}
}

// backOff is the pause after so many attempts.
func backOff(attempts int) time.Duration {
	if attempts >= 10 {
		return longest
	}
	return min(longest, 5*time.Second<<attempts)
}
