package audit

import (
	"context"
	"encoding/json"

	"invoicer/internal/seals"
	"invoicer/invoice"
)

// chains verifies the links of all invoices. An invoice without a link, which an earlier release has written, is counted; a
// new chain begins after it.
//
// Within a slot, ids rise with the numbers, unless somebody has put rows there by hand. So most chains can be
// verified in the order of the ids, while everything else is. Those in which a number comes out of order are left, from there on,
// to a second reading, in the order of the numbers.
type chains struct {
	check    Check
	hasher   invoice.Hasher
	ends     map[seals.Slot]*chainEnd
	inOrder  bool // the invoices now come in the order of their numbers
	all      bool // every chain is verified then
	again    bool // some chain needs the second reading
	unlinked int64
}

func (i *storedInvoice) slot() seals.Slot {
	return seals.Slot{Issuer: i.issuer, Series: i.series, Period: i.period}
}

// A chainEnd is the last invoice of a slot whose link was verified.
type chainEnd struct {
	number   int64 // at first, the one before the first
	linked   bool
	link     invoice.Hash
	unsorted bool
}

func (s *session) newChains(ctx context.Context) (*chains, error) {
	c := &chains{ends: make(map[seals.Slot]*chainEnd), all: s.options.Seals != nil, check: Check{
		Name: "chain", Promises: []int{7}, limit: s.options.Limit,
		Proves: "each invoice is as it was when it was linked to the one before it",
	}}
	rows, err := s.tx.Query(ctx, `
SELECT coalesce(issuer, ''), coalesce(series, ''), coalesce(period, ''), coalesce(max(first_number), 1) FROM invoice_series GROUP BY issuer, series, period`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var key seals.Slot
		var first int64
		if err := rows.Scan(&key.Issuer, &key.Series, &key.Period, &first); err != nil {
			return nil, err
		}
		c.ends[key] = &chainEnd{number: first - 1}
	}
	return c, rows.Err()
}

// turn returns the end that the invoice is to be added to, nil if it isn't the invoice's turn.
func (c *chains) turn(row *storedInvoice) *chainEnd {
	key := row.slot()
	end := c.ends[key]
	if end == nil {
		end = &chainEnd{}
		c.ends[key] = end
	}
	switch {
	case row.sequence == nil:
		return nil // which its number's check has found
	case c.inOrder:
		if !end.unsorted && !c.all || *row.sequence <= end.number {
			return nil
		}
	case end.unsorted || c.all:
		return nil
	case *row.sequence != end.number+1:
		end.unsorted, c.again = true, true
		return nil
	}
	return end
}

// add verifies the link of an invoice. Its record is nil if what is stored can't be read, which another check has found.
func (c *chains) add(row *storedInvoice, record *invoice.Record) {
	end := c.turn(row)
	if end == nil {
		return
	}
	end.number = *row.sequence
	if row.link.chain == "" {
		c.unlinked++
		end.linked, end.link = false, invoice.Hash{}
		return
	}
	c.check.Examined++
	link, err := invoice.ParseLink(row.link.chain)
	switch {
	case err != nil || !row.link.complete():
		c.check.add("invoices", "its link can't be read", append(row.identity(), Field{"chain", row.link.chain}))
	case record != nil:
		c.verify(end, row, record)
	}
	end.linked, end.link = err == nil, link
}

func (c *chains) verify(end *chainEnd, row *storedInvoice, record *invoice.Record) {
	texts := c.hasher.Texts(record, row.link.salt)
	if [len(texts)]byte(row.link.texts) != texts {
		c.check.add("invoices", "its texts are not those with which it was linked", row.identity())
	}
	// The chain goes on with the stored hash, which stays when the texts go.
	computed := invoice.FormatLink(invoice.Link(end.link, c.hasher.Digest(record, invoice.Hash(row.link.texts))))
	if computed != row.link.chain {
		problem := "it is not what was linked, or not after the invoice that is before it"
		if !end.linked {
			problem = "it is not what was linked, or another invoice was before it"
		}
		c.check.add("invoices", problem, append(row.identity(), Field{"chain", row.link.chain}, Field{"computed", computed}))
	}
}

// A storedLink is what an invoice's row, or the one that was added to it later, has of its chain.
type storedLink struct {
	chain       string // "" for none
	salt, texts []byte
}

func (l *storedLink) complete() bool {
	return len(l.salt) == invoice.SaltSize && len(l.texts) == len(invoice.Hash{})
}

// record returns the row with the lines and taxes that were gathered for it, or nil if they can't be read.
func (r *reading) record(row *storedInvoice) *invoice.Record {
	if row.sequence == nil || row.number == nil || row.subtotal == nil || row.tax == nil || row.total == nil || len(row.job.Lines) != len(r.lineRows) {
		return nil
	}
	if json.Unmarshal([]byte(row.metadata), &row.job.Metadata) != nil {
		row.job.Metadata = map[string]string{"": row.metadata} // which no invoice was linked with
	}
	totals := &r.totals
	*totals = invoice.Totals{Subtotal: *row.subtotal, Tax: *row.tax, Total: *row.total, Payable: *row.payableOrTotal(), LineNets: totals.LineNets[:0], Taxes: totals.Taxes[:0]}
	r.numbers = r.numbers[:0]
	for i := range r.lineRows {
		l := &r.lineRows[i]
		if l.position == nil || l.net == nil {
			return nil
		}
		r.numbers = append(r.numbers, *l.position)
		totals.LineNets = append(totals.LineNets, *l.net)
	}
	for i := range r.taxRows {
		t := &r.taxRows[i]
		percent, err := invoice.ParseDecimal(t.percent)
		if err != nil || t.net == nil || t.tax == nil {
			return nil
		}
		totals.Taxes = append(totals.Taxes, invoice.Tax{Code: t.code, Category: t.category, Percent: percent, Net: *t.net, Added: t.added, Tax: *t.tax})
	}
	return &invoice.Record{
		Slot:   invoice.Slot{Issuer: row.issuer, Series: row.series, Period: row.period, Kind: invoice.Kind(row.kind), Version: int(row.seriesVersion)},
		Number: *row.sequence, Printed: *row.number, Job: &row.job, JobID: row.jobID, Fingerprint: row.fingerprint, Totals: totals, Positions: r.numbers,
		CreatedAt: row.createdAt, AcceptedAt: row.acceptedAt, WorkerVersion: row.workerVersion, ContentHash: row.contentHash,
		SettingsVersion: int(row.settingsVersion), IssuerVersion: int(row.issuerVersion), DocumentDate: row.documentDate,
	}
}

// chained reads the invoices once more, in the order of their numbers, and hands each to the function with its record.
func (s *session) chained(ctx context.Context, total int64, each func(*storedInvoice, *invoice.Record) error) error {
	r, err := s.read(ctx, inOrderOfNumbers)
	if err != nil {
		return err
	}
	s.options.Progress("chain", 0, total)
	for done := int64(1); ; done++ {
		row, err := r.invoices.peek(ctx)
		if err != nil || row == nil {
			return err
		}
		if err := r.gather(ctx, row.place); err != nil {
			return err
		}
		var record *invoice.Record
		if r.readLines(row) {
			record = r.record(row)
		}
		if err := each(row, record); err != nil {
			return err
		}
		r.invoices.take()
		if done%progressEvery == 0 {
			s.options.Progress("chain", done, total)
		}
	}
}
