package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// Imports holds the transactions that were invoiced elsewhere.
type Imports struct{ *core }

// importWait bounds each wait of an import for those who write invoices. Whoever wants to write one meanwhile waits behind
// the import, so it is short, and the import tries again.
const importWait = 50 * time.Millisecond

// Add imports those that the database doesn't have yet, in one transaction, and returns what became of each. At its end, while
// it is compared with the invoices and commits, no invoice can be written: so keep a batch small. After an error it is safe to
// add the same batch again. A dry run only reads.
func (s *Imports) Add(ctx context.Context, batch []invoice.Import, dryRun bool) ([]invoice.Addition, error) {
	until := time.Now().Add(s.options.LockTimeout)
	added, fresh := choose(batch, nil) // most often all are new: then there is no need to look
	look := dryRun
	for {
		if look {
			met, err := s.meet(ctx, batch)
			if err != nil {
				return nil, classify(err)
			}
			added, fresh = choose(batch, met)
		}
		if dryRun || len(fresh) == 0 {
			return added, nil
		}
		err := s.insert(ctx, fresh)
		busy := isCode(err, "55P03") || isCode(err, "40P01")
		switch taken := isCode(err, "23505") || violates(err, "issuer_known"); {
		case err == nil:
			return added, nil
		case !taken && !busy, time.Now().After(until):
			return nil, classify(err)
		case taken: // one of them is there, or of an issuer that isn't
			look = true
		}
		if !busy {
			continue
		}
		select {
		case <-time.After(importWait/4 + rand.N(importWait/2)): //nolint:gosec // jitter needs no secrecy
		case <-ctx.Done():
			return nil, classify(ctx.Err())
		}
	}
}

