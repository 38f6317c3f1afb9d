package checker

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
)

// present tells whether a job has gone in, as far as one can say.
func (c *check) present(r *request) bool {
	e := c.ends[r.ID]
	return !r.Unknown || e != nil && len(e.invoices)+len(e.duplicates)+len(e.rows) > 0
}

// bad is a job's row if it says that the job ended badly.
func (e *ends) bad() []*jobRow {
	return slices.DeleteFunc(slices.Clone(e.rows), func(row *jobRow) bool { return row.State != "failed" && row.State != "dismissed" })
}

// job judges how one job ended.
func (c *check) job(r *request) {
	if !c.present(r) {
		return
	}
	if !r.Unknown && r.Ledger {
		c.report.Ledger++
	} else if !r.Unknown {
		c.report.Direct++
	}
	e := c.of(r.ID)
	bad := e.bad()
	switch n := len(e.invoices) + len(e.duplicates) + len(bad); {
	case n == 0 && r.Ledger && len(e.rows) == 0:
		c.say(Lost, "job %s of transaction %s was accepted and has no row in the ledger", r.ID, r.TransactionID)
		return
	case n == 0:
		c.say(Lost, "job %s of transaction %s has no end%s", r.ID, r.TransactionID, stateOf(e.rows))
		return
	case n > 1:
		c.say(Doubled, "job %s of transaction %s has %d ends: %d invoices, %d duplicates, %d failures", r.ID, r.TransactionID, n,
			len(e.invoices), len(e.duplicates), len(bad))
	}
	c.row(r, e)
	for _, i := range e.invoices {
		if r.invalid != nil {
			c.say(Wrong, "job %s has an invoice and can be none: %v", r.ID, r.invalid)
		} else if i.TransactionID != r.TransactionID {
			c.say(Wrong, "job %s of transaction %s has the invoice of transaction %s", r.ID, r.TransactionID, i.TransactionID)
		}
	}
	for _, d := range e.duplicates {
		c.duplicate(r, d)
	}
	for _, row := range bad {
		c.badEnd(r, row)
	}
}

func stateOf(rows []*jobRow) string {
	if len(rows) == 0 {
		return ""
	}
	return ", and its row says " + rows[0].State
}

// row judges whether the ledger says the same as the other tables.
func (c *check) row(r *request, e *ends) {
	switch {
	case len(e.rows) == 0 && r.Ledger:
		c.say(Lost, "job %s of transaction %s was accepted and has no row in the ledger", r.ID, r.TransactionID)
		return
	case len(e.rows) == 0:
		return
	case len(e.rows) > 1:
		c.say(Doubled, "job %s has %d rows in the ledger", r.ID, len(e.rows))
		return
	}
	row := e.rows[0]
	if !bytes.Equal(row.Payload, r.Payload) {
		c.say(Wrong, "job %s: the ledger's payload is not what was sent", r.ID)
	}
	if r.invalid == nil && row.TransactionID != r.TransactionID {
		c.say(Wrong, "job %s: the ledger says transaction %q, asked for was %s", r.ID, row.TransactionID, r.TransactionID)
	}
	var want string
	var invoiceID int64
	switch {
	case len(e.invoices) > 0:
		want, invoiceID = "done created", e.invoices[0].ID
	case len(e.duplicates) > 0:
		want, invoiceID = "done duplicate", e.duplicates[0].InvoiceID
	case r.Ledger:
		return // its row is its end
	default:
		return
	}
	if got := row.State + " " + row.Outcome; got != want || row.InvoiceID != invoiceID {
		c.say(Wrong, "job %s: the ledger says %s of invoice %d, the tables say %s of invoice %d", r.ID, got, row.InvoiceID, want, invoiceID)
	}
	if !r.Ledger && row.State != "failed" && row.State != "dismissed" {
		c.say(Stranger, "job %s was enqueued directly and is in the ledger as %s", r.ID, row.State)
	}
}

func (c *check) duplicate(r *request, d *duplicateRow) {
	i := c.invoice(d.InvoiceID)
	switch {
	case r.invalid != nil:
		c.say(Wrong, "job %s is recorded as a duplicate and can be none: %v", r.ID, r.invalid)
	case i == nil:
		c.say(Wrong, "job %s is recorded as a duplicate of invoice %d, which isn't there", r.ID, d.InvoiceID)
	case i.TransactionID != r.TransactionID || d.TransactionID != r.TransactionID:
		c.say(Wrong, "job %s of transaction %s is recorded as a duplicate for %s of the invoice of %s", r.ID, r.TransactionID, d.TransactionID, i.TransactionID)
	default:
		if different := difference(c.content(i), r.content); different != "" {
			c.say(Wrong, "job %s is recorded as a duplicate and is a conflict: invoice %s %s", r.ID, i.InvoiceNumber, different)
		}
	}
}

