package invoice

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

var (
	// ErrUnavailable marks an error that is due to the database's state and not to the job: an outage, a timeout, a
	// failover. The same call may succeed later, and repeating it is safe.
	ErrUnavailable = errors.New("database unavailable")

	// ErrHeld marks an [ErrUnavailable] that concerns only some drafts: another open transaction holds a row that
	// they need, such as the counter of their series. Other drafts can be written meanwhile.
	ErrHeld = errors.New("held by another transaction")

	// ErrEnded says that another end is already recorded under the job id and stays: a good end, or the end of
	// another transaction's job, if a foreign producer used the same id twice.
	ErrEnded = errors.New("the job id stands for another end already")

	// ErrNotAccepted says that the ledger has no such job, if only jobs of the ledger are allowed.
	ErrNotAccepted = errors.New("the ledger has no such job")

	// ErrNotInvoiced says that the database holds no invoice for the transaction.
	ErrNotInvoiced = errors.New("not invoiced")
)

// A Request is one job together with its identity, which stays the same over retries, requeues and replays.
type Request struct {
	JobID       string
	Attempt     int // which run of the job this is, beginning with 1
	Job         *Job
	Fingerprint string // of Job

	Payload []byte // from which Job was decoded

	// LedgerOnly refuses a job that the ledger doesn't have, with [ErrNotAccepted].
	LedgerOnly bool
}

// NewRequest returns a request with the job's fingerprint. The job must be valid.
func NewRequest(jobID string, attempt int, job *Job) Request {
	return Request{JobID: jobID, Attempt: attempt, Job: job, Fingerprint: job.Fingerprint()}
}

// A Draft is an invoice that is complete but for its number.
type Draft struct {
	Request
	Totals    Totals
	Slot      Slot
	numbering *Numbering
}

// InvoiceNumber returns the printed form of the given number in the draft's slot.
func (d *Draft) InvoiceNumber(number int64) string { return d.numbering.Format(d.Slot, number) }

// Existing holds the invoices that the database has for a transaction and for an idempotency key, nil if there is
// none.
type Existing struct {
	OfTransaction *Ref
	OfKey         *Ref
}

// An Insertion is the result of inserting a draft: either Created is set, or Existing holds the invoices that
// prevented it.
type Insertion struct {
	Created  *Ref
	Existing Existing
	Since    time.Duration // since the ledger accepted the job of a draft that was created, 0 if it didn't
	Raced    bool          // nothing was in the way at first, and a unique violation revealed another writer
}

// A Store keeps invoices. It returns [ErrUnavailable] if the same call may succeed later, and [*InvalidError] if the
// draft can never be stored. Any other error is an unforeseen fault.
type Store interface {
	// Insert stores the draft under the next number of its slot, or returns the invoices that prevent it. It may be
	// called again after any error: a draft is never stored twice, and no number is skipped.
	Insert(ctx context.Context, d *Draft) (Insertion, error)
	// Find returns the committed invoices of a transaction and of an idempotency key.
	Find(ctx context.Context, transactionID, idempotencyKey string) (Existing, error)
	// Read returns the whole invoice with this id, or [ErrNotInvoiced] if there is none.
	Read(ctx context.Context, invoiceID int64) (*Invoice, error)
}

// A Result is how a job ends.
type Result struct {
	Outcome Outcome
	// Invoice is the job's own if it was created, the transaction's if the job is a duplicate, and the conflicting
	// invoice if there is a conflict.
	Invoice *Ref
	Reason  Reason   // of a duplicate
	Differs []string // of a conflict: the fields whose content differs
	Detail  string   // of a conflict: one sentence, without any content

	// Since is how long ago the ledger accepted the job of an invoice that was made by this call; 0 if it didn't.
	Since time.Duration

	// Recorded says that the job's end was committed together with the invoice and needs no further record.
	Recorded bool
}

// A Generator turns requests into invoices: one for each transaction, however often and by however many processes it
// is called. It relies on nothing but the store for that; a lock around it only saves work.
type Generator struct {
	store     Store
	numbering *Numbering
}

// NewGenerator returns a generator that keeps invoices in the store and numbers them by the numbering.
func NewGenerator(store Store, numbering *Numbering) *Generator {
	return &Generator{store: store, numbering: numbering}
}

