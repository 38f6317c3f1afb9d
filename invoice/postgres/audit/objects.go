package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Objects are the bytes of documents outside of the database. An error of Open that matches [ErrUnset] means that nobody has said how the place is
// reached.
type Objects interface {
	Open(ctx context.Context, place string) (io.ReadCloser, error)
}

// ErrUnset is what an error of [Objects] wraps if its settings don't say how a place is reached.
var ErrUnset = errors.New("the settings don't say how it is reached")

// An ObjectsReport is about documents whose bytes are outside of the database.
type ObjectsReport struct {
	Hashed   int64 `json:"hashed"`   // that were read, and compared with their SHA-256
	Unhashed int64 `json:"unhashed"` // that weren't looked at, since nobody said how, or that it be left out
	// Leftovers counts the objects that are still to be deleted, since the invoice was erased, or no document got them. That is no violation.
	Leftovers      int64      `json:"leftovers"`
	LeftoversSince *time.Time `json:"leftovers_since,omitempty"` // since when the oldest is to be deleted
}

// An elsewhere is a document whose bytes are outside of the database.
type elsewhere struct {
	id, invoiceID, size                     int64
	issuer, number, format, language, place string
	hash                                    []byte

	err     error // why it isn't what was handed out
	skipped bool  // nobody said how it is reached
}

const (
	// rowsAtOnce is how many rows are read together.
	rowsAtOnce = 10_000
	// openAtOnce is how many objects are read at a time. Each is hashed as it comes.
	openAtOnce = 4
)

// objects hashes the documents outside of the database, and adds to the check those that aren't what was handed out. An object that is gone as its
// invoice was erased meanwhile is none of them.
func (s *session) objects(ctx context.Context, check *Check) (*ObjectsReport, error) {
	report := &ObjectsReport{}
	var suspects []*elsewhere
	var total int64
	if err := s.tx.QueryRow(ctx, "SELECT count(*) FROM documents WHERE place IS NOT NULL").Scan(&total); err != nil {
		return nil, err
	}
	for after, more := int64(0), total > 0; more; {
		page, err := s.placed(ctx, after)
		if err != nil {
			return nil, err
		}
		if more = len(page) == rowsAtOnce; len(page) > 0 {
			after = page[len(page)-1].id
		}
		if s.options.Objects == nil {
			report.Unhashed += int64(len(page))
			continue
		}
		s.hashAll(ctx, page)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, d := range page {
			switch {
			case d.skipped:
				report.Unhashed++
			case d.err != nil:
				suspects = append(suspects, d)
				fallthrough
			default:
				report.Hashed++
			}
		}
		s.options.Progress(check.Name, report.Hashed, total)
		if _, err := s.renew(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.stillPlaced(ctx, suspects, check); err != nil {
		return nil, err
	}
	return report, s.tx.QueryRow(ctx, `SELECT count(*), min(CASE state WHEN 'erased' THEN since ELSE written_until END) FROM document_leftovers
WHERE state = 'erased' OR state <> 'kept' AND written_until <= now()`).Scan(&report.Leftovers, &report.LeftoversSince)
}

func (s *session) placed(ctx context.Context, after int64) (page []*elsewhere, err error) {
	rows, err := s.tx.Query(ctx, `SELECT d.id, d.invoice_id, d.size, coalesce(i.issuer, ''), coalesce(i.invoice_number, ''), d.format, d.language, d.place, d.sha256
FROM documents d LEFT JOIN invoices i ON i.id = d.invoice_id WHERE d.place IS NOT NULL AND d.id > $1 ORDER BY d.id LIMIT $2`, after, rowsAtOnce)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*elsewhere, error) {
		d := &elsewhere{}
		return d, row.Scan(&d.id, &d.invoiceID, &d.size, &d.issuer, &d.number, &d.format, &d.language, &d.place, &d.hash)
	})
}

// hashAll hashes the documents of a page, several at a time.
func (s *session) hashAll(ctx context.Context, page []*elsewhere) {
	next := make(chan *elsewhere)
	var together sync.WaitGroup
	for range openAtOnce {
		together.Go(func() {
			for d := range next {
				d.err = s.hash(ctx, d)
				d.skipped = errors.Is(d.err, ErrUnset)
			}
		})
	}
	for _, d := range page {
		if ctx.Err() != nil {
			break
		}
		next <- d
	}
	close(next)
	together.Wait()
}

func (s *session) hash(ctx context.Context, d *elsewhere) error {
	from, err := s.options.Objects.Open(ctx, d.place)
	if err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(from, d.size+1))
	if err = errors.Join(err, from.Close()); err != nil {
		return err
	}
	if n != d.size || string(h.Sum(nil)) != string(d.hash) {
		return errAltered
	}
	return nil
}

var errAltered = errors.New("its bytes are not those that were handed out")

// stillPlaced adds those to the check that are where they were in a snapshot that is newer than the look at their objects.
func (s *session) stillPlaced(ctx context.Context, suspects []*elsewhere, check *Check) error {
	if len(suspects) == 0 {
		return nil
	}
	s.began = time.Time{} // so that this snapshot is too old
	if _, err := s.renew(ctx); err != nil {
		return err
	}
	ids := make([]int64, len(suspects))
	for i, d := range suspects {
		ids[i] = d.id
	}
	rows, err := s.tx.Query(ctx, "SELECT id FROM documents WHERE id = ANY ($1) AND place IS NOT NULL", ids)
	if err != nil {
		return err
	}
	there, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	still := make(map[int64]bool, len(there))
	for _, id := range there {
		still[id] = true
	}
	for _, d := range suspects {
		if !still[d.id] {
			continue
		}
		problem := errAltered.Error()
		if !errors.Is(d.err, errAltered) {
			problem = fmt.Sprintf("its bytes can't be read: %v", d.err)
		}
		row := Row{{"id", d.id}}
		if d.issuer != "" {
			row = append(row, Field{"issuer", d.issuer})
		}
		check.add("documents", problem, append(row, Field{"invoice_number", d.number}, Field{"invoice_id", d.invoiceID}, Field{"format", d.format}, Field{"language", d.language}, Field{"place", d.place}))
	}
	return nil
}
