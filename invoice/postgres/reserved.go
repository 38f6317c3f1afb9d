package postgres

import (
	"context"
	"errors"

	"invoicer/invoice"
)

// A reservation is a number that is kept for a transaction.
type reservation struct {
	number int64
	date   string // "" if the document's date is its issued_at
}

// notReserved is SQL of whether the row i of invoices has no reserved number.
const notReserved = `NOT EXISTS (SELECT FROM invoicer.reserved_numbers r WHERE r.issuer = i.issuer AND r.series = i.series AND r.period = i.period AND r.number = i.number)`

// findReserved finds the numbers that are kept for the members' transactions, where any are reserved at all.
func findReserved(ctx context.Context, f *flight, group []*write, locked counters) error {
	var issuers, series, periods, transactions array
	members := make(map[[4]string]*write)
	for _, w := range group {
		key := slotKey(w.draft.Slot)
		if counter := locked[key]; counter == nil || counter.reservedTo == nil {
			continue
		}
		id := w.draft.Job.TransactionID
		members[[4]string{key[0], key[1], key[2], id}] = w
		issuers.text(key[0])
		series.text(key[1])
		periods.text(key[2])
		transactions.text(id)
	}
	if len(members) == 0 {
		return nil
	}
	f.add(`SELECT r.issuer, r.series, r.period, r.transaction_id, number, coalesce(dated::text, '') AS dated FROM invoicer.reserved_numbers r
JOIN unnest(?::text[], ?::text[], ?::text[], ?::text[]) AS asked (issuer, series, period, transaction_id) USING (issuer, series, period, transaction_id)`,
		&issuers, &series, &periods, &transactions).Query(collect(func(r *struct {
		Issuer, Series, Period, TransactionID string
		Number                                int64
		Dated                                 string
	},
	) error {
		members[[4]string{r.Issuer, r.Series, r.Period, r.TransactionID}].reserved = &reservation{r.Number, r.Dated}
		return nil
	}))
	return f.send(ctx)
}

// A Reserved is a number that is to be kept. Its TransactionID is "" if nobody knows it.
type Reserved struct {
	Number                               int64
	TransactionID, InvoiceNumber, Source string
	Date                                 string
}

// ErrCounterMoved is returned by [Invoices.Reserve] if the counter isn't where it was when the caller looked at it.
var ErrCounterMoved = errors.New("the counter has moved meanwhile: run the command again")

// Reserve keeps numbers, which follow the counter's last one without a gap, for their transactions, and has the counter go on above them.
// It makes the counter if there is none. It returns [ErrCounterMoved] if the numbers don't follow the last one.
func (s *Invoices) Reserve(ctx context.Context, slot invoice.SlotKey, numbers []Reserved, by, note string) error {
	var of, transactions, printed, sources, dates array
	for _, n := range numbers {
		of.integer(n.Number)
		transactions.text(n.TransactionID)
		printed.text(n.InvoiceNumber)
		sources.text(n.Source)
		dates.text(n.Date)
	}
	err := s.db.WithContext(ctx).Exec(`INSERT INTO invoicer.reserved_numbers (issuer, series, period, number, transaction_id, invoice_number, source, dated, actor, note)
SELECT ?, ?, ?, number, nullif(transaction_id, ''), nullif(invoice_number, ''), source, nullif(dated, '')::date, ?, ?
FROM unnest(?::bigint[], ?::text[], ?::text[], ?::text[], ?::text[]) AS n (number, transaction_id, invoice_number, source, dated)`,
		slot.Issuer, slot.Series, slot.Period, storable(by), nullable(storable(note)), &of, &transactions, &printed, &sources, &dates).Error
	if violates(err, "reserved_numbers_next") {
		return ErrCounterMoved
	}
	return classify(err)
}

// MadeIn returns at most so many documents of a slot with numbers above after and up to that one, in their order.
func (s *Invoices) MadeIn(ctx context.Context, slot invoice.SlotKey, after, upTo int64, most int) ([]invoice.Made, error) {
	var rows []struct {
		Number                                    int64
		InvoiceNumber, TransactionID, Chain, Date string
	}
	err := s.db.WithContext(ctx).Raw(`SELECT number, invoice_number, transaction_id, coalesce(document_date::text, '') AS date,
    coalesce(chain, (SELECT l.chain FROM invoicer.invoice_links l WHERE l.invoice_id = i.id), '') AS chain
FROM invoicer.invoices i WHERE issuer = ? AND series = ? AND period = ? AND number > ? AND number <= ? ORDER BY number LIMIT ?`,
		slot.Issuer, slot.Series, slot.Period, after, upTo, most).Scan(&rows).Error
	made := make([]invoice.Made, len(rows))
	for i, r := range rows {
		made[i] = invoice.Made{Numbered: invoice.Numbered{SlotKey: slot, Number: r.Number, Date: r.Date}, InvoiceNumber: r.InvoiceNumber, TransactionID: r.TransactionID, Chain: r.Chain}
	}
	return made, classify(err)
}
