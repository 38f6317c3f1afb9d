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

	// ErrBrokenOff marks an [ErrUnavailable] of what was under way at a server when another one was found to have taken its place: the
	// next attempt reaches that one.
	ErrBrokenOff = errors.New("broken off, since another server is the primary now")

	// ErrHeld marks an [ErrUnavailable] that concerns only some drafts: another open transaction holds a row that
	// they need, such as the counter of their series. Other drafts can be written meanwhile.
	ErrHeld = errors.New("held by another transaction")

	// ErrEnded says that another end is already recorded under the job id and stays: a good end, or the end of
	// another transaction's job, if a foreign producer used the same id twice.
	ErrEnded = errors.New("the job id stands for another end already")

	// ErrNotAccepted says that the ledger has no such job, if only jobs of the ledger are allowed.
	ErrNotAccepted = errors.New("the ledger has no such job")

	// ErrNotInvoiced says that the database holds no invoice for the transaction, and no import.
	ErrNotInvoiced = errors.New("not invoiced")
)

// A Request is one job together with its identity, which stays the same over retries, requeues and replays.
type Request struct {
	JobID       string
	Attempt     int // which run of the job this is, beginning with 1
	Job         *Job
	Fingerprint string  // of Job
	Totals      *Totals // of Job, if they are known; else [Generator.Generate] calculates them

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
	Request  // with totals
	Slot     Slot
	Series   *Series   // the settings by which the slot was chosen
	Settings *Settings // by which it was placed

	// Judged is what was known of the seller when the draft was judged by a profile; nil if it wasn't, or if that didn't matter.
	Judged *KnownIssuer
}

// Existing holds the invoices that the database has for a transaction and for an idempotency key, its own or imported
// ones, nil if there is none.
type Existing struct {
	OfTransaction *Ref
	OfKey         *Ref
}

// Asked is what [Store.FindAll] looks for.
type Asked struct{ Issuer, TransactionID, IdempotencyKey string }

// An Insertion is the result of inserting a draft: either Created is set, or Existing holds the invoices that
// prevented it.
type Insertion struct {
	Created  *Ref
	Numbered Numbered // the number of a draft that was created
	// Remembered is closed once the number of a draft that was created is remembered outside of the database, or can't be; nil if nobody
	// remembers.
	Remembered <-chan struct{}
	Existing   Existing
	Since      time.Duration // since the ledger accepted the job of a draft that was created, 0 if it didn't
	Raced      bool          // nothing was in the way at first, and a unique violation revealed another writer
}

// Books are what has to be known before a document is placed.
type Books interface {
	SettingsBook
	SeriesBook
	CreditBook
	Judge
}

