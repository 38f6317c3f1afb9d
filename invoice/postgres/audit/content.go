package audit

import (
	"context"
	"math"

	"github.com/jackc/pgx/v5/pgtype"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// A storedInvoice is a row of invoices. Columns whose zero value is valid are pointers, since the constraint that
// refuses NULL may be the one that is broken.
type storedInvoice struct {
	id                   *int64
	number               *string
	kind, fingerprint    string
	job                  invoice.Job // without lines
	issuedAt             pgtype.Timestamptz
	subtotal, tax, total *int64
}

type storedLine struct {
	invoiceID *int64
	position  *int64
	text      postgres.LineText
	net       *int64
}

type storedTax struct {
	invoiceID *int64
	percent   string
	net, tax  *int64
}

// unknownID is the key of a row without an invoice id. Such rows sort last.
const unknownID = math.MaxInt64

func key(id *int64) int64 {
	if id == nil {
		return unknownID
	}
	return *id
}

// plain returns the value that p points to, or nil.
func plain[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// Batches are small enough for memory even if every text is as long as a job may be.
const (
	invoiceBatch = 500
	lineBatch    = 2000
	taxBatch     = 1000
)

// progressEvery is the number of invoices between two calls of Progress.
const progressEvery = 1000

// A reading reads invoices, lines and taxes side by side, each in the order of the invoices' ids.
type reading struct {
	invoices *cursor[storedInvoice]
	lines    *cursor[storedLine]
	taxes    *cursor[storedTax]

	positions, sums, fingerprints Check

	// The rows of the current invoice; the slices are reused for the next.
	lineRows []storedLine
	jobLines []invoice.Line
	taxRows  []storedTax
}

// content computes every invoice's amounts again from its stored lines, and its fingerprint from its stored content.
func (s *session) content(ctx context.Context, total int64) ([]Check, error) {
	r, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	s.options.Progress(r.positions.Name, 0, total)
	var last *int64
	for done := int64(1); ; done++ {
		row, err := r.invoices.peek(ctx)
		if err != nil {
			return nil, err
		}
		if row == nil {
			break
		}
		if last != nil && key(row.id) == key(last) {
			r.positions.add("invoices", "this id is there twice", Row{{"id", plain(row.id)}, {"invoice_number", plain(row.number)}})
		}
		last = row.id
		if err := r.gather(ctx, key(row.id)); err != nil {
			return nil, err
		}
		r.examine(row)
		r.invoices.take()
		if done%progressEvery == 0 {
			s.options.Progress(r.positions.Name, done, total)
		}
	}
	// The remaining rows belong to no invoice.
	if err := r.gather(ctx, unknownID); err != nil {
		return nil, err
	}
	for i := range r.lineRows {
		r.orphanLine(&r.lineRows[i])
	}
	for i := range r.taxRows {
		r.orphanTax(&r.taxRows[i])
	}
	return []Check{r.positions, r.sums, r.fingerprints}, nil
}

// read declares the cursors.
func (s *session) read(ctx context.Context) (*reading, error) {
	limit := s.options.Limit
	r := &reading{
		positions: Check{
			Name: "lines", Promises: []int{7}, limit: limit,
			Proves: "every invoice has its lines 1 to n, each with the net that it comes to",
		},
		sums: Check{
			Name: "sums", Promises: []int{7}, limit: limit,
			Proves: "kind, subtotal, taxes and total are what the lines add up to",
		},
		fingerprints: Check{
			Name: "fingerprints", Promises: []int{7}, limit: limit,
			Proves: "the content is what was invoiced, by its fingerprint",
		},
	}
	var err error
	if r.invoices, err = declare(ctx, s.tx, "audit_invoices", selectInvoices(), invoiceBatch, scanInvoice); err != nil {
		return nil, err
	}
	if r.lines, err = declare(ctx, s.tx, "audit_lines", selectLines, lineBatch, scanLine); err != nil {
		return nil, err
	}
	r.taxes, err = declare(ctx, s.tx, "audit_taxes", selectTaxes, taxBatch, scanTax)
	return r, err
}

// gather collects the lines and taxes of the invoice with the id. Rows with smaller ids that haven't been read yet
// belong to no invoice.
func (r *reading) gather(ctx context.Context, id int64) error {
	r.lineRows, r.taxRows = r.lineRows[:0], r.taxRows[:0]
	for {
		l, err := r.lines.peek(ctx)
		if err != nil {
			return err
		}
		if l == nil || key(l.invoiceID) > id {
			break
		}
		if key(l.invoiceID) < id {
			r.orphanLine(l)
		} else {
			r.lineRows = append(r.lineRows, *l)
		}
		r.lines.take()
	}
	for {
		t, err := r.taxes.peek(ctx)
		if err != nil {
			return err
		}
		if t == nil || key(t.invoiceID) > id {
			return nil
		}
		if key(t.invoiceID) < id {
			r.orphanTax(t)
		} else {
			r.taxRows = append(r.taxRows, *t)
		}
		r.taxes.take()
	}
}

func (r *reading) orphanLine(l *storedLine) {
	r.positions.add("invoice_lines", "this line's invoice is not there", Row{{"invoice_id", plain(l.invoiceID)}, {"position", plain(l.position)}})
}

func (r *reading) orphanTax(t *storedTax) {
	r.sums.add("invoice_taxes", "this tax row's invoice is not there", Row{{"invoice_id", plain(t.invoiceID)}, {"tax_percent", t.percent}})
}
