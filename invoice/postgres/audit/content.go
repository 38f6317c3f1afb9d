package audit

import (
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
	erased                         bool
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

	code, category string
	added          int64
}

func (l storedLine) of() int64 { return idOf(l.invoiceID) }
func (t storedTax) of() int64  { return idOf(t.invoiceID) }

// idOf returns the id of the invoice to which a row belongs. A piece has no row of none.
func idOf(id *int64) int64 {
	if id == nil {
		return math.MaxInt64
	}
	return *id
}

// positionOf returns a line's position, or a number that comes after any other for none.
func positionOf(p *int64) int64 {
	if p == nil {
		return math.MaxInt64
	}
	return *p
}

// plain returns the value that p points to, or nil.
func plain[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// progressEvery is the number of invoices between two calls of Progress.
const progressEvery = 1000

// A reading checks each invoice by itself.
type reading struct {
	positions, sums, fingerprints Check

	// The rows of the current invoice, and buffers that are reused for the next.
	lineRows []storedLine
	taxRows  []storedTax
	jobLines []invoice.Line
	totals   invoice.Totals
	numbers  []int64 // of the lines
}

func newReading(limit int) reading {
	return reading{
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
}
