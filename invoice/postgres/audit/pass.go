package audit

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/seals"
)

// A pass reads every invoice once, in the order of numbers, and runs all checks that look at invoices one by one, or at each and the
// one before it.
type pass struct {
	reading

	chains         chains
	numbers, dates Check       // findings alone
	sealed         *comparison // nil without seals

	counters map[seals.Slot]counter
	reserved map[headKey]bool
	rules    map[rule]string // which date a version of a series' settings prints

	slot   seals.Slot
	begun  bool   // there was an invoice
	start  int64  // the number before its first one
	before int64  // the highest number so far
	newest string // the latest day of issue in the slot
	after  *position

	invoiceRows, lineRowsRead, taxRowsRead int64
}

// A counter is what the audit knows of a slot from the beginning.
type counter struct{ first, last int64 }

type rule struct {
	issuer, series string
	version        int64
}

func (s *session) newPass(ctx context.Context, sealed *comparison) (*pass, error) {
	limit := s.options.Limit
	p := &pass{
		reading: newReading(limit), chains: newChains(limit), sealed: sealed,
		numbers: Check{limit: limit}, dates: Check{limit: limit},
		counters: make(map[seals.Slot]counter), rules: make(map[rule]string),
	}
	rows, err := s.tx.Query(ctx, `SELECT coalesce(issuer, ''), coalesce(series, ''), coalesce(period, ''), coalesce(max(first_number), 1), coalesce(max(last_number), 0)
FROM invoice_series GROUP BY issuer, series, period`)
	if err != nil {
		return nil, err
	}
	var slot seals.Slot
	var c counter
	if _, err := pgx.ForEachRow(rows, []any{&slot.Issuer, &slot.Series, &slot.Period, &c.first, &c.last}, func() error {
		p.counters[slot] = c
		return nil
	}); err != nil {
		return nil, err
	}
	rows, err = s.tx.Query(ctx, "SELECT issuer, series, version, date FROM series WHERE issuer IS NOT NULL AND series IS NOT NULL AND version IS NOT NULL AND date IS NOT NULL")
	if err != nil {
		return nil, err
	}
	var r rule
	var date string
	_, err = pgx.ForEachRow(rows, []any{&r.issuer, &r.series, &r.version, &date}, func() error {
		p.rules[r] = date
		return nil
	})
	if err != nil {
		return nil, err
	}
	if p.reserved, err = s.readReserved(ctx); err != nil {
		return nil, err
	}
	p.chains.reserved = p.reserved
	if sealed != nil {
		sealed.reserved = p.reserved
	}
	return p, s.beginPass(p)
}

// readReserved reads the numbers that were reserved, of which there are few.
func (s *session) readReserved(ctx context.Context) (map[headKey]bool, error) {
	reserved := make(map[headKey]bool)
	rows, err := s.tx.Query(ctx, "SELECT issuer, series, period, number FROM reserved_numbers")
	if err != nil {
		return nil, err
	}
	var key headKey
	_, err = pgx.ForEachRow(rows, []any{&key.slot.Issuer, &key.slot.Series, &key.slot.Period, &key.number}, func() error {
		reserved[key] = true
		return nil
	})
	return reserved, err
}

// beginPass has the pass go on where an earlier audit was broken off, if it is to.
func (s *session) beginPass(p *pass) error {
	if len(s.state.Counters) > 0 {
		clear(p.counters)
		for _, c := range s.state.Counters {
			p.counters[c.Slot] = counter{c.First, c.Last}
		}
	}
	for slot, c := range p.counters {
		if len(s.state.Counters) < len(p.counters) {
			s.state.Counters = append(s.state.Counters, stopped{slot, c.first, c.last})
		}
	}
	if s.state.Pass == nil {
		return nil
	}
	return p.resume(s.state.Pass)
}

// run reads the pieces. Between two of them it may change to a newer snapshot, which has the same invoices up to the numbers that
// the counters had at the beginning, and others after them, which aren't looked at.
func (s *session) run(ctx context.Context, p *pass, total int64) error {
	s.options.Progress(p.positions.Name, 0, total)
	for {
		pieces, err := s.plan(ctx, p.after)
		if err != nil {
			return err
		}
		if err := s.widen(ctx, min(len(pieces), piecesAtOnce)*tablesOfAPiece-1); err != nil {
			return err
		}
		if err := s.readPieces(ctx, p, pieces, total); err != nil {
			return err
		}
		if len(pieces) == 0 || !s.aged() {
			break
		}
		// The rows of a newer snapshot may be elsewhere.
		if _, err := s.renew(ctx); err != nil {
			return err
		}
	}
	if p.sealed != nil {
		if err := p.sealed.rest(); err != nil {
			return err
		}
	}
	return s.orphans(ctx, p)
}

// readPieces examines one piece after the other, and stops where the snapshot is held for long.
func (s *session) readPieces(ctx context.Context, p *pass, pieces []piece, total int64) error {
	ctx, cancel := context.WithCancel(ctx)
	var reading, next *ahead
	defer func() {
		cancel()
		reading.wait()
		next.wait()
	}()
	ways := s.ways()
	read := func(i int) *ahead { // on connections that the piece before doesn't use
		return readAhead(ctx, ways[i%len(ways)], &pieces[i])
	}
	for i := range pieces {
		if reading, next = next, nil; reading == nil {
			reading = read(i)
		}
		more := i+1 < len(pieces) && !s.aged()
		if more && len(ways) > 1 {
			next = read(i + 1)
		}
		if err := s.readPiece(p, &pieces[i], reading, total); err != nil {
			return err
		}
		p.after = &pieces[i].last
		if err := s.reached(p); err != nil {
			return err
		}
		if !more {
			break
		}
	}
	return nil
}

