package postgres

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"invoicer/invoice"
)

// maxGroup is the largest number of drafts in one transaction.
const maxGroup = 200

// maxBytes bounds the estimated size of the drafts in one transaction, so that a statement stays far from its
// timeout. It is enough for 20,000 lines of the usual length.
const maxBytes = 8 << 20

// A writing is the statement that writes whole groups, and the columns of each table.
type writing struct {
	version   string // of the worker
	invoices  []column[invoiceRow]
	slots     []column[slotRow]
	lines     []column[lineRow]
	taxes     []column[taxRow]
	counters  []column[lastRow]
	ends      []column[endRow]
	counts    []column[countRow]
	statement string
}

// newWriting builds the statement. Each column is an array, so that one statement serves any number of rows; GORM's
// multi-row Create would use reflection for each row.
func newWriting(version string) *writing {
	w := &writing{
		version: version, invoices: invoiceColumns(), slots: slotColumns(), lines: lineColumns(), taxes: taxColumns(), counters: counterColumns(),
		ends: endColumns(), counts: countColumns(),
	}
	const id = "(SELECT ids FROM drawn)[" + memberColumn + "]"
	own := w.invoices[1:] // without the slot, which has columns of its own
	ofSlot := func(c column[slotRow]) string {
		return "(?::" + c.kind + "[])[coalesce(" + slotColumn + ", " + w.invoices[0].usual + ")]" + castTo(c.cast)
	}
	// The ids are drawn first, so that no join is needed to find each invoice's id. The times come first, as they
	// aren't passed as text. Salts and hashes have one length each, so those of all members are passed as one bytea.
	w.statement = `
WITH drawn AS MATERIALIZED (
    SELECT array_agg(nextval('invoicer.invoices_id_seq')) AS ids FROM generate_series(1, ?)
), written AS (
    INSERT INTO invoicer.invoices (id, issued_at, worker_version, salt, text_hash, ` + names(w.slots) + ", " + names(own) + `)
    OVERRIDING SYSTEM VALUE
    SELECT ` + id + `, issued_at, ?::text, ` + part(invoice.SaltSize) + `, ` + part(len(invoice.Hash{})) + `, ` + list(w.slots, ofSlot) + `, ` + values(own) + `
    FROM unnest(?::timestamptz[], ` + list(w.invoices, func(c column[invoiceRow]) string { return "?::" + c.kind + "[]" }) + `)
        WITH ORDINALITY AS a (issued_at, ` + names(w.invoices) + `, ` + memberColumn + `)
), lines AS (
    INSERT INTO invoicer.invoice_lines (invoice_id, position, ` + names(w.lines[1:]) + `)
    SELECT (SELECT ids FROM drawn)[` + placeColumn + ` >> ` + strconv.Itoa(positionBits) + `], ` + placeColumn + ` & ` + strconv.Itoa(1<<positionBits-1) + `, ` + values(w.lines[1:]) + `
    FROM ` + unnest(w.lines, "l") + `
), taxes AS (
    INSERT INTO invoicer.invoice_taxes (invoice_id, ` + names(w.taxes[1:]) + `)
    SELECT ` + id + `, ` + values(w.taxes[1:]) + ` FROM ` + unnest(w.taxes, "t") + `
), counters AS (
    UPDATE invoicer.invoice_series SET last_number = c.last_number, last_date = coalesce(c.last_date::date, invoice_series.last_date)
    FROM ` + unnest(w.counters, "c") + `
    WHERE invoice_series.issuer = c.issuer AND invoice_series.series = c.series AND invoice_series.period = c.period
), jobs AS (
    UPDATE invoicer.invoice_jobs SET state = 'done', outcome = 'created', reason = NULL, invoice_id = ` + id + `,
        attempts = j.attempts, updated_at = now()
    FROM ` + unnest(w.ends, "j") + ` WHERE invoice_jobs.id = j.id
), counted AS (
    INSERT INTO invoicer.producer_counts (window_start, worker, lane, ` + names(w.counts) + `)
    SELECT ` + windowStart + `, ?, ?, ` + names(w.counts) + ` FROM ` + unnest(w.counts, "c") + `
    ` + addToCounts + `
)
SELECT array_to_string(ids, ',') FROM drawn`
	return w
}

// part returns SQL of a member's part of a parameter in which each member has the given number of bytes.
func part(size int) string {
	bytes := strconv.Itoa(size)
	return "substr(?::bytea, (" + memberColumn + "::integer - 1) * " + bytes + " + 1, " + bytes + ")"
}

