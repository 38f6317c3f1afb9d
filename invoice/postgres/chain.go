package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"invoicer/invoice"
)

// Each invoice has a link in the chain of its series and period: see [invoice.Link]. Whoever holds the counter's lock reads
// the last invoice's link and adds the next ones, so links follow numbers. An invoice with a reserved number may come after those
// with higher ones: its link follows nothing, and nothing follows it.

// mostLate is the number of invoices without a link that a transaction links at most before its own. Where more stand, a new
// chain begins, since the counter is held meanwhile.
const mostLate = 200

// A head is the end of a chain, to which the next link is added.
type head struct {
	linked bool // whether the last invoice has a link
	link   invoice.Hash
	last   int64 // the last invoice's number, 0 for none
}

// addHeads adds the statement that reads the heads of the slots' chains, the newest version of what is known of the issuers, and the time that the invoices of this transaction
// will have as created_at. Its snapshot must be taken when the counters are locked.
func addHeads(f *flight, group []*write, found counters) {
	issuers, series, periods, _ := slotsOf(group)
	// The subqueries, unlike joins, read by the key whatever the planner thinks of the tables' sizes.
	f.add(`
SELECT issuer, series, period, CASE WHEN last_number >= first_number THEN head ELSE 0 END,
    to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    CASE WHEN issuer <> '' THEN coalesce((SELECT max(version) FROM invoicer.issuers i WHERE i.issuer = s.issuer), 0) ELSE 0 END,
    coalesce((SELECT chain FROM invoicer.invoices i WHERE i.issuer = s.issuer AND i.series = s.series AND i.period = s.period AND i.number = s.head),
        (SELECT chain FROM invoicer.invoice_links WHERE invoice_id = (
            SELECT id FROM invoicer.invoices i WHERE i.issuer = s.issuer AND i.series = s.series AND i.period = s.period AND i.number = s.head)))
FROM (
    SELECT *, CASE WHEN last_number IS DISTINCT FROM reserved_to THEN last_number ELSE coalesce((
        SELECT number FROM invoicer.invoices i WHERE i.issuer = c.issuer AND i.series = c.series AND i.period = c.period AND number <= c.last_number AND `+notReserved+`
        ORDER BY number DESC LIMIT 1), 0) END AS head
    FROM invoicer.invoice_series c WHERE (issuer, series, period) IN (SELECT * FROM unnest(?::text[], ?::text[], ?::text[]))
) s`,
		&issuers, &series, &periods).Query(collect(func(r *struct {
		Issuer, Series, Period string
		Last                   int64
		Now                    string
		IssuerVersion          int
		Chain                  *string
	},
	) error {
		if counter := found[counterKey{r.Issuer, r.Series, r.Period}]; counter != nil {
			counter.now, counter.issuerVersion, counter.head = r.Now, r.IssuerVersion, head{last: r.Last}
			if r.Chain != nil {
				counter.head.follow(*r.Chain)
			}
		}
		return nil
	}))
}

// follow makes a stored link the head. On one that can't be read nothing can follow, so a new chain begins: the audit sees
// that, and numbering goes on.
func (h *head) follow(chain string) {
	link, err := invoice.ParseLink(chain)
	h.linked, h.link = err == nil, link
}

// A lateLink is the link of an invoice that a worker wrote which knew no chain.
type lateLink struct {
	id          int64
	chain       string
	salt, texts []byte
}

// linkLate reads what workers that know no chain have written since the last link, in the chains to which the rows' links
// will be added, and adds the statement that stores links for it.
func linkLate(ctx context.Context, f *flight, locked counters) error {
	var late []lateLink
	asked := false
	for _, key := range slices.SortedFunc(maps.Keys(locked), byKey) {
		counter := locked[key]
		if !counter.advanced || counter.head.linked || counter.head.last == 0 {
			continue
		}
		asked = true
		f.add(selectSinceLink, key[0], key[1], key[2], counter.head.last-mostLate, counter.head.last).Query(func(rows pgx.Rows) error {
			links, err := counter.head.catchUp(rows)
			late = append(late, links...)
			return err
		})
	}
	if !asked {
		return nil
	}
	if err := f.send(ctx); err != nil {
		return err
	}
	if len(late) > 0 {
		addLateLinks(f, late)
	}
	return nil
}

