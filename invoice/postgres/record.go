package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"invoicer/internal/tracing"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// Record records how a job ended. Recording the same end again changes nothing, and a job that is done stays done
// whatever is recorded later. The failure of an earlier dispatch of a job that was replayed since is ignored. Once
// Record has returned nil, the end is committed, even if an earlier call wrote it; as far as the server knows, on its
// standbys too.
//
// Otherwise Record has written nothing and returns
//
//   - [*ledger.AlteredError] if the ledger has accepted another payload under this job id than the end's, so that the
//     end isn't that job's;
//   - [*ledger.DismissedError] if the job was dismissed;
//   - [invoice.ErrNotAccepted] if only jobs of the ledger are allowed, and this isn't one;
//   - [invoice.ErrNotInvoiced] if the database doesn't hold the invoice that the end names, as after a restore, or
//     holds it with another number or another job; or if the import that the end names was withdrawn;
//   - [invoice.ErrEnded] if another end is recorded under the job id and stays: the new end is a bad one of a job that
//     ended well, or the id was used for another transaction.
func (s *Ledger) Record(ctx context.Context, e ledger.End) error {
	switch e.Outcome {
	case invoice.Created, invoice.Duplicate:
		return s.recordGood(ctx, e)
	case invoice.Conflict, invoice.Invalid, invoice.Failed:
		return s.recordBad(ctx, e)
	default:
		return fmt.Errorf("record job %s: outcome %q is unknown", e.JobID, e.Outcome)
	}
}

// lockEnd locks a job's end until the transaction ends. A transaction takes it before it reads the job's state in
// order to record an end or to dismiss the job.
const lockEnd = "pg_advisory_xact_lock(hashtextextended(?, 0))"

// lockErasing is shared by whoever ends a job, and erase_invoices has it alone: either it sees the end, or the end's next statement sees what
// was erased.
const lockErasing = "pg_advisory_xact_lock_shared(invoicer.erasing_lock())"

// digest returns a payload's hash for comparison, as the database computes it: encode(sha256(…), 'hex').
func digest(payload []byte) string {
	sum := sha256.Sum256(payload)
	return hex.EncodeToString(sum[:])
}

// A goodEnd is an end with an invoice that is to be recorded.
type goodEnd struct {
	ctx context.Context //nolint:containedctx // its caller may be gone by the time that it is written
	end ledger.End
	err error
}

// apart returns the job id: a second end of the same job goes into a later transaction and finds the first.
func (g *goodEnd) apart() []string { return []string{g.end.JobID} }

const (
	// stormOf is the number of duplicates of one invoice in a group from which on the next group waits for more of
	// them.
	stormOf = 8
	// stormWait bounds that wait. Nobody waits for a duplicate, but it occupies a slot.
	stormWait = 20 * time.Millisecond
)

// stormAfter returns how many duplicates to expect after these: a quarter more than these if most of them are of one
// invoice, but never more than there are callers; else 0.
func (s *Ledger) stormAfter(gone []*goodEnd) int {
	type one struct {
		id       int64
		imported bool
	}
	of := make(map[one]int)
	for _, d := range gone {
		of[one{d.end.Invoice.ID, d.end.Invoice.Imported != nil}]++
	}
	for _, n := range of {
		if n >= stormOf && 2*n > len(gone) {
			return min(len(gone)+len(gone)/4, s.options.Callers)
		}
	}
	return 0
}

func (s *Ledger) recordGood(ctx context.Context, e ledger.End) error {
	ctx, span := s.options.Tracer.Start(ctx, "record end", "transaction_id", e.TransactionID)
	defer span.End()
	g := &goodEnd{ctx: ctx, end: e}
	if err := s.goodEnds.join(ctx, g); err != nil {
		return classify(err)
	}
	return classify(g.err)
}

