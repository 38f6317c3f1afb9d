// Package documents makes the documents that are asked for, and those that are owed of each invoice, and keeps them: whoever asks again gets
// the same bytes.
package documents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/document"
	"invoicer/invoice/document/pdf"
)

// A Store keeps invoices and documents. Its errors are those of [postgres.Documents].
type Store interface {
	// Read returns the invoice with that id, or [invoice.ErrNotInvoiced].
	Read(ctx context.Context, invoiceID int64) (*invoice.Invoice, error)
	Facts(ctx context.Context, i *invoice.Invoice) (document.Facts, error)
	Find(ctx context.Context, invoiceID int64, format document.Format, language *string) (document.Kept, error)
	Keep(ctx context.Context, made document.Kept) (document.Kept, error)
}

// A Write writes a document in its format, in the Language of the document, and by the rules of a profile: for [document.None] by those that are
// configured. isCopy says that it is to say that it is a copy. It returns the versions of the rules.
type Write func(d *document.Document, by document.Profile, isCopy bool) (content []byte, rules string, err error)

// A Maker makes documents, and keeps them.
type Maker struct {
	Store   Store
	Writers map[document.Format]Write
	// Version is the program's.
	Version string
	// Turns bound how many documents are made at once. Default: there is no bound.
	Turns *Turns
}

// ErrFormat says that nothing writes a format.
var ErrFormat = errors.New("documents: nothing writes this format")

// Get returns the document of an invoice: the original, if language is "", and else the one in that language, by [pdf.Spoken]. If there is none it
// is made and kept. The original is in the language that the job states, or in English, whoever asks first; in any other it is a copy, and says so.
//
// It returns [document.ErrErased] for an invoice whose personal data was erased, [invoice.ErrNotInvoiced] if there is no such invoice, a
// [*document.LanguageError] if no page speaks the language, a [*document.AwaitedError] while a transaction that it names has no invoice, a
// [*document.UnmadeError] if it can't be written so, [document.ErrBusy] if the Turns are taken, and [document.ErrMayNotKeep] if it would have
// to be made and may not be kept.
func (m *Maker) Get(ctx context.Context, invoiceID int64, format document.Format, language string) (kept document.Kept, err error) {
	for range 2 { // a process of another release may have made the original meanwhile, in another language: then this one is a copy
		if kept, err = m.get(ctx, invoiceID, format, language); !errors.Is(err, document.ErrNone) {
			break
		}
	}
	return kept, err
}

func (m *Maker) get(ctx context.Context, invoiceID int64, format document.Format, language string) (document.Kept, error) {
	if m.Writers[format] == nil {
		return document.Kept{}, fmt.Errorf("%w: %s", ErrFormat, format)
	}
	var asked *string
	if language = strings.TrimSpace(language); language != "" && format.HasLanguage() {
		spoken, err := pdf.Spoken(language)
		if err != nil {
			return document.Kept{}, err
		}
		asked = &spoken
	}
	kept, err := m.Store.Find(ctx, invoiceID, format, asked)
	if !errors.Is(err, document.ErrNone) {
		return kept, err
	}
	hasOriginal := false
	if asked != nil {
		switch _, err := m.Store.Find(ctx, invoiceID, format, nil); {
		case err == nil:
			hasOriginal = true
		case !errors.Is(err, document.ErrNone):
			return document.Kept{}, err
		}
	}
	i, facts, err := m.read(ctx, invoiceID)
	if err != nil {
		return document.Kept{}, err
	}
	if stated := i.Terms != nil && len(i.Terms.Preceding) > 0; len(facts.Unknown) > 0 && !stated { // without any number of that one it would be kept for ever
		id := facts.Unknown[0]
		return document.Kept{}, &document.AwaitedError{Number: i.Number, TransactionID: id, Credited: id == i.CreditsTransactionID}
	}
	made, err := m.made(ctx, i, facts, format, asked, hasOriginal)
	if err != nil {
		return document.Kept{}, err
	}
	kept, err = m.Store.Keep(ctx, made)
	if state := (interface{ SQLState() string })(nil); errors.As(err, &state) && state.SQLState() == insufficientPrivilege {
		return kept, document.ErrMayNotKeep
	}
	return kept, err
}

func (m *Maker) read(ctx context.Context, invoiceID int64) (*invoice.Invoice, document.Facts, error) {
	i, err := m.Store.Read(ctx, invoiceID)
	if err != nil {
		return nil, document.Facts{}, err
	}
	if i.Erased() {
		return nil, document.Facts{}, document.ErrErased
	}
	facts, err := m.Store.Facts(ctx, i)
	return i, facts, err
}

// Say returns what the documents of an invoice say. Its errors are those of [Maker.Get].
func (m *Maker) Say(ctx context.Context, invoiceID int64) (*document.Document, error) {
	i, facts, err := m.read(ctx, invoiceID)
	if err != nil {
		return nil, err
	}
	return document.Of(i, facts)
}