// Generate makes the transaction's invoice, or returns why there is none to make. The result rests on committed data
// only.
func (g *Generator) Generate(ctx context.Context, r Request) (Result, error) {
	totals, err := r.Job.Calculate()
	if err != nil {
		return Result{}, err
	}
	slot, err := g.numbering.Place(r.Job, totals.Kind)
	if err != nil {
		return Result{}, err
	}
	inserted, err := g.store.Insert(ctx, &Draft{Request: r, Totals: totals, Slot: slot, numbering: g.numbering})
	if err != nil {
		return Result{}, err
	}
	if inserted.Created != nil {
		return Result{Outcome: Created, Invoice: inserted.Created, Since: inserted.Since, Recorded: true}, nil
	}
	reason := AlreadyInvoiced
	if inserted.Raced {
		reason = LostRace
	}
	return g.decide(ctx, r, inserted.Existing, reason)
}

// Lookup decides about the request by one read of the database, without writing. It returns [ErrNotInvoiced] while
// the transaction has no invoice, even if the key already has another transaction's: the holder of the lock may still
// make the invoice.
func (g *Generator) Lookup(ctx context.Context, r Request, reason Reason) (Result, error) {
	existing, err := g.store.Find(ctx, r.Job.TransactionID, r.Job.IdempotencyKey)
	if err != nil {
		return Result{}, err
	}
	if existing.OfTransaction == nil {
		return Result{}, ErrNotInvoiced
	}
	return g.decide(ctx, r, existing, reason)
}

// Known decides about a request by a remembered invoice, such as one from a cache. A duplicate isn't checked against
// the database, since recording it fails if the invoice is gone. Every other result is confirmed by reading. Known
// returns [ErrNotInvoiced] if the remembered invoice is stale.
func (g *Generator) Known(ctx context.Context, r Request, known Ref, reason Reason) (Result, error) {
	if known.TransactionID == r.Job.TransactionID && known.Fingerprint == r.Fingerprint && known.JobID != r.JobID {
		return Result{Outcome: Duplicate, Invoice: &known, Reason: reason}, nil
	}
	return g.Lookup(ctx, r, reason)
}

// decide applies the rule for outcomes: the transaction's own invoice comes first, whatever its key; then the key's
// invoice.
func (g *Generator) decide(ctx context.Context, r Request, e Existing, reason Reason) (Result, error) {
	switch own := e.OfTransaction; {
	case own != nil && own.Fingerprint != r.Fingerprint:
		differs, err := g.differs(ctx, r, own)
		if err != nil {
			return Result{}, err
		}
		return Result{Outcome: Conflict, Invoice: own, Differs: differs, Detail: fmt.Sprintf(
			"transaction_id %s is invoiced as %s with other content: %s; the invoice stays as it is; if the new content is right, credit it and ask under a new transaction_id",
			own.TransactionID, own.Number, strings.Join(differs, ", "))}, nil
	case own != nil && own.JobID == r.JobID:
		return Result{Outcome: Created, Invoice: own}, nil
	case own != nil:
		return Result{Outcome: Duplicate, Invoice: own, Reason: reason}, nil
	case e.OfKey != nil:
		differs, err := g.differs(ctx, r, e.OfKey)
		if err != nil {
			return Result{}, err
		}
		return Result{Outcome: Conflict, Invoice: e.OfKey, Differs: differs, Detail: fmt.Sprintf(
			"idempotency_key %s belongs to transaction_id %s, invoiced as %s, and this job asks for %s (other content: %s); send a key of its own, or none",
			e.OfKey.IdempotencyKey, e.OfKey.TransactionID, e.OfKey.Number, r.Job.TransactionID, strings.Join(differs, ", "))}, nil
	default:
		return Result{}, fmt.Errorf("transaction_id %s: the store neither stored the draft nor found an invoice", r.Job.TransactionID)
	}
}

func (g *Generator) differs(ctx context.Context, r Request, stored *Ref) ([]string, error) {
	whole, err := g.store.Read(ctx, stored.ID)
	if err != nil {
		return nil, err
	}
	return DiffFields(whole.Content(), r.Job), nil
}