// parameters returns the statement's parameters for a group, whose ends are counted in a row of the worker and the lane.
func (w *writing) parameters(group []*write, worker string, lane int64, locked counters) ([]any, error) {
	allLines, allTaxes := 0, 0
	for _, one := range group {
		allLines += len(one.draft.Job.Lines)
		allTaxes += len(one.draft.Totals.Taxes)
	}
	invoices, slots, lines, taxes := newRows(w.invoices, len(group)), newRows(w.slots, 1), newRows(w.lines, allLines), newRows(w.taxes, allTaxes)
	counters, ends, counts := newRows(w.counters, 1), newRows(w.ends, len(group)), newRows(w.counts, 1)
	byProducer, bySlot := make(map[string]int64), make(map[slotRow]int64)
	issuedAt := make([]time.Time, len(group)) // not as text: the two sides read the text of some years differently
	salts, texts := make([]byte, 0, len(group)*invoice.SaltSize), make([]byte, 0, len(group)*len(invoice.Hash{}))
	for i, one := range group {
		member, job, totals := int64(i+1), one.draft.Job, one.draft.Totals
		one.metadata = ""
		if len(job.Metadata) > 0 {
			metadata, err := json.Marshal(job.Metadata)
			if err != nil {
				return nil, fmt.Errorf("metadata: %w", err)
			}
			one.metadata = string(metadata)
		}
		var err error
		if one.terms, one.parties, err = job.Terms.Spell(); err != nil {
			return nil, err
		}
		issuedAt[i] = job.IssuedAt
		salts, texts = append(salts, one.salt...), append(texts, one.texts[:]...)
		byProducer[job.Producer]++
		shared := slotRow{one.draft.Slot, one.draft.Settings.Version, one.date}
		if bySlot[shared] == 0 {
			slots.add(shared)
			bySlot[shared] = int64(len(bySlot) + 1)
		}
		invoices.add(invoiceRow{one, bySlot[shared]})
		for n := range job.Lines {
			row := lineRow{member: member, position: int64(n + 1), line: &job.Lines[n], net: totals.LineNets[n]}
			if row.terms, row.texts, err = job.Lines[n].Terms.Spell(); err != nil {
				return nil, err
			}
			lines.add(row)
		}
		for n := range totals.Taxes {
			taxes.add(taxRow{member, &totals.Taxes[n]})
		}
		if one.ledgerID != 0 {
			ends.add(endRow{one.ledgerID, member, int64(one.draft.Attempt)})
		}
	}
	for key, counter := range locked {
		if counter.advanced {
			counters.add(lastRow{key, counter.lastNumber, counter.dateText()})
		}
	}
	for producer, ended := range byProducer {
		counts.add(countRow{producer, ended})
	}
	all := append([]any{len(group), nullable(w.version), &salts, &texts}, slots.parameters()...)
	all = append(all, &issuedAt)
	for _, table := range [][]any{invoices.parameters(), lines.parameters(), taxes.parameters(), counters.parameters(), ends.parameters()} {
		all = append(all, table...)
	}
	return append(append(all, worker, lane), counts.parameters()...), nil
}

// addWrite adds the statement that writes all rows of the members: invoices, lines, taxes, counters, and the ends in
// the ledger's rows of those jobs that have one. It adds the ends to the counts of their producers. Once the statement is answered, the ids of the new invoices are set
// and written is called.
func (s *Invoices) addWrite(f *flight, group []*write, lane int64, locked counters, written func()) error {
	parameters, err := s.writing.parameters(group, s.options.Worker, lane, locked)
	if err != nil {
		return err
	}
	f.add(s.writing.statement, parameters...).QueryRow(func(row pgx.Row) error {
		var drawn string
		if err := row.Scan(&drawn); err != nil {
			return err
		}
		f.forgetWarning() // any warning from here on belongs to COMMIT
		written()
		return setIDs(group, drawn)
	})
	return nil
}

func setIDs(group []*write, drawn string) (err error) {
	ids := strings.Split(drawn, ",")
	if len(ids) != len(group) {
		return fmt.Errorf("%d ids were drawn for %d invoices", len(ids), len(group))
	}
	for i, w := range group {
		if w.made.ID, err = strconv.ParseInt(ids[i], 10, 64); err != nil {
			return err
		}
	}
	return nil
}
