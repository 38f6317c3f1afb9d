package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"invoicer/internal/fault"
	"invoicer/internal/tracing"
	"invoicer/invoice"
)

// The constraints whose violation means that another writer was first, or an import.
const (
	transactionKey = "invoices_transaction_id_key"
	idempotencyKey = "invoices_idempotency_key_key"
	notImported    = "invoices_not_imported"
)

// commitError wraps an error of COMMIT after which it is unknown whether the transaction was committed.
type commitError struct{ cause error }

func (e *commitError) Error() string { return "commit: " + e.cause.Error() }
func (e *commitError) Unwrap() error { return e.cause }

// A write is a draft that is to be inserted, and the result.
type write struct {
	ctx   context.Context //nolint:containedctx // its caller may be gone by the time that it is tried, or tried again in a part of its group
	draft *invoice.Draft
	size  int // in bytes, estimated

	keys          [4]string         // by which others may hold what it needs: transaction, key, job, slot
	obstacle      obstacle          // why it wasn't written in its group
	accepted      bool              // whether the ledger has accepted its job
	ledgerID      int64             // of its job's row in the ledger, if it has one
	number        int64             // its own in the slot
	date          string            // its day of issue, "" if its issued_at is its date
	reserved      *reservation      // the number that is kept for its transaction
	made          *invoice.Ref      // the invoice to be written, once it has its number
	metadata      string            // as JSON
	terms         string            // what version 2 states, but for what a person may stand in, as JSON; "" for nothing
	parties       string            // the rest of it
	content       int64             // the hash by which twins are found; 0 for none
	issuerVersion int               // of what is known of the issuer, if that is the seller; else 0
	chain         string            // the link of the invoice to be written
	salt          []byte            // of its texts
	texts         invoice.Hash      // the salted hash of its texts
	since         time.Duration     // since the ledger accepted its job, 0 if it didn't
	asked         string            // when the ledger accepted its job, as text; "" if it didn't
	inserted      invoice.Insertion // the result
	err           error
}

func newWrite(ctx context.Context, d *invoice.Draft) *write {
	return &write{ctx: ctx, draft: d, size: sizeOf(d), content: d.Job.ContentHash(), keys: [...]string{
		"t" + d.Job.TransactionID + " " + d.Job.Issuer, "k" + d.Job.IdempotencyKey + " " + d.Job.Issuer, "j" + d.JobID, "s" + d.Slot.Series + " " + d.Slot.Period + " " + d.Slot.Issuer,
	}}
}

// apart returns the transaction, the key and the job. Of two drafts that share one of them, the second goes into a
// later transaction and finds what the first has written.
func (w *write) apart() []string { return w.keys[:3] }

func (w *write) reset() {
	w.obstacle, w.ledgerID, w.asked, w.since, w.made, w.reserved, w.inserted, w.err = none, 0, "", 0, nil, nil, invoice.Insertion{}, nil
}

func (w *write) weigh() int { return w.size }

// sizeOf estimates the bytes that a draft takes in a statement.
func sizeOf(d *invoice.Draft) int {
	n := 1000
	if d.Job.Terms != nil {
		n += 4000
	}
	for key, value := range d.Job.Metadata {
		n += len(key) + len(value)
	}
	n += d.Job.DetailsSize()
	for i := range d.Job.Lines {
		n += 400 + len(d.Job.Lines[i].SKU) + len(d.Job.Lines[i].Description)
		if d.Job.Lines[i].Terms != nil {
			n += 400
		}
	}
	return n
}

