package audit

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/seals"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// A ForeignFolderError says that the seals of a folder are of another database.
type ForeignFolderError struct{ Sealed, Database string }

func (e *ForeignFolderError) Error() string {
	return fmt.Sprintf("the seals in the folder are of database %s, and this is %s: name another folder or another database", e.Sealed, e.Database)
}

// A BackwardError says that invoices which were sealed aren't there, or aren't what they were, so that no seal can follow.
type BackwardError struct{ Heads []seals.Head }

func (e *BackwardError) Error() string {
	var list []string
	for _, h := range e.Heads[:min(len(e.Heads), 5)] {
		name := invoice.SeriesID{Issuer: h.Issuer, Name: h.Series}.String()
		if h.Period != "" {
			name += ", period " + h.Period
		}
		list = append(list, fmt.Sprintf("series %s at number %d", name, h.Number))
	}
	if more := len(e.Heads) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return "sealed invoices are gone or were changed: " + strings.Join(list, "; ") + ": run `invoicer audit --seals` with this folder; " +
		"after a database was restored on purpose, begin a new folder"
}

// sealedTables are the tables that a seal is about.
func sealedTables() []string {
	return []string{"invoices", "invoice_lines", "invoice_taxes", "invoice_links", "invoice_series", "database_identity"}
}

// Seal hands the invoices that came since the folder's last seal to the writer, from one snapshot, and then calls commit with the
// database's id and the time of the snapshot. Without new invoices it doesn't call commit. Of the options it uses URL, Schema and
// Progress.
//
// It returns a [*ForeignFolderError] or a [*BackwardError] if the folder's seals don't fit the database.
func Seal(ctx context.Context, o Options, folder *seals.Folder, w *seals.Writer, commit func(ctx context.Context, s Snapshot) error) (err error) {
	o.setDefaults()
	s, err := begin(ctx, o, sealedTables())
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	defer func() { err = errors.Join(err, s.end(ctx)) }()
	id, err := s.databaseID(ctx)
	if err != nil {
		return err
	}
	if sealed := folder.Database(); sealed != "" && sealed != id {
		return &ForeignFolderError{sealed, id}
	}
	if err := s.comparesHeads(ctx, folder.Heads()); err != nil {
		return err
	}
	slots, err := s.slots(ctx)
	if err != nil {
		return err
	}
	snapshot := Snapshot{Database: id, TakenAt: s.takenAt}
	for _, slot := range slots {
		from := folder.Heads()[slot.Slot()].Number
		if slot.Number <= from {
			continue
		}
		n, err := s.sealSlot(ctx, slot, from, w)
		if err != nil {
			return fmt.Errorf("seal: series %s: %w", invoice.SeriesID{Issuer: slot.Issuer, Name: slot.Series}, err)
		}
		snapshot.Invoices += n
	}
	if snapshot.Invoices == 0 {
		return nil
	}
	return commit(ctx, snapshot)
}

func (s *session) databaseID(ctx context.Context) (id string, err error) {
	err = s.tx.QueryRow(ctx, "SELECT id::text FROM database_identity").Scan(&id)
	return id, err
}

// comparesHeads makes sure that every slot still has what was sealed last.
func (s *session) comparesHeads(ctx context.Context, heads map[seals.Slot]seals.Head) error {
	var issuers, series, periods, chains []string
	var numbers []int64
	for _, h := range heads {
		issuers, series, periods = append(issuers, h.Issuer), append(series, h.Series), append(periods, h.Period)
		numbers, chains = append(numbers, h.Number), append(chains, h.Chain)
	}
	// An invoice that had no link when it was sealed may have got one since.
	rows, err := s.tx.Query(ctx, `
SELECT series, period, number, chain, issuer
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[]) AS sealed (series, period, number, chain, issuer)
WHERE NOT EXISTS (
    SELECT FROM invoices i LEFT JOIN invoice_links l ON l.invoice_id = i.id
    WHERE i.issuer = sealed.issuer AND i.series = sealed.series AND i.period = sealed.period AND i.number = sealed.number
        AND sealed.chain IN ('', coalesce(i.chain, l.chain)))
ORDER BY issuer COLLATE "C", series COLLATE "C", period COLLATE "C"`, series, periods, numbers, chains, issuers)
	if err != nil {
		return err
	}
	gone, err := pgx.CollectRows(rows, pgx.RowToStructByPos[seals.Head])
	if err == nil && len(gone) > 0 {
		err = &BackwardError{gone}
	}
	return err
}

// slots returns the slots with their last numbers, in their order.
func (s *session) slots(ctx context.Context) ([]seals.Head, error) {
	rows, err := s.tx.Query(ctx, `SELECT series, period, last_number, '', issuer FROM invoice_series`)
	if err != nil {
		return nil, err
	}
	slots, err := pgx.CollectRows(rows, pgx.RowToStructByPos[seals.Head])
	slices.SortFunc(slots, func(a, b seals.Head) int { return a.Slot().Compare(b.Slot()) })
	return slots, err
}

// sealSlot hands the invoices of a slot from a number on to the writer.
func (s *session) sealSlot(ctx context.Context, slot seals.Head, from int64, w *seals.Writer) (n int64, err error) {
	rows, err := s.tx.Query(ctx, `
SELECT coalesce(i.chain, l.chain, ''), CASE WHEN i.chain IS NULL THEN l.text_hash ELSE i.text_hash END, `+postgres.RecordColumns()+`
FROM invoices i LEFT JOIN invoice_links l ON l.invoice_id = i.id
WHERE i.issuer = $1 AND i.series = $2 AND i.period = $3 AND i.number > $4 ORDER BY i.number`, slot.Issuer, slot.Series, slot.Period, from)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var hasher invoice.Hasher
	for rows.Next() {
		var link storedLink
		stored, err := postgres.ScanRecord(rows, &link.chain, &link.texts)
		if err != nil {
			return n, err
		}
		entry := seals.Entry{Number: stored.Number, InvoiceNumber: stored.Printed, TransactionID: stored.Job.TransactionID}
		var texts invoice.Hash
		if len(link.texts) == len(texts) {
			texts = invoice.Hash(link.texts)
		} else {
			salt := make([]byte, invoice.SaltSize)
			_, _ = rand.Read(salt) // it never fails
			link.chain, entry.Salt, texts = "", hex.EncodeToString(salt), hasher.Texts(&stored.Record, salt)
		}
		digest := hasher.Digest(&stored.Record, texts)
		entry.Digest = hex.EncodeToString(digest[:])
		if err := w.Add(slot.Slot(), entry, link.chain); err != nil {
			return n, err
		}
		if n++; n%progressEvery == 0 {
			s.options.Progress("seal", n, slot.Number-from)
		}
	}
	return n, rows.Err()
}
