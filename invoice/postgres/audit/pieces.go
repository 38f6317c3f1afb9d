package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/seals"
)

// Invoices are read in pieces, in the order of issuers, series, periods and numbers. Without an index, that order would take a sort of
// all tables. So the tables are scanned once to learn in which blocks the rows of each piece are; then only these are read
// and sorted. Since rows are mostly stored in the order in which they were numbered, all pieces together read the tables about once,
// and no sort needs a temporary file.

// A position is an invoice's place in the order in which invoices are read.
type position struct {
	Issuer, Series, Period string
	Number                 int64 // noNumber if it has none
}

// noNumber sorts invoices without a number last.
const noNumber = math.MaxInt64

func (p position) slot() seals.Slot {
	return seals.Slot{Issuer: p.Issuer, Series: p.Series, Period: p.Period}
}

// sql returns the position as a row of SQL.
func (p position) sql() string {
	return fmt.Sprintf("(%s, %s, %s, %d)", literal(p.Issuer), literal(p.Series), literal(p.Period), p.Number)
}

// placed are the columns that are compared with a position.
const placed = `(coalesce(issuer, '') COLLATE "C", coalesce(series, '') COLLATE "C", coalesce(period, '') COLLATE "C", coalesce(number, 9223372036854775807))`

// blocks are the part of a table from one block up to another one; none, unless some is set.
type blocks struct {
	first, last int64
	some        bool
}

func (b *blocks) add(other blocks) {
	if !b.some {
		*b = other
		return
	}
	b.first, b.last = min(b.first, other.first), max(b.last, other.last)
}

// far reports whether more blocks lie between these and the others than a piece has.
func (b blocks) far(other blocks) bool {
	return b.some && max(b.first, other.first)-min(b.last, other.last) > pieceBytes/blockSize
}

// where is the condition of a row's being in these blocks.
func (b blocks) where(table string) string {
	return fmt.Sprintf("%s.ctid >= '(%d,0)' AND %[1]s.ctid < '(%[3]d,0)'", table, b.first, b.last+1)
}

// A piece is a part of the invoices.
type piece struct {
	first, last          position
	firstID, lastID      int64
	invoices             blocks
	lines, taxes         blocks
	invoiceRows, andMore int64 // and those of pieces after it
}

// inBucket is how many numbers, or ids, are looked at together when pieces are planned.
const inBucket = 500

// pieceBytes is what a piece has of each table, about. It is well below the work_mem of a sort.
const pieceBytes = 16 << 20

const blockSize = 8192

// A bucket is a part of a table.
type bucket struct {
	first, last     position // of invoices
	firstID, lastID int64
	rows            int64
	in              blocks
}

// plan returns the pieces after a position, nil for all.
func (s *session) plan(ctx context.Context, after *position) ([]piece, error) {
	invoices, err := s.invoiceBuckets(ctx, "invoices", after)
	if err != nil {
		return nil, err
	}
	var below [2][]bucket
	for i, table := range []string{"invoice_lines", "invoice_taxes"} {
		below[i], err = s.buckets(ctx, `
SELECT '', '', '', 0, 0, min(invoice_id), max(invoice_id), count(*), min(ctid)::text, max(ctid)::text
FROM `+table+` WHERE invoice_id IS NOT NULL GROUP BY invoice_id / $1 ORDER BY 6`, int64(inBucket))
		if err != nil {
			return nil, err
		}
	}
	pieces := s.pieces(invoices, below[:]...)
	for i := range pieces {
		p := &pieces[i]
		p.lines, p.taxes = spanned(below[0], p), spanned(below[1], p)
	}
	return pieces, nil
}

// invoiceBuckets returns the buckets of the invoices after a position, nil for all. The table is one of SQL that is named invoices.
func (s *session) invoiceBuckets(ctx context.Context, table string, after *position) ([]bucket, error) {
	where := ""
	if after != nil {
		where = " WHERE " + placed + " > " + after.sql()
	}
	return s.buckets(ctx, `
SELECT coalesce(issuer, '') COLLATE "C", coalesce(series, '') COLLATE "C", coalesce(period, '') COLLATE "C", min(coalesce(number, $1)), max(coalesce(number, $1)),
    coalesce(min(id), 0), coalesce(max(id), 0), count(*), min(ctid)::text, max(ctid)::text
FROM `+table+where+` GROUP BY 1, 2, 3, coalesce(number, $1) / $2
ORDER BY 1, 2, 3, 4`, int64(noNumber), min(inBucket, s.options.Piece))
}

// pieces puts buckets of invoices together, as many as fit with the buckets of other tables that are read beside them.
func (s *session) pieces(invoices []bucket, beside ...[]bucket) (pieces []piece) {
	var total int64
	for i := range invoices {
		total += invoices[i].rows
	}
	size := min(s.options.Piece, perPiece(invoices, total))
	for _, table := range beside {
		size = min(size, perPiece(table, total))
	}
	for i := range invoices {
		b := &invoices[i]
		// What lies between two distant parts of the table would be read in vain.
		if last := len(pieces) - 1; last < 0 || pieces[last].invoiceRows+b.rows > size || pieces[last].invoices.far(b.in) {
			pieces = append(pieces, piece{first: b.first, firstID: b.firstID, lastID: b.lastID})
		}
		p := &pieces[len(pieces)-1]
		p.last, p.firstID, p.lastID = b.last, min(p.firstID, b.firstID), max(p.lastID, b.lastID)
		p.invoiceRows += b.rows
		p.invoices.add(b.in)
	}
	for i := range pieces {
		p := &pieces[i]
		p.andMore, total = total, total-p.invoiceRows
	}
	return pieces
}

// perPiece returns how many of the invoices a piece has at most, as far as a table is concerned.
func perPiece(table []bucket, invoices int64) int64 {
	var all blocks
	for i := range table {
		all.add(table[i].in)
	}
	return max(inBucket, pieceBytes*invoices/max(1, (all.last-all.first+1)*blockSize))
}

// spanned returns the blocks with the rows of the piece's invoices. The buckets are in the order of ids.
func spanned(table []bucket, p *piece) (b blocks) {
	from, _ := slices.BinarySearchFunc(table, p.firstID, func(b bucket, id int64) int { return cmp.Compare(b.lastID, id) })
	for i := from; i < len(table) && table[i].firstID <= p.lastID; i++ {
		b.add(table[i].in)
	}
	return b
}

func (s *session) buckets(ctx context.Context, sql string, args ...any) ([]bucket, error) {
	rows, err := s.tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (b bucket, err error) {
		var first, last string
		p := &b.first
		if err := row.Scan(&p.Issuer, &p.Series, &p.Period, &p.Number, &b.last.Number, &b.firstID, &b.lastID, &b.rows, &first, &last); err != nil {
			return b, err
		}
		b.last.Issuer, b.last.Series, b.last.Period, b.in.some = p.Issuer, p.Series, p.Period, true
		var tuple int
		_, err = fmt.Sscanf(first, "(%d,%d)", &b.in.first, &tuple)
		_, err2 := fmt.Sscanf(last, "(%d,%d)", &b.in.last, &tuple)
		return b, errors.Join(err, err2)
	})
}
