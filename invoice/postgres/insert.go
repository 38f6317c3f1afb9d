package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"invoicer/internal/fault"
	"invoicer/invoice"
)

// The constraints by which the database says that another writer was first.
const (
	transactionKey = "invoices_transaction_id_key"
	idempotencyKey = "invoices_idempotency_key_key"
)

// commitError wraps an error of COMMIT, after which the row may be there or not.
type commitError struct{ cause error }

func (e *commitError) Error() string { return "commit: " + e.cause.Error() }
func (e *commitError) Unwrap() error { return e.cause }

// A write is one draft on its way to become an invoice.
type write struct {
	ctx   context.Context //nolint:containedctx // its fault points are hit while the group's transaction runs
	draft *invoice.Draft
	size  int // in bytes, about

	ledgerID int64             // of its job's row in the ledger, if it has one
	number   int64             // its own in the slot
	made     *invoice.Invoice  // what is written, once it has its number
	inserted invoice.Insertion // what became of it
	err      error
}

// apart: of a transaction, a key and a job, one goes first, and the next finds what it has done.
func (w *write) apart() []string {
	return []string{"t" + w.draft.Job.TransactionID, "k" + w.draft.Job.IdempotencyKey, "j" + w.draft.JobID}
}

func (w *write) weigh() int { return w.size }

// sizeOf is about how many bytes a draft takes on its way.
func sizeOf(d *invoice.Draft) int {
	n := 1000
	for key, value := range d.Job.Metadata {
		n += len(key) + len(value)
	}
	for i := range d.Job.Lines {
		n += 400 + len(d.Job.Lines[i].SKU) + len(d.Job.Lines[i].Description)
	}
	return n
}

// Insert implements [invoice.Store]. The number, the invoice with its lines and taxes, and the end of the ledger's
// row become true in one transaction, or none of them does. Drafts that arrive while a transaction is under way share
// the next one; whether one of them can't be written is nothing to the others. After the commit's reply was lost, it
// finds out on a fresh connection what is true.
func (s *Store) Insert(ctx context.Context, d *invoice.Draft) (invoice.Insertion, error) {
	w := &write{ctx: ctx, draft: d, size: sizeOf(d)}
	if err := s.writes.join(ctx, w); err != nil {
		return invoice.Insertion{}, classify(err)
	}
	switch err := w.err; {
	case err == nil:
		return w.inserted, nil
	case violates(err, transactionKey), violates(err, idempotencyKey):
		existing, findErr := s.Find(ctx, d.Job.TransactionID, d.Job.IdempotencyKey)
		if findErr != nil {
			return invoice.Insertion{}, findErr
		}
		return invoice.Insertion{Existing: existing, Raced: true}, nil
	case violates(err, "invoices_series_period_number_key"), violates(err, "invoices_invoice_number_key"):
		return invoice.Insertion{}, fmt.Errorf("series %s: the next number is taken already, so invoice_series.last_number or numbering.format doesn't fit what is stored: run `invoicer audit`: %w", d.Slot.Series, err)
	default:
		var planted *faultError
		if errors.As(err, &planted) && planted.panicked != nil {
			panic(planted.panicked) //nolint:forbidigo // whose point it was has to bear it
		}
		return invoice.Insertion{}, classify(err)
	}
}

// maxDeadlocks is how often a group whose transaction fell victim to a deadlock is tried again.
const maxDeadlocks = 3

// write brings every member to its end. Where the database refuses the group, its halves are tried: so whoever was meant
// is soon alone, and the others are written together all the same.
func (s *Store) write(ctx context.Context, group []*write) {
	defer func() {
		if p := recover(); p != nil {
			for _, w := range group {
				w.err = fmt.Errorf("panic while invoices were written: %T", p) // its text may quote a job
			}
		}
	}()
	for deadlocks := 0; len(group) > 0; {
		err := s.writeTogether(ctx, group)
		var lost *commitError
		var planted *faultError
		var pg *pgconn.PgError
		switch {
		case err == nil:
			return
		case errors.As(err, &lost):
			s.settle(ctx, group, lost)
			return
		case errors.As(err, &planted): // its own: the others go on without it
			planted.of.err = planted
			group = slices.DeleteFunc(slices.Clone(group), func(w *write) bool { return w == planted.of })
		case errors.As(err, &pg) && pg.Code == "40P01" && deadlocks < maxDeadlocks:
			deadlocks++
		case len(group) == 1, outage(err):
			for _, w := range group {
				w.err = err
			}
			return
		default:
			group = slices.DeleteFunc(slices.Clone(group), func(w *write) bool {
				w.err = w.ctx.Err()
				return w.err != nil // nobody waits for it any more
			})
			s.write(ctx, group[:len(group)/2])
			s.write(ctx, group[len(group)/2:])
			return
		}
	}
}

// A faultError is what a fault point of one member returned.
type faultError struct {
	of       *write
	cause    error
	panicked any
}

