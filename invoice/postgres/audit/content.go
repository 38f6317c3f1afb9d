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
	place                int64 // in the order in which it is read: its id, or by its number
	id                   *int64
	number               *string
	kind, fingerprint    string
	job                  invoice.Job // without lines
	issuedAt             pgtype.Timestamptz
	subtotal, tax, total *int64
	payable              *int64 // nil for the total
	terms, parties       string // as JSON; "" for nothing

	// What only its link covers.
	issuer, series, period         string
	sequence                       *int64 // its number in the series and period
	seriesVersion, contentHash     int64
	jobID, metadata, workerVersion string
	settingsVersion, issuerVersion int64
	documentDate                   string
	createdAt, acceptedAt          string // as they are hashed
	link                           storedLink
}

type storedLine struct {
	place     *int64 // its invoice's
	invoiceID *int64
	position  *int64
	text      postgres.LineText
	net       *int64
}

type storedTax struct {
	place     *int64 // its invoice's
	invoiceID *int64
	percent   string
	net, tax  *int64

	code, category string
	added          int64
}

// lastPlace is that of a row without an invoice id. Such rows sort last.
const lastPlace = math.MaxInt64

func key(place *int64) int64 {
	if place == nil {
		return lastPlace
	}
	return *place
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
	chains                        *chains // nil while the invoices come in the order of their numbers

	// The rows of the current invoice; the slices are reused for the next.
	lineRows []storedLine
	jobLines []invoice.Line
	taxRows  []storedTax
	totals   invoice.Totals
	numbers  []int64 // of the lines
}

// content computes every invoice's amounts again from its stored lines, its fingerprint from its stored content, and its link
// from all that is stored of it.
func (s *session) content(ctx context.Context, total int64, chains *chains) ([]Check, error) {
	r, err := s.read(ctx, inOrderOfIDs)
	if err != nil {
		return nil, err
	}
	r.chains = chains
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
		if err := r.gather(ctx, row.place); err != nil {
			return nil, err
		}
		r.examine(row)
		r.invoices.take()
		if done%progressEvery == 0 {
			s.options.Progress(r.positions.Name, done, total)
		}
	}
	// The remaining rows belong to no invoice.
	if err := r.gather(ctx, lastPlace); err != nil {
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

// An order is how invoices, and with them their lines and taxes, are read.
type order struct{ name, invoices, lines, taxes string }

// read declares the cursors.
func (s *session) read(ctx context.Context, in order) (*reading, error) {
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
	if r.invoices, err = declare(ctx, s.tx, "audit_invoices_"+in.name, selectInvoices(in.invoices), invoiceBatch, scanInvoice); err != nil {
		return nil, err
	}
	if r.lines, err = declare(ctx, s.tx, "audit_lines_"+in.name, "SELECT "+in.lines, lineBatch, scanLine); err != nil {
		return nil, err
	}
	r.taxes, err = declare(ctx, s.tx, "audit_taxes_"+in.name, "SELECT "+in.taxes, taxBatch, scanTax)
	return r, err
}

// gather collects the lines and taxes of the invoice at the place. Rows of smaller places that haven't been read yet
// belong to no invoice.
func (r *reading) gather(ctx context.Context, place int64) error {
	r.lineRows, r.taxRows = r.lineRows[:0], r.taxRows[:0]
	for {
		l, err := r.lines.peek(ctx)
		if err != nil {
			return err
		}
		if l == nil || key(l.place) > place {
			break
		}
		if key(l.place) < place {
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
		if t == nil || key(t.place) > place {
			return nil
		}
		if key(t.place) < place {
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