// insufficientPrivilege is the SQLSTATE of a missing right.
const insufficientPrivilege = "42501"

// made makes a document, in its turn: the original, unless another language than its own is asked for, or there is one. A panic of a writer is an error:
// a renderer's failure touches nothing else.
func (m *Maker) made(ctx context.Context, i *invoice.Invoice, facts document.Facts, format document.Format, asked *string, hasOriginal bool) (made document.Kept, err error) {
	end, err := m.Turns.take(ctx)
	if err != nil {
		return made, err
	}
	defer end()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("document %s as %s: panic: %v", i.Number, format, r)
		}
	}()
	d, err := document.Of(i, facts)
	if err != nil {
		return made, err
	}
	language := ""
	if format.HasLanguage() {
		language = "en" // also where the job states a language that no page speaks
		if spoken, err := pdf.Spoken(d.Language); err == nil {
			language = spoken
		}
	}
	isCopy := hasOriginal
	if asked != nil && (hasOriginal || *asked != language) {
		isCopy, language, d.Language = true, *asked, *asked
	}
	content, rules, err := m.Writers[format](d, facts.Profile, isCopy)
	if err != nil {
		return made, &document.UnmadeError{Number: i.Number, Format: format, Err: err}
	}
	made = document.Kept{InvoiceID: i.ID, Format: format, Language: language, Copy: isCopy, Content: content, Renderer: m.Version, Rules: rules}
	return made, nil
}

// Debts are the documents that are owed.
type Debts interface {
	Claim(ctx context.Context, most int, lease time.Duration) ([]document.Owed, error)
	PutOff(ctx context.Context, owed document.Owed, why error, again time.Duration) error
	Backlog(ctx context.Context) (owed, failing int, oldest time.Time, err error)
}

const (
	// lease is for how long another process leaves alone what this one is making.
	lease = time.Minute
	// batch is how many are claimed at once.
	batch = 16
	// seeing is how often the backlog is looked at.
	seeing = 15 * time.Second
	// idle is how long to wait where nothing is owed.
	idle = 2 * time.Second
	// longest bounds the pause after a failure.
	longest = 30 * time.Minute
	// madeWithin bounds the making of one document.
	madeWithin = 30 * time.Second
)

// A Worker makes what is owed, until its context ends: one document at a time, and with a pause as long as it took after each, so that invoices
// have the machine's time before documents.
type Worker struct {
	Maker  *Maker
	Debts  Debts
	Logger *slog.Logger
	// Made is called after each try, with its error. Default: nobody is told.
	Made func(owed document.Owed, took time.Duration, err error)
	// Seen is told now and then how many documents are owed, how many of these failed at the last attempt, and since when the oldest is. Default:
	// nobody is told.
	Seen func(owed, failing int, oldest time.Time)
}

// Run makes what is owed until ctx ends.
func (w *Worker) Run(ctx context.Context) {
	var seen time.Time
	for ctx.Err() == nil {
		if w.Seen != nil && time.Since(seen) >= seeing {
			seen = time.Now()
			w.see(ctx)
		}
		owed, err := w.Debts.Claim(ctx, batch, lease)
		if err != nil {
			w.Logger.DebugContext(ctx, "documents wait", "error", err)
		}
		for _, o := range owed {
			if ctx.Err() != nil {
				return // the rest is claimed again when its lease is over
			}
			begun := time.Now()
			w.make(ctx, o)
			if !pause(ctx, min(time.Since(begun), time.Second)) {
				return
			}
		}
		if len(owed) == 0 && !pause(ctx, idle) {
			return
		}
	}
}

// see tells of the backlog.
func (w *Worker) see(ctx context.Context) {
	if owed, failing, oldest, err := w.Debts.Backlog(ctx); err == nil {
		w.Seen(owed, failing, oldest)
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// make makes one. What fails is tried again, more and more rarely, and for ever: nothing that is owed is given up.
func (w *Worker) make(ctx context.Context, o document.Owed) {
	begun := time.Now()
	making, cancel := context.WithTimeout(ctx, madeWithin)
	defer cancel()
	_, err := w.Maker.Get(making, o.InvoiceID, o.Format, "")
	if w.Made != nil {
		w.Made(o, time.Since(begun), err)
	}
	switch {
	case err == nil, ctx.Err() != nil, errors.Is(err, document.ErrErased): // with what is erased goes what is owed of it
	default:
		again := backOff(o.Attempts)
		w.Logger.WarnContext(ctx, "a document can't be made: it is tried again", "invoice_id", o.InvoiceID, "format", string(o.Format), "attempt", o.Attempts, "again", again, "error", err)
		if err := w.Debts.PutOff(ctx, o, err, again); err != nil {
			w.Logger.DebugContext(ctx, "documents wait", "error", err)
		}
	}
}