// Insert implements [invoice.Store]. One transaction commits the number, the invoice with its lines and taxes, and
// the end of the job in the ledger's row. Drafts that arrive while a transaction is under way share the next one; a
// draft that can't be written doesn't affect the others. If the reply to COMMIT is lost, Insert checks on a fresh
// connection whether the draft was committed.
func (s *Invoices) Insert(ctx context.Context, d *invoice.Draft) (invoice.Insertion, error) {
	ctx, span := s.options.Tracer.Start(ctx, "write invoice", "transaction_id", d.Job.TransactionID)
	defer span.End()
	w := newWrite(ctx, d)
	if err := s.lanes.pass(ctx, w); err != nil {
		span.Fail(err)
		return invoice.Insertion{}, classify(err)
	}
	if w.err == nil && w.inserted.Created != nil {
		span.Set("invoice_number", w.inserted.Created.Number)
	}
	switch err := w.err; {
	case err == nil:
		return w.inserted, nil
	case errors.Is(err, invoice.ErrSettingsChanged), violates(err, "invoices_series_version"), violates(err, "invoices_settings_version"):
		s.series.forget(d.Series.ID())
		s.settings.forget(d.Slot.Issuer)
		return invoice.Insertion{}, invoice.ErrSettingsChanged
	case violates(err, transactionKey), violates(err, idempotencyKey), violates(err, notImported):
		existing, findErr := s.Find(ctx, d.Job.Issuer, d.Job.TransactionID, d.Job.IdempotencyKey)
		if findErr != nil {
			return invoice.Insertion{}, findErr
		}
		return invoice.Insertion{Existing: existing, Raced: true}, nil
	case violates(err, "invoices_series_period_number_key"), violates(err, "invoices_invoice_number_key"):
		return invoice.Insertion{}, fmt.Errorf("series %s: the next number is taken already, so invoice_series.last_number or the series' format doesn't fit what is stored: run `invoicer audit`: %w", d.Slot.Series, err)
	case violates(err, "invoices_dates"):
		return invoice.Insertion{}, &invoice.InvalidError{Replayable: true, Problems: []invoice.Problem{{Field: "issued_at", Message: message(err)}}}
	case violates(err, "invoices_credits"):
		return invoice.Insertion{}, refusedCredit(err, d.Job.Currency)
	case violates(err, "invoices_replaces"):
		return invoice.Insertion{}, refusedReplacement(err, d.Job.Replaces())
	case violates(err, "invoices_number_not_imported"):
		return invoice.Insertion{}, fmt.Errorf("series %s: an imported invoice has the next number: withdraw that import (`invoicer status NUMBER` shows whose it is), or send another series: %w", d.Slot.Series, err)
	default:
		return invoice.Insertion{}, classify(err)
	}
}

// maxDeadlocks bounds how often a group is tried again after a deadlock.
const maxDeadlocks = 3

// A manner is how a group deals with locks that others hold.
type manner struct {
	wait    time.Duration // bounds the wait for any lock
	patient bool          // waits for counters, instead of skipping those that are held
	jobs    bool          // waits for the locks of jobs' ends, instead of skipping them
	create  bool          // creates the counter; all members have the same slot
	final   bool          // a wait that times out is the members' error
	sorting bool          // some member is known to block when it is written
}

// whenWriting returns how long writing the rows may wait for locks. It is short, since the counters are held
// meanwhile.
func (m manner) whenWriting() time.Duration {
	if m.sorting {
		return min(m.wait, sortingWait)
	}
	return min(m.wait, shortWait)
}

// write sets every member's result, error or obstacle. If the database refuses the group, write tries its halves, so
// that a refused draft is soon alone and the others are still written together.
func (s *Invoices) write(ctx context.Context, group []*write, m manner) {
	defer func() {
		if p := recover(); p != nil {
			for _, w := range group {
				w.err = fmt.Errorf("panic while invoices were written: %T", p) // its text may quote a job
			}
		}
	}()
	for deadlocks, looks := 0, 0; len(group) > 0; {
		err := s.writeTogether(ctx, group, m)
		var lost *commitError
		var held *heldError
		var moved *movedError
		switch {
		case err == nil:
			return
		case errors.As(err, &lost):
			s.settle(ctx, group, lost)
			return
		case isCode(err, "40P01") && deadlocks < maxDeadlocks:
			deadlocks++
		case errors.As(err, &held) && !m.final:
			s.sortOut(ctx, group, m, held)
			return
		case errors.As(err, &moved) && looks < maxLooks:
			if err := s.look(ctx, moved); err != nil {
				for _, w := range group {
					w.err = err
				}
				return
			}
			looks++
		case len(group) == 1, outage(err):
			for _, w := range group {
				w.err = err
			}
			return
		default:
			s.halve(ctx, group, m)
			return
		}
	}
}

func (s *Invoices) halve(ctx context.Context, group []*write, m manner) {
	group = present(group)
	s.write(ctx, group[:len(group)/2], m)
	s.write(ctx, group[len(group)/2:], m)
}

