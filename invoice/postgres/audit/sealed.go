package audit

import (
	"cmp"
	"context"
	"encoding/hex"
	"time"

	"invoicer/internal/seals"
	"invoicer/invoice"
)

// A Snapshot is what a seal is of.
type Snapshot struct {
	Database string // its id
	TakenAt  time.Time
	Invoices int64 // that are new
}

// A SealsReport says which seals the invoices were compared with.
type SealsReport struct {
	Seals    int       `json:"seals"`
	TakenAt  time.Time `json:"taken_at"`         // when the last one was taken
	Sealed   int64     `json:"sealed"`           // invoices
	Unsealed int64     `json:"unsealed"`         // invoices that came after the last seal
	Since    int       `json:"since,omitempty"`  // the seal up to which neither sums nor fingerprints were computed again
	Hashed   int64     `json:"hashed,omitempty"` // the invoices of which that is so
}

// A comparison compares the invoices, in the order of their numbers, with the entries of seals.
type comparison struct {
	check   Check
	entries *seals.Entries
	sealed  *seals.Sealed // the next entry, nil after the last
	last    map[seals.Slot]seals.Head
	heads   map[headKey]string // the sealed links
	since   map[seals.Slot]int64
	hasher  invoice.Hasher
	report  SealsReport

	reserved map[headKey]bool // numbers that may be given out after later ones were sealed

	slot   seals.Slot // of the invoice before
	broken bool       // something of this slot differs already
}

type headKey struct {
	slot   seals.Slot
	number int64
}

func (s *session) newComparison(ctx context.Context, folder *seals.Folder) (*comparison, error) {
	id, err := s.databaseID(ctx)
	if err != nil {
		return nil, err
	}
	if sealed := folder.Database(); sealed != id {
		return nil, &ForeignFolderError{sealed, id}
	}
	c := &comparison{last: folder.Heads(), heads: make(map[headKey]string), since: make(map[seals.Slot]int64), check: Check{
		Name: "seals", Promises: []int{3, 7}, limit: s.options.Limit,
		Proves: "each sealed invoice is there, and is what it was when it was sealed",
	}}
	for _, seal := range folder.Seals() {
		c.report.Seals, c.report.TakenAt, c.report.Sealed = seal.Number, seal.TakenAt, c.report.Sealed+seal.Invoices
		for _, h := range seal.Heads {
			if seal.Number <= s.options.Since {
				c.since[h.Slot()] = h.Number
			}
			if h.Chain != "" {
				c.heads[headKey{h.Slot(), h.Number}] = h.Chain
			}
		}
	}
	c.report.Since = s.options.Since
	if c.entries, err = folder.Entries(ctx); err != nil {
		return nil, err
	}
	c.sealed, err = c.entries.Next()
	return c, err
}

// covers reports whether the invoice is one of those that the last full audit has seen, as seals prove.
func (c *comparison) covers(row *storedInvoice) bool {
	if c == nil || row.sequence == nil {
		return false
	}
	covered := *row.sequence <= c.since[row.slot()] && !c.reserved[headKey{row.slot(), *row.sequence}]
	if covered {
		c.report.Hashed++
	}
	return covered
}

// rest reports the entries after the last invoice.
func (c *comparison) rest() (err error) {
	for err == nil && c.sealed != nil {
		err = c.gone()
	}
	return err
}

// skip leaves out the entries up to a position, which were compared before.
func (c *comparison) skip(to position) (err error) {
	for err == nil && c.sealed != nil && cmp.Or(c.sealed.Slot.Compare(to.slot()), cmp.Compare(c.sealed.Number, to.Number)) <= 0 {
		c.sealed, err = c.entries.Next()
	}
	return err
}

// gone reports the next entry as one whose invoice isn't there.
func (c *comparison) gone() (err error) {
	e := c.sealed
	c.check.Examined++
	c.check.add("invoices", "it was sealed, and is not there", append(issued(e.Slot.Issuer), Row{
		{"series", e.Slot.Series},
		{"period", e.Slot.Period},
		{"number", e.Number},
		{"invoice_number", e.InvoiceNumber},
		{"transaction_id", e.TransactionID},
		{"seal", e.Seal},
	}...))
	if c.slot == e.Slot {
		c.broken = true
	}
	c.sealed, err = c.entries.Next()
	return err
}

// before returns whether the next entry comes before the invoice, negative if so, or is the invoice's, 0 if so.
func (c *comparison) before(row *storedInvoice) int {
	e := c.sealed
	if e == nil || row.sequence == nil {
		return 1
	}
	return cmp.Or(e.Slot.Compare(row.slot()), cmp.Compare(e.Number, *row.sequence))
}

// add compares an invoice with its entry.
func (c *comparison) add(row *storedInvoice, record *invoice.Record) error {
	for c.before(row) < 0 {
		if err := c.gone(); err != nil {
			return err
		}
	}
	if slot := row.slot(); slot != c.slot {
		c.slot, c.broken = slot, false
	}
	if c.before(row) > 0 {
		if row.sequence != nil && (*row.sequence > c.last[c.slot].Number || c.reserved[headKey{c.slot, *row.sequence}]) {
			c.report.Unsealed++
			return nil
		}
		c.broken = true
		c.check.Examined++
		c.check.add("invoices", "it was not sealed, although later ones of its series were", row.identity())
		return nil
	}
	e := c.sealed
	c.check.Examined++
	if problem := c.differs(row, record, e); problem != "" {
		found := append(row.identity(), Field{"seal", e.Seal})
		if e.TransactionID != row.job.TransactionID {
			found = append(found, Field{"sealed_transaction_id", e.TransactionID})
		}
		c.broken = true
		c.check.add("invoices", problem, found)
	}
	// Once something differs, so do all links after it, if they were computed again.
	if sealed := c.heads[headKey{row.slot(), e.Number}]; !c.broken && sealed != "" && sealed != row.link.chain {
		c.broken = true
		c.check.add("invoices", "its link is not what was sealed",
			append(row.identity(), Field{"chain", row.link.chain}, Field{"sealed", sealed}, Field{"seal", e.Seal}))
	}
	var err error
	c.sealed, err = c.entries.Next()
	return err
}

// differs returns how an invoice differs from what was sealed, "" if it doesn't.
func (c *comparison) differs(row *storedInvoice, record *invoice.Record, e *seals.Sealed) string {
	const differs = "it is not what was sealed"
	if record == nil {
		return differs + ": it can't even be read"
	}
	var texts invoice.Hash
	if e.Salt != "" && row.erased {
		return "" // it had no link, and its texts are gone: nothing is left to compare with
	}
	if e.Salt != "" {
		salt, err := hex.DecodeString(e.Salt)
		if err != nil {
			return differs
		}
		texts = c.hasher.Texts(record, salt)
	} else {
		if len(row.link.texts) != len(texts) {
			return differs + ": it has no link any more"
		}
		texts = invoice.Hash(row.link.texts)
	}
	if digest := c.hasher.Digest(record, texts); hex.EncodeToString(digest[:]) != e.Digest {
		return differs
	}
	// The digest has the stored hash of the texts, which stays when they go.
	if len(row.link.salt) > 0 && e.Salt == "" && c.hasher.Texts(record, row.link.salt) != texts {
		return "its texts are not those that were sealed"
	}
	return ""
}