func (e *faultError) Error() string {
	return fmt.Sprintf("fault point: %v", cmp.Or[any](e.cause, e.panicked))
}
func (e *faultError) Unwrap() error { return e.cause }

// hit passes a fault point in the name of every member.
func hit(group []*write, p fault.Point) (err error) {
	for _, w := range group {
		func() {
			defer func() {
				if r := recover(); r != nil {
					err = &faultError{of: w, panicked: r}
				}
			}()
			if cause := fault.Hit(w.ctx, p); cause != nil {
				err = &faultError{of: w, cause: cause}
			}
		}()
		if err != nil {
			return err
		}
	}
	return nil
}

// writeTogether writes a group in one transaction, of five round trips however large it is. It decides about each member:
// its row is written, or inserted tells what exists, or err why it can't be. An error of its own means that nothing is
// decided; after a [*commitError], that nobody knows.
func (s *Store) writeTogether(ctx context.Context, group []*write) (err error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.StatementTimeout+s.options.LockTimeout)
	defer cancel()
	for _, w := range group {
		w.ledgerID, w.made, w.inserted, w.err = 0, nil, invoice.Insertion{}, nil
	}
	tx := s.db.WithContext(ctx).Begin()
	if tx.Error != nil {
		return tx.Error
	}
	defer func() {
		if err != nil && !errors.As(err, new(*commitError)) {
			tx.Rollback() // the error that led here says more than a failing rollback
		}
	}()
	counters, err := lockCounters(tx, group)
	if err != nil {
		return err
	}
	if err := hit(group, fault.Numbered); err != nil {
		return err
	}
	// In a statement of its own, after the wait for the counters: its snapshot sees what was committed meanwhile.
	if err := findExisting(tx, group); err != nil {
		return err
	}
	rows := number(group, counters)
	if len(rows) == 0 {
		tx.Rollback() // there is nothing to keep
		return nil
	}
	if err := writeRows(tx, rows, counters); err != nil {
		return err
	}
	if err := hit(rows, fault.Written); err != nil {
		return err
	}
	if err := tx.Commit().Error; err != nil {
		return &commitError{cause: err}
	}
	for _, w := range rows {
		w.inserted = invoice.Insertion{Created: w.made}
	}
	return nil
}

// counters are the locked counters of the slots, by series and period.
type counters map[[2]string]*counterRow

type counterRow struct {
	Series, Period, Kind string
	LastNumber           int64
	advanced             bool
}

func slotKey(slot invoice.Slot) [2]string { return [2]string{slot.Series, slot.Period} }

