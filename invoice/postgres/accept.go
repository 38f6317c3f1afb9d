package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"invoicer/invoice/ledger"
)

// Accept adds a job to the ledger. Once it has returned nil, the job will get an end sooner or later. The id is a
// UUID. Accepting the same job again under the same id changes nothing, so Accept may be called again after any
// error. It returns a [*ledger.UnknownQueueError] if no worker has ever consumed the queue.
func (s *Ledger) Accept(ctx context.Context, jobID, queue string, payload []byte) error {
	return s.accept(ctx, queue, "SELECT invoicer.accept(?, ?, ?::uuid)", string(payload), queue, jobID)
}

// AcceptIntoNew is Accept for a queue that no worker may have consumed yet: from then on it is known.
func (s *Ledger) AcceptIntoNew(ctx context.Context, jobID, queue string, payload []byte) error {
	return s.accept(ctx, queue, "SELECT invoicer.accept(?, ?, ?::uuid, new_queue := true)", string(payload), queue, jobID)
}

// CheckQueue returns the error that Accept would return because of the queue. The role needs no more than USAGE on the schema.
func (s *Ledger) CheckQueue(ctx context.Context, queue string) error {
	return s.accept(ctx, queue, "SELECT invoicer.refuse_unknown_queue(?)", queue)
}

func (s *Ledger) accept(ctx context.Context, queue, statement string, args ...any) error {
	err := s.autocommit(ctx, func(db *gorm.DB) error { return db.Exec(statement, args...).Error })
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.ConstraintName == "queue_known" {
		return &ledger.UnknownQueueError{Queue: queue, Known: pg.Detail, Err: err}
	}
	return classify(err)
}
