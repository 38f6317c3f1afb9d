package postgres

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"invoicer/invoice"
	"invoicer/invoice/document"
)

// Documents keeps the documents that were handed out, and which are owed. Triggers write what is owed, and erase with an invoice what it
// has of documents.
type Documents struct{ *core }

// Configure has these formats be owed of each invoice from now on, and no other: the process that has started last decides.
func (s *Documents) Configure(ctx context.Context, formats []document.Format) error {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = string(f)
	}
	return classify(s.autocommit(ctx, func(db *gorm.DB) error { return db.Exec("SELECT invoicer.owe_formats(?)", textArray(names)).Error }))
}

// Read returns the invoice with that id, or [invoice.ErrNotInvoiced].
func (s *Documents) Read(ctx context.Context, invoiceID int64) (*invoice.Invoice, error) {
	return s.read(ctx, invoiceID)
}

const selectDocuments = `SELECT invoice_id, format, language, copy, content, size, sha256, renderer, rules, made_at, erased_at, coalesce(place, '') FROM invoicer.documents`

// Find returns the document of an invoice in a format and a language: the first one of its format for nil, in whichever language it is. It returns
// [document.ErrNone] if there is none yet, [document.ErrErased] if its bytes were erased, and [document.ErrAltered] if they aren't those that were
// handed out.
func (s *Documents) Find(ctx context.Context, invoiceID int64, format document.Format, language *string) (document.Kept, error) {
	kept, err := s.row(ctx, invoiceID, format, language)
	if err == nil {
		err = s.load(ctx, &kept)
	}
	return kept, err
}

// row is as Find, and leaves content that is outside of the database there.
func (s *Documents) row(ctx context.Context, invoiceID int64, format document.Format, language *string) (document.Kept, error) {
	query, args := selectDocuments+" WHERE invoice_id = $1 AND format = $2 AND NOT copy", []any{invoiceID, string(format)}
	if language != nil {
		query, args = selectDocuments+" WHERE invoice_id = $1 AND format = $2 AND language = $3", append(args, *language)
	}
	kept, err := scanDocument(s.sql.QueryRowContext(ctx, query, args...))
	if err == nil && kept.ErasedAt != nil {
		return kept, document.ErrErased
	}
	return kept, err
}

func scanDocument(row interface{ Scan(to ...any) error }) (k document.Kept, err error) {
	var hash []byte
	err = row.Scan(&k.InvoiceID, &k.Format, &k.Language, &k.Copy, &k.Content, &k.Size, &hash, &k.Renderer, &k.Rules, &k.MadeAt, &k.ErasedAt, &k.Place)
	if errors.Is(err, sql.ErrNoRows) {
		return k, document.ErrNone
	}
	copy(k.SHA256[:], hash)
	k.MadeAt = k.MadeAt.UTC()
	return k, classify(err)
}

// Of returns what was made of an invoice, without its content: the oldest first.
func (s *Documents) Of(ctx context.Context, invoiceID int64) ([]document.Kept, error) {
	rows, err := s.sql.QueryContext(ctx, strings.Replace(selectDocuments, "content,", "NULL,", 1)+" WHERE invoice_id = $1 ORDER BY id", invoiceID)
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	var all []document.Kept
	for rows.Next() {
		kept, err := scanDocument(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, kept)
	}
	return all, classify(rows.Err())
}