// insert writes a batch and commits it. The database refuses it if a member was invoiced or imported meanwhile.
func (s *Imports) insert(ctx context.Context, batch []*invoice.Import) error {
	var issuers, transactions, keys, numbers, currencies, totals, credited array
	issued := make([]*time.Time, len(batch)) // not as text: the two sides read the text of some years differently
	for i, one := range batch {
		issuers.text(one.Issuer)
		transactions.text(one.TransactionID)
		keys.text(one.IdempotencyKey)
		numbers.text(one.InvoiceNumber)
		currencies.optional(one.Currency)
		totals.amount(one.Total)
		credited.amount(one.CreditedTotal)
		if !one.IssuedAt.IsZero() {
			issued[i] = &one.IssuedAt
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.StatementTimeout)
	defer cancel()
	return begin(ctx, s.db, importWait, func(f *flight) error {
		written := false
		f.add(`INSERT INTO invoicer.imported_invoices (issued_at, issuer, transaction_id, idempotency_key, invoice_number, currency, total_minor, credited_total_minor)
SELECT * FROM unnest(?::timestamptz[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::bigint[], ?::bigint[])`,
			&issued, &issuers, &transactions, &keys, &numbers, &currencies, &totals, &credited).Exec(func(pgconn.CommandTag) error {
			f.forgetWarning() // any warning from here on belongs to COMMIT
			written = true
			return nil
		})
		return f.commit(ctx, &written)
	})
}

// What an import may meet, all of its issuer.
const (
	metNoIssuer    = "no issuer"       // its own
	metImport      = "import"          // of its transaction
	metImportedKey = "import of key"   // another transaction's
	metInvoice     = "invoice"         // of its transaction
	metInvoicedKey = "invoice of key"  // another transaction's
	metPrinted     = "printed invoice" // with its number
	metPrintable   = "series"          // that could still print its number
)

// A metRow is what an import has met.
type metRow struct {
	Member             int
	What               string
	TransactionID      string // the series' name, if one could still print the number
	InvoiceNumber      string
	IdempotencyKey     string
	Currency           *string
	TotalMinor         *int64
	CreditedTotalMinor *int64
	IssuedAt           *time.Time
}

func (r *metRow) imported() invoice.Import {
	i := invoice.Import{
		TransactionID: r.TransactionID, InvoiceNumber: r.InvoiceNumber, IdempotencyKey: r.IdempotencyKey,
		Currency: text(r.Currency), Total: r.TotalMinor, CreditedTotal: r.CreditedTotalMinor,
	}
	if r.IssuedAt != nil {
		i.IssuedAt = *r.IssuedAt
	}
	return i
}

// choose returns what becomes of each import by what it has met, and by the ones before it in the batch, and those that are
// to be inserted.
func choose(batch []invoice.Import, met []metRow) ([]invoice.Addition, []*invoice.Import) {
	added := make([]invoice.Addition, len(batch))
	for i := range met {
		member := met[i].Member - 1
		met[i].judge(&batch[member], &added[member])
	}
	fresh := make([]*invoice.Import, 0, len(batch))
	type id struct{ issuer, text string }
	byTransaction, byKey := make(map[id]*invoice.Import, len(batch)), make(map[id]*invoice.Import, len(batch))
	for i := range batch {
		one, a := &batch[i], &added[i]
		if a.Known || len(a.Problems) > 0 {
			continue
		}
		transaction, key := id{one.Issuer, one.TransactionID}, id{one.Issuer, one.IdempotencyKey}
		if before := byTransaction[transaction]; before != nil {
			a.Compare(one, before)
		} else if before := byKey[key]; before != nil {
			a.Refuse("idempotency_key", "belongs to transaction_id "+before.TransactionID+", which is imported")
		} else {
			byTransaction[transaction], byKey[key] = one, one
			fresh = append(fresh, one)
		}
	}
	return added, fresh
}

// judge tells an import what it has met.
func (r *metRow) judge(one *invoice.Import, a *invoice.Addition) {
	switch r.What {
	case metNoIssuer:
		a.Refuse("issuer", one.Issuer+" wasn't opened: `invoicer issuer open "+one.Issuer+"` opens it, `invoicer issuer list` shows those that are")
	case metImport:
		before := r.imported()
		a.Compare(one, &before)
	case metImportedKey:
		a.Refuse("idempotency_key", "belongs to transaction_id "+r.TransactionID+", which is imported")
	case metInvoice:
		a.Refuse("transaction_id", "is invoiced here already, as "+r.InvoiceNumber)
	case metInvoicedKey:
		a.Refuse("idempotency_key", "belongs to transaction_id "+r.TransactionID+", which is invoiced here as "+r.InvoiceNumber)
	case metPrinted:
		a.Refuse("invoice_number", "is the number of an invoice here, of transaction_id "+r.TransactionID)
	case metPrintable:
		a.Refuse("invoice_number", "could still be printed by series "+invoice.SeriesID{Issuer: one.Issuer, Name: r.TransactionID}.String()+": give the series a later first number or another format first (`invoicer series set`)")
	}
}

// meet returns what the batch's members meet, by their places from 1.
func (s *Imports) meet(ctx context.Context, batch []invoice.Import) (met []metRow, err error) {
	var issuers, transactions, keys, numbers array
	for i := range batch {
		issuers.text(batch[i].Issuer)
		transactions.text(batch[i].TransactionID)
		keys.text(batch[i].IdempotencyKey)
		numbers.text(batch[i].InvoiceNumber)
	}
	look := func(what, table, where string) string {
		facts := "NULL::text AS currency, NULL::bigint AS total_minor, NULL::bigint AS credited_total_minor, NULL::timestamptz AS issued_at"
		if table == "imported_invoices" {
			facts = "currency, total_minor, credited_total_minor, issued_at"
		}
		return "SELECT '" + what + "' AS what, transaction_id, invoice_number, idempotency_key, " + facts + " FROM invoicer." + table + " WHERE issuer = asked_issuer AND " + where
	}
	const active = "withdrawn_at IS NULL AND "
	const another = " AND transaction_id <> asked_transaction"
	statement := `
SELECT member, found.* FROM unnest(?::text[], ?::text[], ?::text[], ?::text[]) WITH ORDINALITY AS asked (asked_issuer, asked_transaction, asked_key, asked_number, member), LATERAL (` +
		strings.Join([]string{
			look(metImport, "imported_invoices", active+"transaction_id = asked_transaction"),
			look(metImportedKey, "imported_invoices", active+"idempotency_key = asked_key"+another),
			look(metInvoice, "invoices", "transaction_id = asked_transaction"),
			look(metInvoicedKey, "invoices", "idempotency_key = asked_key"+another),
			look(metPrinted, "invoices", "invoice_number = asked_number"+another),
		}, "\nUNION ALL\n") + `) AS found
UNION ALL
SELECT member, '` + metPrintable + `', printer, printed, '', NULL, NULL, NULL, NULL
FROM invoicer.still_printed(?::text[], ?::text[])
JOIN unnest(?::text[], ?::text[]) WITH ORDINALITY AS asked (asked_issuer, asked_number, member) ON asked_issuer = of_issuer AND asked_number = printed
UNION ALL
SELECT member, '` + metNoIssuer + `', '', '', '', NULL, NULL, NULL, NULL
FROM unnest(?::text[]) WITH ORDINALITY AS asked (asked_issuer, member)
WHERE asked_issuer <> '' AND NOT EXISTS (SELECT FROM invoicer.issuers WHERE issuers.issuer = asked_issuer)
ORDER BY member`
	err = s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Raw(statement, &issuers, &transactions, &keys, &numbers, &issuers, &numbers, &issuers, &numbers, &issuers).Scan(&met).Error
	})
	return met, err
}

