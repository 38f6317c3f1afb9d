package postgres

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"gorm.io/gorm"

	"invoicer/internal/fault"
	"invoicer/invoice/document"
)

// Objects keeps bytes of documents outside of the database.
type Objects interface {
	// Place returns where a document of an invoice with that hash goes, "" if it goes into the database.
	Place(invoiceID int64, hash [sha256.Size]byte) string
	// Put returns once the bytes last. It must take less than an hour. By used it learns whether anything of a store is on record: see [Documents.Used].
	Put(ctx context.Context, place string, content []byte, used func(ctx context.Context, store string) (bool, error)) error
	Open(ctx context.Context, place string) (io.ReadCloser, error)
}

// put writes a document's bytes to their place, if it has one outside of the database. It returns what is kept inside, and the place outside.
func (s *Documents) put(ctx context.Context, made *document.Kept) (inside []byte, outside *string, err error) {
	if s.options.Objects == nil {
		return made.Content, nil, nil
	}
	place := s.options.Objects.Place(made.InvoiceID, made.SHA256)
	if place == "" {
		return made.Content, nil, nil
	}
	err = s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Exec("SELECT invoicer.announce_object(?, ?)", place, made.InvoiceID).Error
	})
	if err == nil {
		err = s.options.Objects.Put(ctx, place, made.Content, s.Used)
	}
	if err == nil {
		err = s.options.Fault.Hit(ctx, fault.Stored)
	}
	return nil, &place, err
}

// Used reports whether documents are kept in a store, or are still to be deleted there. What is only announced doesn't count: it comes before its bytes.
func (s *Documents) Used(ctx context.Context, store string) (used bool, err error) {
	err = s.sql.QueryRowContext(ctx, `
SELECT EXISTS (SELECT FROM invoicer.documents WHERE regexp_replace(place, '/[^/]*/[^/]*$', '') = $1)
    OR EXISTS (SELECT FROM invoicer.document_leftovers WHERE state IN ('deleting', 'erased') AND regexp_replace(place, '/[^/]*/[^/]*$', '') = $1)`, store).Scan(&used)
	return used, classify(err)
}

// load reads the bytes of a document that are outside of the database, and compares all with their hash.
func (s *Documents) load(ctx context.Context, k *document.Kept) error {
	var err error
	if k.Place != "" {
		if s.options.Objects == nil {
			err = errors.New("this program isn't told how it is reached")
		} else {
			k.Content, err = s.readObject(ctx, k.Place, k.Size)
		}
	}
	if err == nil && (int64(len(k.Content)) != k.Size || sha256.Sum256(k.Content) != k.SHA256) {
		err = fmt.Errorf("%w: its bytes don't have the SHA-256 %x", document.ErrAltered, k.SHA256)
	}
	if err == nil {
		return nil
	}
	k.Content = nil
	at := k.Place
	if at == "" {
		at = "the database"
	}
	return fmt.Errorf("%s of invoice %s, in %s: %w", k.Format, s.numberOf(ctx, k.InvoiceID), at, err)
}

// readObject reads no more than one byte above the size.
func (s *Documents) readObject(ctx context.Context, place string, size int64) ([]byte, error) {
	from, err := s.options.Objects.Open(ctx, place)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(from, size+1))
	return content, errors.Join(err, from.Close())
}

// numberOf returns an invoice's number for an error, and else the id of its row.
func (s *Documents) numberOf(ctx context.Context, invoiceID int64) (number string) {
	if s.sql.QueryRowContext(ctx, "SELECT invoice_number FROM invoicer.invoices WHERE id = $1", invoiceID).Scan(&number) != nil {
		return fmt.Sprintf("of row %d", invoiceID)
	}
	return number
}

// ClaimLeftovers returns objects that are to be deleted now, most at once, and keeps other processes from deleting the same for so long.
func (s *Documents) ClaimLeftovers(ctx context.Context, most int, lease time.Duration) (list []document.Leftover, err error) {
	err = s.autocommit(ctx, func(db *gorm.DB) error {
		rows, err := db.Raw("SELECT at, invoice, tries FROM invoicer.claim_leftovers(?, ?)", most, lease.Seconds()).Rows()
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var l document.Leftover
			if err := rows.Scan(&l.Place, &l.InvoiceID, &l.Attempts); err != nil {
				return err
			}
			list = append(list, l)
		}
		return rows.Err()
	})
	return list, classify(err)
}

// SettleLeftover notes that an object was deleted.
func (s *Documents) SettleLeftover(ctx context.Context, l document.Leftover) error {
	return classify(s.autocommit(ctx, func(db *gorm.DB) error { return db.Exec("SELECT invoicer.settle_leftover(?)", l.Place).Error }))
}

// PutOffLeftover notes why an object couldn't be deleted, and when that is tried again.
func (s *Documents) PutOffLeftover(ctx context.Context, l document.Leftover, why error, again time.Duration) error {
	return classify(s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Exec("UPDATE invoicer.document_leftovers SET error = ?, due_at = now() + ? * interval '1 second' WHERE place = ? AND state <> 'kept'",
			storable(why.Error()), again.Seconds(), l.Place).Error
	}))
}

// Leftovers returns how many objects are to be deleted by now, of these those that couldn't be at the last try, and since when the oldest is to be;
// the zero time if there is none.
func (s *Documents) Leftovers(ctx context.Context) (count, failing int, oldest time.Time, err error) {
	var since sql.NullTime
	err = s.sql.QueryRowContext(ctx, `SELECT count(*), count(error), min(CASE state WHEN 'erased' THEN since ELSE written_until END) FROM invoicer.document_leftovers
WHERE state = 'erased' OR state <> 'kept' AND written_until <= now()`).Scan(&count, &failing, &since)
	return count, failing, since.Time, classify(err)
}
