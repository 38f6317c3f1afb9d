package postgres

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// maxGroup is the largest number of drafts in one transaction.
const maxGroup = 200

// maxBytes bounds the estimated size of the drafts in one transaction, so that a statement stays far from its
// timeout. It is enough for 20,000 lines of the usual length.
const maxBytes = 8 << 20

// A writing is the statement that writes whole groups, and the columns of each table.
type writing struct {
	invoices  []column[*write]
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
		invoices: invoiceColumns(version), lines: lineColumns(), taxes: taxColumns(), counters: counterColumns(), ends: endColumns(),
		counts: countColumns(),
	}
	const id = "(SELECT ids FROM drawn)[" + memberColumn + "]"
	insertion := func(names string) (target, source string) {
		rest := strings.TrimPrefix(names, memberColumn+", ")
		return "invoice_id, " + rest, id + ", " + rest
	}
	lineTarget, lineSource := insertion(names(w.lines))
	taxTarget, taxSource := insertion(names(w.taxes))
	// The ids are drawn first, so that no join is needed to find each invoice's id. The times come first, as they
	// aren't passed as text.
	w.statement = `
WITH drawn AS MATERIALIZED (
    SELECT array_agg(nextval('invoicer.invoices_id_seq')) AS ids FROM generate_series(1, ?)
), written AS (
    INSERT INTO invoicer.invoices (id, issued_at, ` + names(w.invoices) + `)
    OVERRIDING SYSTEM VALUE
    SELECT ` + id + `, issued_at, ` + names(w.invoices) + `
    FROM unnest(?::timestamptz[], ` + list(w.invoices, func(c column[*write]) string { return "?::" + c.kind + "[]" }) + `)
        WITH ORDINALITY AS a (issued_at, ` + names(w.invoices) + `, ` + memberColumn + `)
), lines AS (
    INSERT INTO invoicer.invoice_lines (` + lineTarget + `)
    SELECT ` + lineSource + ` FROM ` + unnest(w.lines, "l") + `
), taxes AS (
    INSERT INTO invoicer.invoice_taxes (` + taxTarget + `)
    SELECT ` + taxSource + ` FROM ` + unnest(w.taxes, "t") + `
), counters AS (
    UPDATE invoicer.invoice_series SET last_number = c.last_number, last_date = coalesce(c.last_date, invoice_series.last_date)
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

// parameters returns the statement's parameters for a group, whose ends are counted in a row of the worker and the lane.
func (w *writing) parameters(group []*write, worker string, lane int64, locked counters) ([]any, error) {
	invoices, lines, taxes := newRows(w.invoices), newRows(w.lines), newRows(w.taxes)
	counters, ends, counts := newRows(w.counters), newRows(w.ends), newRows(w.counts)
	byProducer := make(map[string]int64)
	issuedAt := make([]time.Time, len(group)) // not as text: the two sides read the text of some years differently
	for i, one := range group {
		member, job, totals := int64(i+1), one.draft.Job, &one.draft.Totals
		one.metadata = "{}"
		if len(job.Metadata) > 0 {
			metadata, err := json.Marshal(job.Metadata)
			if err != nil {
				return nil, fmt.Errorf("metadata: %w", err)
			}
			one.metadata = string(metadata)
		}
		var err error
		if one.terms, one.parties, err = spelled(job.Terms); err != nil {
			return nil, err
		}
		issuedAt[i] = job.IssuedAt
		byProducer[job.Producer]++
		invoices.add(one)
		for n := range job.Lines {
			row := lineRow{member: member, position: int64(n + 1), line: &job.Lines[n], net: totals.LineNets[n]}
			if row.terms, row.texts, err = spelled(job.Lines[n].Terms); err != nil {
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
	all := []any{len(group), &issuedAt}
	for _, table := range [][]any{invoices.parameters(), lines.parameters(), taxes.parameters(), counters.parameters(), ends.parameters()} {
		all = append(all, table...)
	}
	return append(append(all, worker, lane), counts.parameters()...), nil
}

// spelled returns what a job or a line states beyond version 1 as two JSON texts, "" for nothing.
func spelled[T any, P interface {
	*T
	Spell() (public, personal []byte, err error)
}](terms P) (public, personal string, err error) {
	if terms == nil {
		return "", "", nil
	}
	a, b, err := terms.Spell()
	return string(a), string(b), err
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