// Keep stores a document, unless the invoice has one of this format and language by then, and returns the one that it has: whoever is first decides.
// A trigger takes it off what is owed, unless it is a copy. Size, SHA256, MadeAt and Place are set here. It returns [document.ErrErased] for an
// invoice whose personal data was erased, and [document.ErrNone] for a second one of its format that is no copy.
//
// Bytes that go to a place outside of the database are there before the row is. Of a process that dies between, and of one whose document another
// one was first with, an object is left that was announced, and is deleted an hour later.
func (s *Documents) Keep(ctx context.Context, made document.Kept) (document.Kept, error) {
	made.SHA256 = sha256.Sum256(made.Content)
	inside, outside, err := s.put(ctx, &made)
	if err == nil {
		err = s.autocommit(ctx, func(db *gorm.DB) error {
			return db.Exec(`INSERT INTO invoicer.documents (invoice_id, format, language, copy, content, place, size, sha256, renderer, rules) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				made.InvoiceID, string(made.Format), made.Language, made.Copy, inside, outside, len(made.Content), made.SHA256[:], made.Renderer, made.Rules).Error
		})
	}
	if violates(err, "documents_not_erased") {
		return document.Kept{}, document.ErrErased
	}
	if err != nil {
		return document.Kept{}, classify(err)
	}
	kept, err := s.row(ctx, made.InvoiceID, made.Format, &made.Language)
	switch {
	case err != nil:
		return kept, err
	case kept.SHA256 == made.SHA256:
		kept.Content = made.Content
		return kept, nil
	}
	return kept, s.load(ctx, &kept)
}

// Claim returns documents that are to be made now, most at once, and keeps other processes from making the same for so long.
func (s *Documents) Claim(ctx context.Context, most int, lease time.Duration) ([]document.Owed, error) {
	var owed []document.Owed
	err := s.autocommit(ctx, func(db *gorm.DB) error {
		rows, err := db.Raw(`WITH due AS MATERIALIZED (
    SELECT invoice_id, format FROM invoicer.documents_owed WHERE due_at <= now() ORDER BY due_at, invoice_id, format LIMIT ? FOR UPDATE SKIP LOCKED
) UPDATE invoicer.documents_owed o SET attempts = attempts + 1, due_at = now() + ? * interval '1 second' FROM due
WHERE o.invoice_id = due.invoice_id AND o.format = due.format RETURNING o.invoice_id, o.format, o.attempts`, most, lease.Seconds()).Rows()
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var o document.Owed
			if err := rows.Scan(&o.InvoiceID, &o.Format, &o.Attempts); err != nil {
				return err
			}
			owed = append(owed, o)
		}
		return rows.Err()
	})
	return owed, classify(err)
}

// PutOff notes why a document couldn't be made, and when it is tried again.
func (s *Documents) PutOff(ctx context.Context, owed document.Owed, why error, again time.Duration) error {
	return classify(s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Exec("UPDATE invoicer.documents_owed SET error = ?, due_at = now() + ? * interval '1 second' WHERE invoice_id = ? AND format = ?",
			storable(why.Error()), again.Seconds(), owed.InvoiceID, string(owed.Format)).Error
	}))
}

// Backlog returns how many documents are owed, of these those that couldn't be made at the last attempt, and since when the oldest is; the zero
// time if none is owed.
func (s *Documents) Backlog(ctx context.Context) (owed, failing int, oldest time.Time, err error) {
	var since sql.NullTime
	err = s.sql.QueryRowContext(ctx, "SELECT count(*), count(error), min(since) FROM invoicer.documents_owed").Scan(&owed, &failing, &since)
	return owed, failing, since.Time, classify(err)
}

// Facts returns what is stored beside an invoice and stands on its document.
func (s *Documents) Facts(ctx context.Context, i *invoice.Invoice) (facts document.Facts, err error) {
	var zone string
	err = s.sql.QueryRowContext(ctx, `SELECT `+zoneOf+` FROM invoicer.invoices i WHERE i.id = $1`, i.ID).Scan(&zone)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return facts, classify(err)
	}
	if facts.Zone, err = time.LoadLocation(zone); err != nil {
		return facts, fmt.Errorf("invoice %s: time zone: %w", i.Number, err)
	}
	if i.IssuerVersion > 0 {
		if facts.Seller, _, err = s.seller(ctx, i.Issuer, i.IssuerVersion); err != nil {
			return facts, err
		}
	}
	if facts.Profile, err = s.judgedBy(ctx, i.ID); err != nil {
		return facts, err
	}
	replaced := ""
	if i.Terms != nil {
		replaced = i.Terms.ReplacesTransactionID
	}
	for _, id := range []string{i.CreditsTransactionID, replaced} {
		if id == "" {
			continue
		}
		var p document.Preceding
		var date sql.NullString // of one that was imported without
		err := s.sql.QueryRowContext(ctx, `SELECT invoice_number, to_char(`+dayOf+`, 'YYYY-MM-DD') FROM invoicer.invoices i WHERE issuer = $1 AND transaction_id = $2
UNION ALL SELECT invoice_number, to_char(issued_at AT TIME ZONE $3, 'YYYY-MM-DD') FROM invoicer.imported_invoices WHERE issuer = $1 AND transaction_id = $2 AND withdrawn_at IS NULL LIMIT 1`,
			i.Issuer, id, zone).Scan(&p.Number, &date)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			facts.Unknown = append(facts.Unknown, id)
		case err != nil:
			return facts, classify(err)
		default:
			p.Date = date.String
			facts.Preceding = append(facts.Preceding, p)
		}
	}
	return facts, nil
}

// zoneOf is the time zone in which the invoice i is dated: that in which its series counts periods, which says of which year its number is, and else its
// issuer's. dayOf is its date.
const (
	zoneOf = `coalesce(
    (SELECT z.timezone FROM invoicer.series z WHERE z.issuer = i.issuer AND z.series = i.series AND z.version <= greatest(i.series_version, 1) ORDER BY z.version DESC LIMIT 1),
    (SELECT z.timezone FROM invoicer.issuers z WHERE z.issuer = i.issuer AND z.version <= greatest(i.issuer_version, 1) ORDER BY z.version DESC LIMIT 1), 'UTC')`
	dayOf = `coalesce(i.document_date, (i.issued_at AT TIME ZONE ` + zoneOf + `)::date)`
)
