package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"invoicer/invoice"
)

// Record writes down how a job ended. Recording the same end again changes nothing, and a job that is done stays done
// whatever comes later. A failure of a job that was replayed since is no news: that job stays as it is. What nil was
// returned for is committed, also where an earlier call had written it: as far as the server knows, on its standbys too.
//
// Otherwise nothing has been written, and it returns
//
//   - [*invoice.AlteredError] when the ledger has accepted another payload under this job id than the end's: however the
//     end was come to, it is none of that job's;
//   - [*invoice.DismissedError] when somebody has dismissed the job;
//   - [invoice.ErrNotAccepted] when only jobs of the ledger count, and this is none;
//   - [invoice.ErrNotInvoiced] when the end names an invoice that the database doesn't hold, as after a restore, or
//     not by this number, or as another job's than the end says;
//   - [invoice.ErrEnded] when the job id stands for an end already that this one can't join: a bad end is reported of a job
//     that ended well, or the id was used for another transaction.
func (s *Ledger) Record(ctx context.Context, e invoice.End) error {
	switch e.Outcome {
	case invoice.Created, invoice.Duplicate:
		return s.recordGood(ctx, e)
	case invoice.Conflict, invoice.Invalid, invoice.Failed:
		return s.recordBad(ctx, e)
	default:
		return fmt.Errorf("record job %s: outcome %q is none", e.JobID, e.Outcome)
	}
}

// lockEnd is taken, until the end of the transaction, by whoever writes an end of a job, or dismisses it, after looking at
// how it stands.
const lockEnd = "pg_advisory_xact_lock(hashtextextended(?, 0))"

// digest is what a payload is compared by, as the database computes it: encode(sha256(…), 'hex').
func digest(payload []byte) string {
	sum := sha256.Sum256(payload)
	return hex.EncodeToString(sum[:])
}

// A goodEnd is an end with an invoice on its way to be recorded.
type goodEnd struct {
	end invoice.End
	err error
}

// apart: a job's second record finds the first.
func (g *goodEnd) apart() []string { return []string{g.end.JobID} }

const (
	// stormOf is from how many duplicates of one invoice in a group on more of them are waited for.
	stormOf = 8
	// stormWait is how long at most. A duplicate has nobody who waits for it, but it keeps a slot.
	stormWait = 20 * time.Millisecond
)

// stormAfter returns how many duplicates are expected after these: a quarter more, if most of these are of one invoice,
// and never more than there are callers.
func (s *Ledger) stormAfter(gone []*goodEnd) int {
	of := make(map[int64]int)
	for _, d := range gone {
		of[d.end.Invoice.ID]++
	}
	for _, n := range of {
		if n >= stormOf && 2*n > len(gone) {
			return min(len(gone)+len(gone)/4, s.options.Callers)
		}
	}
	return 0
}

func (s *Ledger) recordGood(ctx context.Context, e invoice.End) error {
	g := &goodEnd{end: e}
	if err := s.goodEnds.join(ctx, g); err != nil {
		return classify(err)
	}
	return classify(g.err)
}

// writeGoodEnds records a group in one statement. Where the database refuses it, its halves are tried.
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

func (s *Ledger) writeGoodEndsTogether(ctx context.Context, group []*goodEnd) error {
	var jobIDs, outcomes, transactionIDs, keys, invoiceIDs, invoiced, fingerprints, numbers, reasons, producers, workers, attempts, digests, ledgerOnly array
	for _, g := range group {
		e := &g.end
		jobIDs.text(e.JobID)
		outcomes.text(string(e.Outcome))
		transactionIDs.text(e.TransactionID)
		keys.text(e.IdempotencyKey)
		invoiceIDs.integer(e.Invoice.ID)
		invoiced.text(e.Invoice.TransactionID)
		fingerprints.text(e.Invoice.Fingerprint)
		numbers.text(e.Invoice.Number)
		reasons.optional(string(e.Reason))
		producers.optional(e.Producer)
		workers.text(e.Worker)
		attempts.integer(int64(e.Attempts))
		digests.text(digest(e.Payload))
		ledgerOnly.boolean(e.LedgerOnly)
	}
	var problems []struct {
		Member   int
		Problem  string
		Accepted *string
	}
	err := s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Raw(`
SELECT member, problem, accepted FROM invoicer.record_ends(?::text[], ?::text[], ?::text[], ?::text[], ?::bigint[], ?::text[], ?::text[], ?::text[],
    ?::text[], ?::text[], ?::text[], ?::integer[], ?::text[], ?::boolean[])`,
			literals(&jobIDs, &outcomes, &transactionIDs, &keys, &invoiceIDs, &invoiced, &fingerprints, &numbers,
				&reasons, &producers, &workers, &attempts, &digests, &ledgerOnly)...).Scan(&problems).Error
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

// unrecorded is why an end wasn't recorded, by the word that the database has for it.
func unrecorded(problem, jobID string, accepted *string) error {
	switch problem {
	case "dismissed":
		return &invoice.DismissedError{JobID: jobID}
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
	e := &invoice.AlteredError{JobID: jobID}
	if accepted != nil {
		e.Payload = []byte(*accepted)
	}
	return e
}

// storable makes any message fit for a text column.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