func (s *session) readPiece(p *pass, one *piece, from *ahead, total int64) error {
	var rows int64
	err := from.each(func(d *document) error {
		if rows++; rows%progressEvery == 0 {
			s.options.Progress(p.positions.Name, total-one.andMore+rows, total)
		}
		p.invoiceRows++
		p.lineRowsRead += int64(len(d.lines))
		p.taxRowsRead += int64(len(d.taxes))
		if s.several() && (d.invoice.sequence == nil || *d.invoice.sequence > p.counters[d.invoice.slot()].last) {
			return nil
		}
		return p.add(d)
	})
	if err == nil && rows != one.invoiceRows {
		err = fmt.Errorf("%d invoices were there, and %d were read", one.invoiceRows, rows)
	}
	return err
}

// add checks an invoice.
func (p *pass) add(d *document) error {
	row := &d.invoice
	p.lineRows, p.taxRows = d.lines, d.taxes
	p.enter(row.slot())
	p.follow(row)
	p.dated(row)
	record := p.examine(row, p.sealed.covers(row))
	p.chains.add(row, record)
	if p.sealed == nil {
		return nil
	}
	return p.sealed.add(row, record)
}

// enter begins a slot, if it is another one than before.
func (p *pass) enter(slot seals.Slot) {
	if p.begun && p.slot == slot {
		return
	}
	p.begun, p.slot, p.start, p.newest = true, slot, 0, ""
	if c, ok := p.counters[slot]; ok {
		p.start = c.first - 1
	}
	p.before, p.chains.end = p.start, chainEnd{Number: p.start}
}

// follow checks an invoice's number.
func (p *pass) follow(row *storedInvoice) {
	before := p.before
	for row.sequence != nil && before+1 < *row.sequence && p.reserved[headKey{p.slot, before + 1}] {
		before++ // it is kept for a transaction that hasn't come, or for none
	}
	var problem string
	switch number := row.sequence; {
	case number == nil:
		problem = "it has no number"
	case *number == before+1:
		p.before = *number
		return
	case *number <= p.start:
		problem = "this number is below the first one"
	case *number <= before:
		problem = "this number is there twice"
	case *number == before+2:
		problem = fmt.Sprintf("number %d is missing before it", before+1)
	default:
		problem = fmt.Sprintf("numbers %d to %d are missing before it", before+1, *number-1)
	}
	if row.sequence != nil {
		p.before = max(before, *row.sequence)
	}
	p.numbers.add("invoices", problem, append(row.numbered(), Field{"transaction_id", row.job.TransactionID}))
}

// numbered returns the columns with an invoice's number.
func (i *storedInvoice) numbered() Row {
	return append(issued(i.issuer), Row{{"series", i.series}, {"period", i.period}, {"number", plain(i.sequence)}, {"invoice_number", plain(i.number)}}...)
}

// dated checks an invoice's day of issue.
func (p *pass) dated(row *storedInvoice) {
	printed := p.rules[rule{row.issuer, row.series, row.seriesVersion}]
	var problem string
	switch date := row.documentDate; {
	case date == "" && printed != "issue":
		return
	case date == "":
		problem = "this document has no day of issue, by which its series dates it"
	case printed == "issued_at":
		problem = "this document has a day of issue, though its series dates it by issued_at"
	case date < p.newest:
		problem = "this document is dated before the one before it, which is of " + p.newest
	}
	p.newest = max(p.newest, row.documentDate)
	if problem != "" {
		p.dates.add("invoices", problem, append(row.numbered(), Field{"document_date", emptyIsNull(row.documentDate)}, Field{"transaction_id", row.job.TransactionID}))
	}
}

func emptyIsNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// orphans looks for rows of no invoice, and for ids that are there twice. If all rows of one snapshot were read with an invoice, there are none.
func (s *session) orphans(ctx context.Context, p *pass) error {
	if err := s.collect(ctx, &p.positions, query{"invoices", `
SELECT 'this id is there twice', id, invoice_number FROM (
    SELECT id, invoice_number, row_number() OVER (PARTITION BY id ORDER BY number) AS nth FROM invoices
    WHERE coalesce(id, 0) IN (SELECT coalesce(id, 0) FROM invoices GROUP BY 1 HAVING count(*) > 1)
) twice WHERE nth > 1`, "SELECT count(DISTINCT coalesce(id, 0)) < count(*) FROM invoices"}); err != nil {
		return err
	}
	var lines, taxes int64
	if err := s.tx.QueryRow(ctx, "SELECT (SELECT count(*) FROM invoice_lines), (SELECT count(*) FROM invoice_taxes)").Scan(&lines, &taxes); err != nil {
		return err
	}
	whole := !s.several()
	if !whole || lines != p.lineRowsRead {
		if err := s.collect(ctx, &p.positions, query{"invoice_lines", `SELECT 'this line''s invoice is not there', invoice_id, position FROM invoice_lines
WHERE NOT EXISTS (SELECT FROM invoices WHERE id = invoice_id) ORDER BY 2, 3`, ""}); err != nil {
			return err
		}
	}
	if !whole || taxes != p.taxRowsRead {
		return s.collect(ctx, &p.sums, query{"invoice_taxes", `SELECT 'this tax row''s invoice is not there', invoice_id, tax_percent::text FROM invoice_taxes
WHERE NOT EXISTS (SELECT FROM invoices WHERE id = invoice_id) ORDER BY 2, 3`, ""})
	}
	return nil
}
