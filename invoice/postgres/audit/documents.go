package audit

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"
)

// A document is an invoice with its lines and taxes, as they are stored.
type document struct {
	invoice storedInvoice
	lines   []storedLine
	taxes   []storedTax
}

// documentBatch is small enough for memory even if every text is as long as a job may be.
const documentBatch = 50

// Of two pieces at a time, each of the three tables is read on a connection of its own: the server sorts the next piece while this one is
// examined.
const (
	piecesAtOnce   = 2
	tablesOfAPiece = 3
)

// ways returns for each piece that can be read at a time the connections for invoices, lines and taxes. These are all the same where there are
// too few.
func (s *session) ways() [][]*session {
	all := append([]*session{s}, s.beside...)
	if len(all) < tablesOfAPiece {
		return [][]*session{{s, s, s}}
	}
	return slices.Collect(slices.Chunk(all[:len(all)/tablesOfAPiece*tablesOfAPiece], tablesOfAPiece))
}

// A reader reads the invoices, lines and taxes of a piece side by side.
type reader struct {
	invoices stream[storedInvoice]
	lines    belonging[storedLine]
	taxes    belonging[storedTax]
}

// openPiece begins to read a piece on three connections. On a single one, lines and taxes are read as a whole before the invoices.
func openPiece(ctx context.Context, on []*session, p *piece) (r reader, err error) {
	single := on[1] == on[0]
	if r.lines.stream, err = read(ctx, on[1].tx, p.selectLines(), scanLine); err == nil && single {
		_, err = r.lines.of(math.MaxInt64, nil)
	}
	if err != nil {
		return r, err
	}
	if r.taxes.stream, err = read(ctx, on[2].tx, p.selectTaxes(), scanTax); err == nil && single {
		_, err = r.taxes.of(math.MaxInt64, nil)
	}
	if err != nil {
		return r, err
	}
	r.invoices, err = read(ctx, on[0].tx, p.selectInvoices(), scanInvoice)
	return r, err
}

// close frees the connections for another piece.
func (r *reader) close() error {
	r.invoices.rows.Close()
	r.lines.stream.rows.Close()
	r.taxes.stream.rows.Close()
	return errors.Join(r.invoices.rows.Err(), r.lines.stream.rows.Err(), r.taxes.stream.rows.Err())
}

// next reads the next document into d. It returns false after the last.
func (r *reader) next(d *document) (bool, error) {
	more, err := r.invoices.next(&d.invoice)
	if !more || err != nil {
		return false, err
	}
	d.lines, d.taxes = d.lines[:0], d.taxes[:0]
	if id := d.invoice.id; id != nil {
		if d.lines, err = r.lines.of(*id, d.lines); err != nil {
			return false, err
		}
		d.taxes, err = r.taxes.of(*id, d.taxes)
	}
	return true, err
}

// A batch is documents of a piece, or the error that ended the reading.
type batch struct {
	documents []document
	err       error
}

// ahead is the reading of a piece, which goes on by itself, some documents ahead of whoever examines them.
type ahead struct {
	full chan batch
	free chan []document
}

// readAhead begins to read a piece on three connections. Whoever cancels it waits until it has ended.
func readAhead(ctx context.Context, on []*session, p *piece) *ahead {
	a := &ahead{full: make(chan batch, 2), free: make(chan []document, 4)}
	for range cap(a.free) {
		a.free <- make([]document, documentBatch)
	}
	go func() {
		defer close(a.full)
		if err := a.run(ctx, on, p); err != nil {
			select {
			case a.full <- batch{err: err}:
			case <-ctx.Done():
			}
		}
	}()
	return a
}

func (a *ahead) wait() {
	if a != nil {
		for range a.full { // until it is closed
		}
	}
}

// run fills the batches that are free.
func (a *ahead) run(ctx context.Context, on []*session, p *piece) error {
	from, err := openPiece(ctx, on, p)
	if err != nil {
		return err
	}
	for more := true; more; {
		var documents []document
		select {
		case documents = <-a.free:
		case <-ctx.Done():
			return ctx.Err()
		}
		n := 0
		for ; n < documentBatch; n++ {
			if more, err = from.next(&documents[n]); err != nil {
				return err
			}
			if !more {
				break
			}
		}
		select {
		case a.full <- batch{documents: documents[:n]}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return from.close()
}

// each hands the documents to the function, in their order.
func (a *ahead) each(examine func(*document) error) error {
	for b := range a.full {
		if b.err != nil {
			return b.err
		}
		for i := range b.documents {
			if err := examine(&b.documents[i]); err != nil {
				return err
			}
		}
		a.free <- b.documents[:documentBatch]
	}
	return nil
}

// A stream reads the rows of a query one after the other.
type stream[T any] struct {
	rows pgx.Rows
	scan func(pgx.Rows, *T) error
}

func read[T any](ctx context.Context, tx pgx.Tx, sql string, scan func(pgx.Rows, *T) error) (stream[T], error) {
	rows, err := tx.Query(ctx, sql)
	return stream[T]{rows, scan}, err
}

// next reads the next row into one. It returns false after the last.
func (s *stream[T]) next(one *T) (bool, error) {
	if !s.rows.Next() {
		return false, s.rows.Err()
	}
	return true, s.scan(s.rows, one)
}

// A belonging is a stream of rows in the order of the ids of the invoices to which they belong. Those that come before their invoice are kept:
// in a piece the order of ids is mostly that of numbers, so that there are few.
type belonging[T interface{ of() int64 }] struct {
	stream stream[T]
	ahead  T    // the next row
	holds  bool // ahead
	ended  bool
	kept   map[int64][]T
}

// of appends an invoice's rows. They aren't there a second time.
func (b *belonging[T]) of(id int64, rows []T) ([]T, error) {
	if kept := b.kept[id]; kept != nil {
		delete(b.kept, id)
		rows = append(rows, kept...)
	}
	for !b.ended {
		if !b.holds {
			more, err := b.stream.next(&b.ahead)
			if err != nil {
				return rows, err
			}
			b.holds, b.ended = more, !more
			continue
		}
		switch belongs := b.ahead.of(); {
		case belongs > id:
			return rows, nil
		case belongs == id:
			rows = append(rows, b.ahead)
		default:
			if b.kept == nil {
				b.kept = make(map[int64][]T)
			}
			b.kept[belongs] = append(b.kept[belongs], b.ahead)
		}
		b.holds = false
	}
	return rows, nil
}