func (c *check) badEnd(r *request, row *jobRow) {
	switch row.Outcome {
	case "failed":
		c.report.Failed++
	case "invalid":
		c.report.Invalid++
		if r.invalid == nil {
			c.say(Wrong, "job %s of transaction %s is recorded as invalid and is valid", r.ID, r.TransactionID)
		}
	case "conflict":
		c.report.Conflicts++
		switch {
		case r.invalid != nil:
			c.say(Wrong, "job %s is recorded as a conflict and is invalid: %v", r.ID, r.invalid)
		case !c.inConflict(r):
			c.say(Wrong, "job %s of transaction %s is recorded as a conflict and nothing conflicts with it", r.ID, r.TransactionID)
		}
	default:
		c.say(Wrong, "job %s has state %s and outcome %q", r.ID, row.State, row.Outcome)
	}
}

// inConflict tells whether the job's transaction is invoiced with other content, or its key is another transaction's.
func (c *check) inConflict(r *request) bool {
	for _, i := range c.byTransaction[r.TransactionID] {
		if difference(c.content(i), r.content) != "" {
			return true
		}
	}
	for _, i := range c.byKey[r.IdempotencyKey] {
		if i.TransactionID != r.TransactionID {
			return true
		}
	}
	return false
}

// transactions looks for those that should be invoiced and aren't, and for those that are twice.
func (c *check) transactions(ids []string) {
	unended := make(map[string]bool) // transactions with a valid job that hasn't visibly failed
	for _, id := range ids {
		if r := c.requests[id]; r.invalid == nil && !r.Unknown {
			unended[r.TransactionID] = unended[r.TransactionID] || len(c.of(id).bad()) == 0
		}
	}
	for _, transaction := range slices.Sorted(maps.Keys(unended)) {
		if unended[transaction] && len(c.byTransaction[transaction]) == 0 {
			c.say(Lost, "transaction %s has no invoice", transaction)
		}
	}
	for _, transaction := range slices.Sorted(maps.Keys(c.byTransaction)) {
		if n := len(c.byTransaction[transaction]); n > 1 {
			c.say(Doubled, "transaction %s has %d invoices", transaction, n)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.byKey)) {
		if n := len(c.byKey[key]); n > 1 {
			c.say(Doubled, "idempotency key %s has %d invoices", key, n)
		}
	}
}

// invoices compares each with what its own job asked for.
func (c *check) invoices() {
	for n := range c.stored.invoices {
		i := &c.stored.invoices[n]
		r := c.requests[i.JobID]
		if r == nil || r.invalid != nil {
			continue // told elsewhere
		}
		if different := difference(c.content(i), r.content); different != "" {
			c.say(Wrong, "invoice %s is not what its job %s asked for: it %s", i.InvoiceNumber, i.JobID, different)
		}
		if different := difference(c.figures(i), r.figures); different != "" {
			c.say(Wrong, "invoice %s of job %s is calculated wrongly: it %s", i.InvoiceNumber, i.JobID, different)
		}
		if i.IdempotencyKey != r.IdempotencyKey {
			c.say(Wrong, "invoice %s has the key %s, its job %s has %s", i.InvoiceNumber, i.IdempotencyKey, i.JobID, r.IdempotencyKey)
		}
		if !maps.Equal(i.Metadata, r.Metadata) {
			c.say(Wrong, "invoice %s has other metadata than its job %s", i.InvoiceNumber, i.JobID)
		}
		if want := fmt.Sprintf("%s-%06d", i.Series, i.Number); i.InvoiceNumber != want {
			c.say(Wrong, "invoice %s is printed as such and is %s", i.InvoiceNumber, want)
		}
	}
}

// A slot is where numbers are counted.
type slot struct{ series, period string }

func (c *check) numbers() {
	numbers := make(map[slot][]int64)
	for _, i := range c.stored.invoices {
		at := slot{i.Series, i.Period}
		numbers[at] = append(numbers[at], i.Number)
	}
	counted := make(map[slot]bool)
	for _, counter := range c.counters {
		at := slot{counter.Series, counter.Period}
		counted[at] = true
		if n := int64(len(numbers[at])); counter.LastNumber != n {
			c.say(Gap, "the counter of series %s %s says %d, and there are %d invoices", at.series, at.period, counter.LastNumber, n)
		}
	}
	for at, all := range numbers {
		if !counted[at] {
			c.say(Gap, "series %s %s has no counter", at.series, at.period)
		}
		if problem := sequence(all); problem != "" {
			c.say(Gap, "series %s %s: %s", at.series, at.period, problem)
		}
	}
}

// sequence tells in what numbers aren't 1 to n; "" when they are.
func sequence(numbers []int64) string {
	slices.Sort(numbers)
	for i, n := range numbers {
		if want := int64(i + 1); n != want {
			return fmt.Sprintf("of %d numbers the one in place %d is %d", len(numbers), want, n)
		}
	}
	return ""
}

// strangers looks for ends and rows of jobs that never went in.
func (c *check) strangers() {
	for _, id := range slices.Sorted(maps.Keys(c.ends)) {
		e := c.ends[id]
		if n := len(e.invoices) + len(e.duplicates) + len(e.rows); c.requests[id] == nil && n > 0 {
			c.say(Stranger, "job %s never went in, and has %d invoices, %d duplicates and %d rows in the ledger", id,
				len(e.invoices), len(e.duplicates), len(e.rows))
		}
	}
	for id, lines := range c.lines {
		if c.invoice(id) == nil {
			c.say(Stranger, "%d lines belong to invoice %d, which isn't there", len(lines), id)
		}
	}
}