// ErrNotImported says that no import of the transaction is there, or that it was withdrawn.
var ErrNotImported = errors.New("not imported")

// A Withdrawal is the result of [Imports.Withdraw].
type Withdrawal struct {
	Issuer        string `json:"issuer,omitempty"`
	TransactionID string `json:"transaction_id"`
	InvoiceNumber string `json:"invoice_number"`
	// Duplicates is how many jobs have ended as duplicates of it, and stay so; counted up to 1,000.
	Duplicates int `json:"duplicates"`
}

// Withdraw takes back the import of an issuer's transaction: from then on its jobs are invoiced. The import stays on record, and
// the duplicates that name it. Who did it is on record as well. issuer may be nil if only one issuer has such an import. Withdraw
// returns [ErrNotImported] if there is nothing to take back, and a [*report.AmbiguousError] if issuer is nil and several have one.
func (s *Imports) Withdraw(ctx context.Context, issuer *string, transactionID string, by ledger.Actor) (Withdrawal, error) {
	w := Withdrawal{TransactionID: transactionID}
	err := s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		var issuers []string
		err := tx.Raw(`SELECT issuer FROM invoicer.imported_invoices WHERE transaction_id = ? AND withdrawn_at IS NULL AND (?::text IS NULL OR issuer = ?)
ORDER BY issuer`, transactionID, issuer, issuer).Scan(&issuers).Error
		if err != nil {
			return err
		}
		if len(issuers) > 1 {
			return &report.AmbiguousError{ID: transactionID, Issuers: issuers}
		}
		if len(issuers) == 0 {
			return ErrNotImported
		}
		w.Issuer = issuers[0]
		var withdrawn []struct {
			ID            int64
			InvoiceNumber string
		}
		err = tx.Raw(`UPDATE invoicer.imported_invoices SET withdrawn_at = clock_timestamp(), withdrawn_by = ?, withdrawn_note = ?
WHERE issuer = ? AND transaction_id = ? AND withdrawn_at IS NULL RETURNING id, invoice_number`,
			storable(by.Name), nullable(storable(by.Note)), w.Issuer, transactionID).Scan(&withdrawn).Error
		if err != nil {
			return err
		}
		if len(withdrawn) == 0 {
			return ErrNotImported
		}
		w.InvoiceNumber = withdrawn[0].InvoiceNumber
		err = tx.Raw(`SELECT count(*) FROM (SELECT FROM invoicer.duplicate_attempts WHERE transaction_id = ? AND imported_id = ? LIMIT 1000) AS d`,
			transactionID, withdrawn[0].ID).Row().Scan(&w.Duplicates)
		if err != nil {
			return err
		}
		details := fmt.Sprintf("it was invoiced elsewhere as %s", w.InvoiceNumber)
		if w.Issuer != "" {
			details += ", by issuer " + w.Issuer
		}
		return tx.Exec("INSERT INTO invoicer.actions (action, subject, actor, note, details) VALUES ('withdraw import', ?, ?, ?, ?)",
			transactionID, storable(by.Name), nullable(storable(by.Note)), details).Error
	})
	return w, classify(err)
}