// writeTogether writes a group in one transaction, which takes two round trips whatever the group's size: one locks
// and finds, one writes and commits. For each member, either its row is written, or it sets inserted to what exists,
// or err to why the draft can't be written, or obstacle to what it has to wait for. If writeTogether returns an
// error, nothing is decided about any member; after a [*commitError] it is unknown what was committed.
func (s *Invoices) writeTogether(ctx context.Context, group []*write, m manner) (err error) {
	lane := s.counts.take()
	defer func() { s.counts.put(lane, err) }()
	ctx, cancel := context.WithTimeout(ctx, s.options.StatementTimeout+s.options.LockTimeout)
	defer cancel()
	for _, w := range group {
		w.reset()
	}
	ctx, span := tracing.Together(ctx, s.options.Tracer, "write group", group, func(w *write) context.Context { return w.ctx })
	defer func() {
		span.Fail(err)
		span.End()
	}()
	return begin(ctx, s.db, m.wait, func(f *flight) error {
		locked, err := s.lockAndFind(ctx, f, group, m)
		if err != nil {
			return asHeld(err, false)
		}
		if err := s.server.check(locked); err != nil {
			return err
		}
		if err := findReserved(ctx, f, group, locked); err != nil {
			return err
		}
		rows := number(group, locked)
		if len(rows) == 0 {
			return nil // nothing was written
		}
		if err := linkLate(ctx, f, locked); err != nil {
			return asHeld(err, false)
		}
		return asHeld(s.writeAndCommit(ctx, f, rows, lane, locked, m), true)
	})
}

func (s *Invoices) lockAndFind(ctx context.Context, f *flight, group []*write, m manner) (counters, error) {
	found := make(counters)
	together := s.options.Fault == nil // else a fault point lies in between
	lock := func() error {
		addJobLocks(f, group, m.jobs)
		addLock(f, group, m.patient, found)
		if together {
			// Its snapshot is taken after the wait for the counters: it sees what was committed meanwhile.
			addFind(f, group)
			addHeads(f, group, found)
		}
		if err := f.send(ctx); err != nil {
			return err
		}
		place(group, found)
		return nil
	}
	if err := lock(); err != nil {
		return nil, err
	}
	if m.create && len(found) == 0 {
		for _, w := range group {
			w.reset()
		}
		addCreate(f, group)
		if err := lock(); len(group) == 1 && violates(err, "invoice_series_one_kind") {
			return nil, invoice.OtherKind(group[0].draft.Series.ID(), group[0].draft.Slot.Kind)
		} else if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("series %s has no counter: run `invoicer audit`", group[0].draft.Slot.Series)
		}
	}
	if together {
		return found, nil
	}
	if slices.ContainsFunc(group, func(w *write) bool { return w.obstacle == none }) {
		if err := s.options.Fault.Hit(ctx, fault.Numbered); err != nil {
			return nil, err
		}
	}
	addFind(f, group)
	addHeads(f, group, found)
	return found, f.send(ctx)
}

func (s *Invoices) writeAndCommit(ctx context.Context, f *flight, rows []*write, lane int64, locked counters, m manner) error {
	f.addJudged(min(m.wait, m.whenWriting()))
	if err := addLinks(rows, locked, s.options.Version); err != nil {
		return err
	}
	written := false
	if err := s.addWrite(f, rows, lane, locked, func() { written = true }); err != nil {
		return err
	}
	if s.options.Fault != nil {
		if err := f.send(ctx); err != nil {
			return err
		}
		if err := s.options.Fault.Hit(ctx, fault.Written); err != nil {
			return err
		}
	}
	if err := f.commit(ctx, &written); err != nil {
		return err
	}
	s.options.Wrote(len(rows))
	remembered := s.remember(ctx, rows)
	for _, w := range rows {
		w.inserted = invoice.Insertion{Created: w.made, Since: w.since, Numbered: w.numbered(), Remembered: remembered}
	}
	s.server.wrote(locked)
	return nil
}

// number gives the next numbers to the members that are to be written, in their order, and returns these members.
func number(group []*write, locked counters) []*write {
	var rows []*write
	for _, w := range group {
		if w.err != nil || w.inserted.Existing != (invoice.Existing{}) {
			w.obstacle = none
		}
		if w.err != nil || w.inserted.Existing != (invoice.Existing{}) || w.obstacle != none {
			continue
		}
		counter := locked[slotKey(w.draft.Slot)]
		if w.err = w.draft.Settings.CheckDate(w.draft.Job.IssuedAt, counter.clock); w.err != nil {
			continue
		}
		if judged := w.draft.Judged; judged != nil && judged.Version != counter.issuerVersion {
			w.err = invoice.ErrSettingsChanged // of the seller, by whose facts the draft was judged
			continue
		}
		if w.reserved != nil {
			w.number, w.date = w.reserved.number, w.reserved.date
		} else {
			counter.lastNumber++
			counter.advanced = true
			w.number, w.date = counter.lastNumber, counter.dateText()
		}
		w.made = &invoice.Ref{
			Number: counter.print(w.number), Issuer: w.draft.Slot.Issuer, TransactionID: w.draft.Job.TransactionID, IdempotencyKey: w.draft.Job.IdempotencyKey,
			JobID: w.draft.JobID, Fingerprint: w.draft.Fingerprint,
		}
		rows = append(rows, w)
	}
	return rows
}
