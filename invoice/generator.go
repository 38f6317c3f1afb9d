package invoice

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrUnavailable marks an error that speaks of the database's state, not of the job: an outage, a timeout, a
	// failover. Doing the same again later is right, and safe.
	ErrUnavailable = errors.New("database unavailable")

	// ErrHeld marks an [ErrUnavailable] that concerns few drafts and no others: an open transaction of somebody else's holds
	// what they need, such as the counter of their series. Others can be written meanwhile.
	ErrHeld = errors.New("held by another transaction")

	// ErrEnded says that a job id stands for an end already, which another one can't join: a good end stays, and so
	// does an end of another transaction for which a foreign producer used the same id.
	ErrEnded = errors.New("the job id stands for another end already")

	// ErrNotAccepted says that the ledger has no such job, where only jobs of the ledger are done.
	ErrNotAccepted = errors.New("the ledger has no such job")

	// ErrNotInvoiced says that the database holds no invoice for the transaction.
	ErrNotInvoiced = errors.New("not invoiced")
)

// A Request is one job under the identity that it keeps over retries, requeues and replays.
type Request struct {
	JobID       string
	Attempt     int // which run of the job this is, beginning with 1
	Job         *Job
	Fingerprint string // of Job

	Payload []byte // that Job was read from

	// LedgerOnly: a job that the ledger doesn't have is refused with [ErrNotAccepted].
	LedgerOnly bool
}

// NewRequest computes the job's fingerprint. The job must be valid.
func NewRequest(jobID string, attempt int, job *Job) Request {
	return Request{JobID: jobID, Attempt: attempt, Job: job, Fingerprint: job.Fingerprint()}
}

// A Draft is an invoice that lacks only its number.
type Draft struct {
	Request
	Totals    Totals
	Slot      Slot
	numbering *Numbering
}

// InvoiceNumber is the number as printed, once the draft has the given one in its slot.
func (d *Draft) InvoiceNumber(number int64) string { return d.numbering.Format(d.Slot, number) }

// Existing is what the database holds about a transaction and about an idempotency key; nil where it holds nothing.
type Existing struct {
	OfTransaction *Ref
	OfKey         *Ref
}

// An Insertion is what became of a draft: either Created is set, or Existing says what stands in its way.
type Insertion struct {
	Created  *Ref
	Existing Existing
	Raced    bool // the way was free at first, and a unique violation told of another writer
}

// A Store keeps invoices. Its errors are [ErrUnavailable] when the same call may succeed later, [*InvalidError] when
// the draft can never be stored, and anything else when something is wrong that nobody foresaw.
type Store interface {
	// Insert stores the draft under the next number of its slot, or finds what stands in its way. It may be called
	// again after any error: a draft is never stored twice, and a number never used up in vain.
	Insert(ctx context.Context, d *Draft) (Insertion, error)
	// Find reads what is committed.
	Find(ctx context.Context, transactionID, idempotencyKey string) (Existing, error)
	// Read reads a whole invoice; it returns [ErrNotInvoiced] when there is none with this id.
	Read(ctx context.Context, invoiceID int64) (*Invoice, error)
}

// A Result is how a job ends.
type Result struct {
	Outcome Outcome
	// Invoice is the job's own when it was created, the transaction's when it is a duplicate, and the one that stands
	// in the way when there is a conflict.
	Invoice *Ref
	Reason  Reason   // of a duplicate
	Differs []string // of a conflict: the fields whose content differs
	Detail  string   // of a conflict: one sentence, without any content

	// Recorded: the job's end was committed together with the invoice, and needs no record of its own.
	Recorded bool
}

// A Generator turns requests into invoices: one for each transaction, however often and from wherever it is called.
// It relies on nothing but the store for that; a lock around it only spares work.
type Generator struct {
	store     Store
	numbering *Numbering
}

// NewGenerator returns a generator that numbers as the numbering says.
func NewGenerator(store Store, numbering *Numbering) *Generator {
	return &Generator{store: store, numbering: numbering}
}

// Generate makes the transaction's invoice, or says why not. The result is a committed fact.
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
		return Result{Outcome: Created, Invoice: inserted.Created, Recorded: true}, nil
	}
	reason := AlreadyInvoiced
	if inserted.Raced {
		reason = LostRace
	}
	return g.decide(ctx, r, inserted.Existing, reason)
}

// Lookup reads once what the database knows of the transaction, without writing anything. It returns [ErrNotInvoiced]
// while the transaction has no invoice, even if the key already has another one: who holds the lock may still make it.
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

// Known decides about a request by an invoice that somebody remembers, without reading the database where that is
// safe: a duplicate, whose record fails if the invoice is gone. Everything else is confirmed by reading, and
// [ErrNotInvoiced] says that the memory is stale.
func (g *Generator) Known(ctx context.Context, r Request, known Ref, reason Reason) (Result, error) {
	if known.TransactionID == r.Job.TransactionID && known.Fingerprint == r.Fingerprint && known.JobID != r.JobID {
		return Result{Outcome: Duplicate, Invoice: &known, Reason: reason}, nil
	}
	return g.Lookup(ctx, r, reason)
}

// decide applies the outcome's rule: the transaction's own invoice first, whatever the key; then the key.
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