// writeGoodEnds records a group in one statement. If the database refuses it, the halves are tried.
func (s *Ledger) writeGoodEnds(ctx context.Context, group []*goodEnd) {
	ctx, cancel := context.WithTimeout(ctx, s.options.StatementTimeout)
	defer cancel()
	err := s.writeGoodEndsTogether(ctx, group)
	switch {
	case err == nil:
	case len(group) == 1, outage(err):
		for _, g := range group {
			g.err = err
		}
	default:
		s.writeGoodEnds(ctx, group[:len(group)/2])
		s.writeGoodEnds(ctx, group[len(group)/2:])
	}
}

func (s *Ledger) writeGoodEndsTogether(ctx context.Context, group []*goodEnd) (err error) {
	lane := s.counts.take()
	defer func() { s.counts.put(lane, err) }()
	ctx, span := tracing.Together(ctx, s.options.Tracer, "record group", group, func(g *goodEnd) context.Context { return g.ctx })
	defer func() {
		span.Fail(err)
		span.End()
	}()
	var issuers, jobIDs, outcomes, transactionIDs, keys, invoiceIDs, importedIDs, invoiced, fingerprints, numbers, reasons, producers, workers, attempts, digests, ledgerOnly, took, differs array
	for _, g := range group {
		e := &g.end
		issuers.text(e.Issuer)
		jobIDs.text(e.JobID)
		outcomes.text(string(e.Outcome))
		transactionIDs.text(e.TransactionID)
		keys.text(e.IdempotencyKey)
		if e.Invoice.Imported != nil {
			invoiceIDs.addNull()
			importedIDs.integer(e.Invoice.ID)
		} else {
			invoiceIDs.integer(e.Invoice.ID)
			importedIDs.addNull()
		}
		invoiced.text(e.Invoice.TransactionID)
		fingerprints.text(e.Invoice.Fingerprint)
		numbers.text(e.Invoice.Number)
		reasons.optional(string(e.Reason))
		producers.optional(e.Producer)
		workers.text(e.Worker)
		attempts.integer(int64(e.Attempts))
		digests.text(digest(e.Payload))
		ledgerOnly.boolean(e.LedgerOnly)
		took.seconds(e.Began)
		differs.optional(strings.Join(e.Differs, "\n"))
	}
	var problems []struct {
		Member   int
		Problem  string
		Accepted *string
	}
	err = s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Raw(`
SELECT member, problem, accepted FROM invoicer.record_ends_with_differences(?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::bigint[], ?::bigint[], ?::text[], ?::text[], ?::text[],
    ?::text[], ?::text[], ?::text[], ?::bigint[]::integer[], ?::text[], ?::boolean[], ?::float8[], ?::text[], ?, ?::integer)`,
			&issuers, &jobIDs, &outcomes, &transactionIDs, &keys, &invoiceIDs, &importedIDs, &invoiced, &fingerprints, &numbers,
			&reasons, &producers, &workers, &attempts, &digests, &ledgerOnly, &took, &differs, s.options.Worker, lane).Scan(&problems).Error
	})
	if err != nil {
		return err
	}
	for _, g := range group {
		g.err = nil
	}
	for _, p := range problems {
		g := group[p.Member-1]
		g.err = unrecorded(p.Problem, g.end.JobID, p.Accepted)
	}
	return nil
}

// unrecorded returns the error for an end that wasn't recorded, by the statement's word for the problem.
func unrecorded(problem, jobID string, accepted *string) error {
	switch problem {
	case "dismissed":
		return &ledger.DismissedError{JobID: jobID}
	case "altered":
		return altered(jobID, accepted)
	case "not_accepted":
		return invoice.ErrNotAccepted
	case "not_invoiced":
		return invoice.ErrNotInvoiced
	case "ended":
		return invoice.ErrEnded
	}
	return fmt.Errorf("record job %s: %q", jobID, problem)
}

func altered(jobID string, accepted *string) error {
	e := &ledger.AlteredError{JobID: jobID}
	if accepted != nil {
		e.Payload = []byte(*accepted)
	}
	return e
}

// storable returns s in a form that a text column can hold.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