// selectSinceLink selects the last linked invoice among those with the given numbers, and all after it. Without one it
// selects nothing.
//
//nolint:gochecknoglobals // a constant, which needs another one
var selectSinceLink = `
WITH tail AS MATERIALIZED (
    SELECT i.id AS tail_id, coalesce(i.chain, l.chain) AS tail_chain, i.number AS tail_number
    FROM invoicer.invoices i LEFT JOIN invoicer.invoice_links l ON l.invoice_id = i.id
    WHERE i.issuer = ? AND i.series = ? AND i.period = ? AND i.number BETWEEN ? AND ? AND ` + notReserved + `
)
SELECT tail_chain, ` + recordColumns + `
FROM tail JOIN invoicer.invoices i ON i.id = tail_id
WHERE tail_number >= (SELECT max(tail_number) FROM tail WHERE tail_chain IS NOT NULL)
ORDER BY tail_number`

// catchUp makes links for the invoices of the rows, of which the first has one, and moves the head past them. If one of them
// can't be read, it makes none, and a new chain begins.
func (h *head) catchUp(rows pgx.Rows) ([]lateLink, error) {
	defer rows.Close()
	var (
		links  []lateLink
		hasher invoice.Hasher
		broken bool
	)
	for rows.Next() {
		var chain *string
		stored, err := scanRecord(rows, &chain)
		if errors.Is(err, errUnreadable) || broken {
			broken = true
			continue
		}
		if err != nil {
			return nil, err
		}
		if chain != nil {
			h.follow(*chain)
			broken = !h.linked
			continue
		}
		salt := newSalts(1)
		texts := hasher.Texts(&stored.Record, salt)
		h.link = invoice.Link(h.link, hasher.Digest(&stored.Record, texts))
		links = append(links, lateLink{stored.ID, invoice.FormatLink(h.link), salt, texts[:]})
	}
	if broken {
		links = nil
		*h = head{last: h.last}
	}
	return links, rows.Err()
}

// newSalts returns salts for n records.
func newSalts(n int) []byte {
	salts := make([]byte, n*invoice.SaltSize)
	_, _ = rand.Read(salts) // it never fails
	return salts
}

func addLateLinks(f *flight, late []lateLink) {
	var ids, chains, salts, texts array
	for _, l := range late {
		ids.integer(l.id)
		chains.text(l.chain)
		salts.bytes(l.salt)
		texts.bytes(l.texts)
	}
	f.add(`INSERT INTO invoicer.invoice_links (invoice_id, chain, salt, text_hash)
SELECT * FROM unnest(?::bigint[], ?::text[], ?::bytea[], ?::bytea[])`, &ids, &chains, &salts, &texts)
}

// addLinks gives each row its link, in the order in which the rows are numbered.
func addLinks(rows []*write, locked counters, version string) error {
	salts := newSalts(len(rows))
	var hasher invoice.Hasher
	for i, w := range rows {
		counter := locked[slotKey(w.draft.Slot)]
		if counter.now == "" {
			return fmt.Errorf("series %s: the head of its chain wasn't read", w.draft.Slot.Series)
		}
		if terms := w.draft.Job.Terms; terms == nil || terms.Seller == nil {
			w.issuerVersion = counter.issuerVersion
		}
		record := invoice.Record{
			Slot: w.draft.Slot, Number: w.number, Printed: w.made.Number, Job: w.draft.Job, JobID: w.draft.JobID, Fingerprint: w.draft.Fingerprint,
			Totals: w.draft.Totals, CreatedAt: counter.now, AcceptedAt: w.asked, WorkerVersion: version, ContentHash: w.content,
			SettingsVersion: w.draft.Settings.Version, IssuerVersion: w.issuerVersion, DocumentDate: w.date,
		}
		w.salt = salts[i*invoice.SaltSize : (i+1)*invoice.SaltSize]
		w.texts = hasher.Texts(&record, w.salt)
		digest := hasher.Digest(&record, w.texts)
		if w.reserved != nil {
			w.chain = invoice.FormatLink(invoice.Link(invoice.Hash{}, digest))
			continue
		}
		counter.head.link = invoice.Link(counter.head.link, digest)
		counter.head.linked = true
		w.chain = invoice.FormatLink(counter.head.link)
	}
	return nil
}