// A Store keeps invoices. It returns [ErrUnavailable] if the same call may succeed later, and [*InvalidError] if the
// draft can never be stored. Any other error is an unforeseen fault.
type Store interface {
	Books

	// Insert stores the draft under the next number of its slot, or returns the invoices that prevent it. It may be
	// called again after any error: a draft is never stored twice, and no number is skipped. It returns [ErrSettingsChanged] if the
	// draft was placed by settings that don't hold any more, [*OtherPeriodError] if its day of issue lies in another period, and
	// [*InvalidError] if its date isn't allowed by the database's clock, or if it can't credit or replace what it names.
	Insert(ctx context.Context, d *Draft) (Insertion, error)
	// Find returns the committed invoices of an issuer's transaction and of an idempotency key.
	Find(ctx context.Context, issuer, transactionID, idempotencyKey string) (Existing, error)
	// FindAll is Find for many at once, in the order of what is asked.
	FindAll(ctx context.Context, asked []Asked) ([]Existing, error)
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
	Differs []string // of a conflict: the fields whose content differs; of a duplicate: those that settings ignore
	Detail  string   // of a conflict: one sentence, without any content

	// Series is that of an invoice that was made by this call, and Numbered its number. Remembered is as in [Insertion].
	Series     SeriesID
	Numbered   Numbered
	Remembered <-chan struct{}

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

// maxPlacings bounds how often a draft is placed anew because settings change.
const maxPlacings = 10

// Generate makes the transaction's invoice, or returns why there is none to make. The result rests on committed data
// only. It returns a [*PausedError] while the series takes no documents, and a [*CreditWaitsError] while a document that this one needs
// isn't made.
func (g *Generator) Generate(ctx context.Context, r Request) (Result, error) {
	if r.Totals == nil {
		totals, err := r.Job.Calculate()
		if err != nil {
			return Result{}, err
		}
		r.Totals = &totals
	}
	var elsewhere *OtherPeriodError
	for placings := 1; ; placings++ {
		result, err := g.insert(ctx, r, elsewhere)
		elsewhere = nil // under other settings, the period may have another form
		if again := errors.As(err, &elsewhere) || errors.Is(err, ErrSettingsChanged); !again || placings == maxPlacings {
			return result, err
		}
	}
}

// insert inserts the draft. If the day of issue was found to lie elsewhere, the draft is placed in that period.
func (g *Generator) insert(ctx context.Context, r Request, elsewhere *OtherPeriodError) (Result, error) {
	settings, err := g.settings(ctx, r.Job)
	if err != nil {
		return Result{}, err
	}
	slot, series, closed, err := g.place(ctx, r.Job, r.Totals.Kind, settings, false)
	if err != nil {
		return Result{}, err
	}
	var judged *KnownIssuer
	if closed == nil {
		judged, closed, err = g.judge(ctx, r.Job, settings, series)
	}
	if err == nil && closed == nil {
		closed, err = g.refused(ctx, r.Job, r.Totals, settings, false)
	}
	if err != nil {
		return Result{}, err
	}
	if closed != nil {
		return g.decideClosed(ctx, r, closed)
	}
	if elsewhere != nil && series.Date == DateIssue {
		slot.Period = elsewhere.Period
	}
	inserted, err := g.store.Insert(ctx, &Draft{Request: r, Slot: slot, Series: series, Settings: settings, Judged: judged})
	if err != nil {
		return Result{}, err
	}
	if inserted.Created != nil {
		return Result{Outcome: Created, Invoice: inserted.Created, Series: series.ID(), Numbered: inserted.Numbered, Remembered: inserted.Remembered, Since: inserted.Since, Recorded: true}, nil
	}
	reason := AlreadyInvoiced
	if inserted.Raced {
		reason = LostRace
	}
	return g.decide(ctx, r, inserted.Existing, reason)
}

// refused returns why a new document must not be made, nil if it may; err is any other error. If dry, what it waits for may be made later.
func (g *Generator) refused(ctx context.Context, j *Job, totals *Totals, settings *Settings, dry bool) (refused, err error) {
	if refused := checkZero(totals, settings); refused != nil {
		return refused, nil
	}
	if err = g.checkCredit(ctx, j, totals, settings, dry); err == nil {
		err = g.checkReplaced(ctx, j, settings, dry)
	}
	if errors.As(err, new(*InvalidError)) || errors.As(err, new(*CreditWaitsError)) {
		return err, nil
	}
	return nil, err
}

// settings returns the settings of the job's issuer, or an [*InvalidError] if there is no such issuer.
func (g *Generator) settings(ctx context.Context, j *Job) (*Settings, error) {
	settings, err := g.store.Settings(ctx, j.Issuer)
	if errors.Is(err, ErrNoIssuer) {
		err = NoIssuer(j.Issuer)
	}
	return settings, err
}

// place returns the slot in which a job's document is counted, and the series' settings by which it was chosen. The kind is the
// one that [Job.Calculate] returns. The job must be valid. closed is the error of a new document, if the series takes none now. A
// series without settings gets the first ones, unless dry.
func (g *Generator) place(ctx context.Context, j *Job, kind Kind, settings *Settings, dry bool) (_ Slot, series *Series, closed, err error) {
	name, made := g.numbering.SeriesOf(j.Series, kind)
	id := SeriesID{j.Issuer, name}
	if made {
		if err := g.holdsInvoices(ctx, SeriesID{j.Issuer, j.Series}); err != nil {
			return Slot{}, nil, nil, err
		}
	}
	series, err = g.store.Series(ctx, id)
	if errors.Is(err, ErrNoSeries) && settings.Strict {
		return Slot{}, nil, NotOpened(id), nil
	}
	if errors.Is(err, ErrNoSeries) {
		series, err = g.store.MakeSeries(ctx, g.numbering.First(id, kind), dry)
	}
	if errors.As(err, new(*InvalidError)) {
		return Slot{}, nil, err, nil // what is invoiced already, here or elsewhere, is no matter of the series
	}
	if err != nil {
		return Slot{}, nil, nil, err
	}
	if series.Kind != kind {
		return Slot{}, nil, nil, OtherKind(id, kind)
	}
	period, err := g.periodOf(series, j)
	if err != nil {
		return Slot{}, nil, nil, err
	}
	if err := series.begun(period); err != nil {
		return Slot{}, series, err, nil
	}
	switch series.State {
	case SeriesOpen:
	case SeriesPaused:
		closed = &PausedError{Series: id}
	case SeriesClosed:
		closed = &InvalidError{Problems: []Problem{{Field: "series", Message: id.String() + " is closed: send another series"}}}
	}
	return Slot{Issuer: j.Issuer, Series: name, Period: period, Kind: kind, Version: series.Version}, series, closed, nil
}

// periodOf returns the period in which the job's document is to be counted. If it is dated on its day of issue, the write decides,
// by the database's clock.
func (g *Generator) periodOf(series *Series, j *Job) (string, error) {
	if series.Date == DateIssue {
		_, period, err := series.DayOfIssue(time.Now(), nil)
		return period, err
	}
	return series.PeriodOf(j.IssuedAt)
}

// holdsInvoices returns an [*InvalidError] unless the series was opened for invoices, although its name looks like that of
// a credit-note series.
func (g *Generator) holdsInvoices(ctx context.Context, id SeriesID) error {
	series, err := g.store.Series(ctx, id)
	if errors.Is(err, ErrNoSeries) || err == nil && series.Kind != KindInvoice {
		return g.numbering.anotherSeries()
	}
	return err
}

// decideClosed decides about a request whose series takes no documents now: what is invoiced already is no matter of the
// series.
func (g *Generator) decideClosed(ctx context.Context, r Request, closed error) (Result, error) {
	existing, err := g.store.Find(ctx, r.Job.Issuer, r.Job.TransactionID, r.Job.IdempotencyKey)
	if err != nil {
		return Result{}, err
	}
	if existing == (Existing{}) {
		return Result{}, closed
	}
	return g.decide(ctx, r, existing, AlreadyInvoiced)
}

// Lookup decides about the request by one read of the database, without writing. It returns [ErrNotInvoiced] while
// the transaction is neither invoiced nor imported, even if the key already has another transaction's: the holder of the lock may still
// make the invoice.
func (g *Generator) Lookup(ctx context.Context, r Request, reason Reason) (Result, error) {
	existing, err := g.store.Find(ctx, r.Job.Issuer, r.Job.TransactionID, r.Job.IdempotencyKey)
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
	if known.Erased() && known.Issuer == r.Job.Issuer && known.TransactionID == r.Job.TransactionID && known.JobID != r.JobID {
		return decideErased(r, &known), nil
	}
	if known.Issuer == r.Job.Issuer && known.TransactionID == r.Job.TransactionID && known.Fingerprint == r.Fingerprint && known.JobID != r.JobID {
		return Result{Outcome: Duplicate, Invoice: &known, Reason: reason}, nil
	}
	return g.Lookup(ctx, r, reason)
}

// decide applies the rule for outcomes: the transaction's own invoice comes first, whatever its key; then the key's
// invoice.
func (g *Generator) decide(ctx context.Context, r Request, e Existing, reason Reason) (Result, error) {
	switch own := e.OfTransaction; {
	case own != nil && own.Imported != nil:
		return decideImported(r, own, reason)
	case own != nil && own.Erased():
		return decideErased(r, own), nil
	case own != nil && own.Fingerprint != r.Fingerprint:
		return g.decideDiffering(ctx, r, own, reason)
	case own != nil && own.JobID == r.JobID:
		return Result{Outcome: Created, Invoice: own}, nil
	case own != nil:
		return Result{Outcome: Duplicate, Invoice: own, Reason: reason}, nil
	case e.OfKey != nil:
		if e.OfKey.Erased() {
			return Result{Outcome: Conflict, Invoice: e.OfKey, Differs: []string{"transaction_id"}, Detail: fmt.Sprintf(
				"idempotency_key %s belongs to transaction_id %s, invoiced as %s, whose personal data was erased, and this job asks for %s; send a key of its own, or none",
				e.OfKey.IdempotencyKey, e.OfKey.TransactionID, e.OfKey.Number, r.Job.TransactionID)}, nil
		}
		differs, elsewhere, err := g.differs(ctx, r, e.OfKey)
		if err != nil {
			return Result{}, err
		}
		return Result{Outcome: Conflict, Invoice: e.OfKey, Differs: shortened(differs), Detail: fmt.Sprintf(
			"idempotency_key %s belongs to transaction_id %s, invoiced %sas %s, and this job asks for %s (other content: %s); send a key of its own, or none%s",
			e.OfKey.IdempotencyKey, e.OfKey.TransactionID, e.OfKey.elsewhere(), e.OfKey.Number, r.Job.TransactionID, strings.Join(shortened(differs), ", "), elsewhere)}, nil
	default:
		return Result{}, fmt.Errorf("transaction_id %s: the store neither stored the draft nor found an invoice", r.Job.TransactionID)
	}
}

// decideErased decides about a transaction whose invoice was erased. Nothing is left to compare a content with, and the transaction is
// invoiced once.
func decideErased(r Request, own *Ref) Result {
	if own.JobID == r.JobID {
		return Result{Outcome: Created, Invoice: own}
	}
	return Result{Outcome: Duplicate, Invoice: own, Reason: AlreadyInvoiced}
}

// decideImported decides about a transaction that was invoiced elsewhere. What isn't known of that can't differ.
func decideImported(r Request, own *Ref, reason Reason) (Result, error) {
	differs, err := own.Imported.Differs(r.Job)
	if err != nil {
		return Result{}, err
	}
	if len(differs) == 0 {
		return Result{Outcome: Duplicate, Invoice: own, Reason: reason}, nil
	}
	return Result{Outcome: Conflict, Invoice: own, Differs: differs, Detail: fmt.Sprintf(
		"transaction_id %s was invoiced elsewhere as %s, with another %s; if the import is wrong, withdraw it (`invoicer import --withdraw`); if the new content is right, credit that invoice and ask under a new transaction_id",
		own.TransactionID, own.Number, strings.Join(differs, ", "))}, nil
}

// elsewhere is a word for texts about an import, "" for an invoice of this database.
func (r *Ref) elsewhere() string {
	if r.Imported == nil {
		return ""
	}
	return "elsewhere "
}