// lockCounters locks the counters of all members' slots until the transaction ends, in one order for all writers. With
// them, it locks the members' ends: what else is written about how these jobs ended waits, and sees this transaction's. A
// member whose slot holds the other kind of document gets its error.
func lockCounters(tx *gorm.DB, group []*write) (counters, error) {
	jobIDs := make([]string, len(group))
	slots := make(map[[2]string]invoice.Slot)
	for i, w := range group {
		jobIDs[i] = w.draft.JobID
		slots[slotKey(w.draft.Slot)] = w.draft.Slot
	}
	order := slices.SortedFunc(maps.Keys(slots), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	series, periods, kinds := make([]string, len(order)), make([]string, len(order)), make([]string, len(order))
	for i, key := range order {
		series[i], periods[i], kinds[i] = key[0], key[1], string(slots[key].Kind)
	}
	found := make(counters)
	lock := func() error {
		var rows []counterRow
		err := tx.Raw(`
SELECT series, period, kind, last_number, (
    SELECT count(pg_advisory_xact_lock(job)) FROM (SELECT DISTINCT hashtextextended(id, 0) AS job FROM unnest(?::text[]) AS id ORDER BY 1) AS ends
) AS locked
FROM invoicer.invoice_series WHERE (series, period) IN (SELECT * FROM unnest(?::text[], ?::text[])) ORDER BY series, period FOR NO KEY UPDATE`,
			&jobIDs, &series, &periods).Scan(&rows).Error
		for i := range rows {
			found[[2]string{rows[i].Series, rows[i].Period}] = &rows[i]
		}
		return err
	}
	if err := lock(); err != nil {
		return nil, err
	}
	if len(found) < len(order) {
		err := tx.Exec(`INSERT INTO invoicer.invoice_series (series, period, kind) SELECT * FROM unnest(?::text[], ?::text[], ?::text[])
ON CONFLICT (series, period) DO NOTHING`, &series, &periods, &kinds).Error
		if len(group) == 1 && violates(err, "invoice_series_one_kind") {
			return nil, otherKind(group[0].draft.Slot)
		}
		if err != nil {
			return nil, err
		}
		if err := lock(); err != nil {
			return nil, err
		}
	}
	for _, w := range group {
		counter, ok := found[slotKey(w.draft.Slot)]
		if !ok {
			return nil, fmt.Errorf("series %s has no counter: run `invoicer audit`", w.draft.Slot.Series)
		}
		if counter.Kind != string(w.draft.Slot.Kind) {
			w.err = otherKind(w.draft.Slot)
		}
	}
	return found, nil
}

func otherKind(slot invoice.Slot) error {
	return &invoice.InvalidError{Problems: []invoice.Problem{{
		Field:   "series",
		Message: fmt.Sprintf("%s holds the other kind of document, and this is of kind %s; a series holds one kind: send another series", slot.Series, slot.Kind),
	}}}
}

// findExisting tells each member what exists of its transaction and key, and which row of the ledger its job has.
func findExisting(tx *gorm.DB, group []*write) error {
	transactions, keys, jobIDs := make([]string, len(group)), make([]string, len(group)), make([]string, len(group))
	for i, w := range group {
		transactions[i], keys[i], jobIDs[i] = w.draft.Job.TransactionID, w.draft.Job.IdempotencyKey, w.draft.JobID
	}
	var rows []struct {
		Member, ID, LedgerID                                             int64
		InvoiceNumber, TransactionID, IdempotencyKey, JobID, Fingerprint string
	}
	err := tx.Raw(`
SELECT member, found.*
FROM unnest(?::text[], ?::text[], ?::text[]) WITH ORDINALITY AS asked (asked_transaction, asked_key, asked_job, member), LATERAL (
    SELECT id, invoice_number, transaction_id, idempotency_key, job_id, fingerprint, 0 AS ledger_id FROM invoicer.invoices WHERE transaction_id = asked_transaction
    UNION ALL
    SELECT id, invoice_number, transaction_id, idempotency_key, job_id, fingerprint, 0 FROM invoicer.invoices WHERE idempotency_key = asked_key
    UNION ALL
    SELECT 0, '', '', '', '', '', id FROM invoicer.invoice_jobs WHERE job_id = asked_job AND transaction_id = asked_transaction
) found`,
		&transactions, &keys, &jobIDs).Scan(&rows).Error
	if err != nil {
		return err
	}
	for _, r := range rows {
		w := group[r.Member-1]
		if r.LedgerID != 0 {
			w.ledgerID = r.LedgerID
			continue
		}
		found := &invoice.Invoice{
			ID: r.ID, Number: r.InvoiceNumber, TransactionID: r.TransactionID, IdempotencyKey: r.IdempotencyKey,
			JobID: r.JobID, Fingerprint: r.Fingerprint,
		}
		if r.TransactionID == w.draft.Job.TransactionID {
			w.inserted.Existing.OfTransaction = found
		}
		if r.IdempotencyKey == w.draft.Job.IdempotencyKey {
			w.inserted.Existing.OfKey = found
		}
	}
	return nil
}

// number gives the next numbers to those members that are to be written, in their order, and returns them.
func number(group []*write, locked counters) []*write {
	var rows []*write
	for _, w := range group {
		if w.err != nil || w.inserted.Existing != (invoice.Existing{}) {
			continue
		}
		counter := locked[slotKey(w.draft.Slot)]
		counter.LastNumber++
		counter.advanced = true
		w.number = counter.LastNumber
		w.made = &invoice.Invoice{
			Number: w.draft.InvoiceNumber(w.number), TransactionID: w.draft.Job.TransactionID, IdempotencyKey: w.draft.Job.IdempotencyKey,
			JobID: w.draft.JobID, Fingerprint: w.draft.Fingerprint,
		}
		rows = append(rows, w)
	}
	return rows
}

// settle finds out what became of a commit whose reply was lost. While nobody can tell, the answer is
// [invoice.ErrUnavailable]: the next attempt waits for the counter, which an unfinished commit still holds, and then
// sees what is true.
func (s *Store) settle(ctx context.Context, group []*write, lost *commitError) {
	if answered(lost) {
		for _, w := range group {
			w.err = lost
		}
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.CommitCheckTimeout)
	defer cancel()
	for _, w := range group {
		w.inserted = invoice.Insertion{}
	}
	err := s.fresh(func(db *gorm.DB) error { return findExisting(db.WithContext(ctx), group) })
	for _, w := range group {
		if w.err != nil {
			continue
		}
		there := w.inserted.Existing
		switch own := there.OfTransaction; {
		case err != nil:
			w.err = &unavailableError{cause: fmt.Errorf("the outcome of the commit is unknown: %w", errors.Join(lost, err))}
		case own != nil && w.made != nil && own.JobID == w.draft.JobID && own.Fingerprint == w.draft.Fingerprint:
			w.inserted = invoice.Insertion{Created: own}
		case there != (invoice.Existing{}):
			w.inserted.Raced = w.made != nil
		default:
			w.err = &unavailableError{cause: fmt.Errorf("the commit did not happen, or not yet: %w", lost)}
		}
	}
}
