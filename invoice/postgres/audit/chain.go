package audit

import (
	"encoding/json"

	"invoicer/internal/seals"
	"invoicer/invoice"
)

// chains verifies the links of all invoices, which come in the order of their numbers. An invoice without a link, which an earlier
// release has written, is counted; a new chain begins after it.
type chains struct {
	check    Check
	hasher   invoice.Hasher
	end      chainEnd         // of the current slot
	reserved map[headKey]bool // numbers whose links stand alone
	unlinked int64
}

func (i *storedInvoice) slot() seals.Slot {
	return seals.Slot{Issuer: i.issuer, Series: i.series, Period: i.period}
}

// A chainEnd is the last invoice of a slot whose link was verified.
type chainEnd struct {
	Number int64 // at first, the one before the first
	Linked bool
	Link   invoice.Hash
}

func newChains(limit int) chains {
	return chains{check: Check{
		Name: "chain", Promises: []int{7}, limit: limit,
		Proves: "each invoice is as it was when it was linked to the one before it",
	}}
}

// add verifies the link of an invoice. Its record is nil if what is stored can't be read, which another check has found, as it has one
// without a number, or with that of another one.
func (c *chains) add(row *storedInvoice, record *invoice.Record) {
	end := &c.end
	if row.sequence == nil || *row.sequence <= end.Number {
		return
	}
	end.Number = *row.sequence
	if c.reserved[headKey{row.slot(), *row.sequence}] {
		end = &chainEnd{} // it follows nothing, and nothing follows it
	}
	if row.link.chain == "" {
		c.unlinked++
		end.Linked, end.Link = false, invoice.Hash{}
		return
	}
	c.check.Examined++
	link, err := invoice.ParseLink(row.link.chain)
	switch {
	case err != nil || !row.link.complete(row.erased):
		c.check.add("invoices", "its link can't be read", append(row.identity(), Field{"chain", row.link.chain}))
	case record != nil:
		c.verify(end, row, record)
	}
	end.Linked, end.Link = err == nil, link
}

func (c *chains) verify(end *chainEnd, row *storedInvoice, record *invoice.Record) {
	texts := c.hasher.Texts(record, row.link.salt)
	if row.erased && row.link.salt == nil {
		texts = invoice.Hash(row.link.texts) // they are gone; what is left is linked by it all the same
	}
	if [len(texts)]byte(row.link.texts) != texts {
		c.check.add("invoices", "its texts are not those with which it was linked", row.identity())
	}
	// The chain goes on with the stored hash, which stays when the texts go.
	computed := invoice.FormatLink(invoice.Link(end.Link, c.hasher.Digest(record, invoice.Hash(row.link.texts))))
	if computed != row.link.chain {
		problem := "it is not what was linked, or not after the invoice that is before it"
		if !end.Linked {
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

func (l *storedLink) complete(erased bool) bool {
	return (len(l.salt) == invoice.SaltSize || erased && l.salt == nil) && len(l.texts) == len(invoice.Hash{})
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
