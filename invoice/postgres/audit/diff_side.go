package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A side is one of two databases that are compared: its invoices in the order of their numbers, piece by piece.
type side struct {
	session *session
	report  PlaceReport
	table   string   // SQL of its invoices, with all columns that are read, by the name invoices
	links   string   // SQL of the links that were added later
	lacks   []string // what an older schema doesn't have
	other   bool     // it is the one there

	planned bool
	pieces  []piece
	cursor  *cursor[Document] // of the first piece; nil between two of them
	last    position          // that was taken, if any was
	taken   bool
	total   int64

	waiting []Document // that didn't meet one of their numbers and transactions on the other side
}

// openSide takes the first snapshot, and finds out what the schema has.
func openSide(ctx context.Context, o DiffOptions, place Place) (_ *side, err error) {
	options := Options{URL: place.URL, Schema: place.Schema, Snapshot: o.Snapshot, Piece: o.Piece}
	options.setDefaults()
	s := &side{}
	if s.session, err = open(ctx, options, []string{"invoices", "database_identity"}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.session.end(ctx) // the first error says more
		}
	}()
	s.report.Schema, s.report.TakenAt = options.Schema, s.session.takenAt
	if err := s.identify(ctx); err != nil {
		return nil, err
	}
	if err := s.findColumns(ctx); err != nil {
		return nil, err
	}
	return s, s.session.readTablesOnly(ctx)
}

// name is what messages call it, at the beginning of a sentence.
func (s *side) name() string {
	if s.other {
		return "there"
	}
	return "here"
}

// identify finds out which database it is.
func (s *side) identify(ctx context.Context) error {
	tx, r := s.session.tx, &s.report
	var told, versions bool
	err := tx.QueryRow(ctx, `SELECT (SELECT id::text FROM database_identity), pg_is_in_recovery(),
    concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()), (SELECT oid FROM pg_database WHERE datname = current_database())),
    coalesce(has_function_privilege(to_regprocedure('pg_control_system()'), 'EXECUTE'), false),
    to_regclass('goose_db_version') IS NOT NULL`).Scan(&r.DatabaseID, &r.Standby, &r.server, &told, &versions)
	if err == nil && told { // a managed server may keep it to itself
		err = tx.QueryRow(ctx, "SELECT system_identifier::text FROM pg_control_system()").Scan(&r.System)
	}
	if err == nil && versions {
		err = tx.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied").Scan(&r.Version)
	}
	return err
}

// findColumns has what an older schema lacks read as empty. What every release has is needed.
func (s *side) findColumns(ctx context.Context) error {
	var columns []string
	var links bool
	if err := s.session.tx.QueryRow(ctx, `SELECT coalesce(array_agg(attname::text), '{}'), to_regclass('invoice_links') IS NOT NULL
FROM pg_attribute WHERE attrelid = 'invoices'::regclass AND attnum > 0 AND NOT attisdropped`).Scan(&columns, &links); err != nil {
		return err
	}
	for _, needed := range []string{"id", "series", "period", "number", "invoice_number", "transaction_id", "fingerprint", "currency", "total_minor", "created_at"} {
		if !slices.Contains(columns, needed) {
			return fmt.Errorf("the table invoices in schema %q has no column %s: compare it with the release that it belongs to", s.report.Schema, needed)
		}
	}
	var empty []string
	for _, later := range []struct{ column, as, lacks string }{
		{"issuer", "''::text", "knows no issuers"},
		{"chain", "NULL::text", "has no links, so they aren't compared"},
		{"erasure_id", "NULL::bigint", "knows nothing of what is forgotten"},
	} {
		if !slices.Contains(columns, later.column) {
			empty = append(empty, later.as+" AS "+later.column)
			s.lacks = append(s.lacks, later.lacks)
		}
	}
	s.table = "invoices"
	if empty != nil {
		s.table = "(SELECT ctid, invoices.*, " + strings.Join(empty, ", ") + " FROM invoices) AS invoices"
	}
	s.links = "(SELECT NULL::bigint AS invoice_id, NULL::text AS chain WHERE false)"
	if known := knownVersion(); s.report.Version > known {
		s.lacks = append(s.lacks, fmt.Sprintf("is newer than this program, which knows migrations up to %d: what came later isn't compared", known))
	}
	if links {
		s.links = "invoice_links"
		s.session.tables = append(s.session.tables, s.links) // of the snapshots to come
		_, err := s.session.tx.Exec(ctx, "LOCK TABLE invoice_links IN ACCESS SHARE MODE")
		return err
	}
	return nil
}

const documentColumns = `coalesce(issuer, ''), coalesce(series, ''), coalesce(period, ''), coalesce(number, 9223372036854775807), coalesce(invoice_number, ''),
    coalesce(transaction_id, ''), coalesce(fingerprint, ''), coalesce(currency, ''), coalesce(total_minor, 0), coalesce(invoices.chain, late.chain, ''), created_at, erasure_id IS NOT NULL`

func scanDocument(row pgx.CollectableRow) (d Document, err error) {
	err = row.Scan(&d.Issuer, &d.Series, &d.Period, &d.Number, &d.InvoiceNumber, &d.TransactionID, &d.Fingerprint, &d.Currency, &d.TotalMinor, &d.Chain, &d.CreatedAt, &d.Erased)
	d.CreatedAt = d.CreatedAt.UTC()
	return d, err
}

// inBatch is how many documents a fetch returns.
const inBatch = 5000

// peek returns the next document, or nil after the last, as [cursor.peek] does.
func (s *side) peek(ctx context.Context) (*Document, error) {
	one, err := s.next(ctx)
	if err != nil && s.other {
		err = &PlaceError{err}
	}
	return one, err
}

func (s *side) next(ctx context.Context) (*Document, error) {
	for {
		if s.cursor != nil {
			if one, err := s.cursor.peek(ctx); one != nil || err != nil {
				return one, err
			}
			if err := s.endPiece(ctx); err != nil {
				return nil, err
			}
		}
		if !s.planned {
			if err := s.plan(ctx); err != nil {
				return nil, err
			}
		}
		if len(s.pieces) == 0 {
			return nil, nil //nolint:nilnil // see above
		}
		if err := s.beginPiece(ctx, &s.pieces[0]); err != nil {
			return nil, err
		}
		s.pieces = s.pieces[1:]
	}
}

// take moves to the document after the one that peek returned.
func (s *side) take() {
	s.report.Invoices++
	one := &s.cursor.batch[s.cursor.next]
	s.last, s.taken = position{one.Issuer, one.Series, one.Period, one.Number}, true
	s.cursor.take()
}

func (s *side) plan(ctx context.Context) error {
	var after *position
	if s.taken {
		after = &s.last
	}
	buckets, err := s.session.invoiceBuckets(ctx, s.table, after)
	if err != nil {
		return err
	}
	s.pieces, s.planned = s.session.pieces(buckets), true
	s.total = s.report.Invoices
	if len(s.pieces) > 0 {
		s.total += s.pieces[0].andMore
	}
	return nil
}

func (s *side) beginPiece(ctx context.Context, p *piece) (err error) {
	s.cursor, err = declare(ctx, s.session.tx, "documents", "SELECT "+documentColumns+" FROM "+s.table+" LEFT JOIN (SELECT invoice_id, chain FROM "+s.links+" AS links WHERE "+p.ids()+
		") AS late ON late.invoice_id = invoices.id"+p.where()+byNumber, inBatch, scanDocument)
	return err
}

// endPiece changes to a newer snapshot if this one is held for long.
func (s *side) endPiece(ctx context.Context) error {
	if err := s.cursor.close(ctx); err != nil {
		return err
	}
	s.cursor = nil
	return s.renew(ctx)
}

// renew changes to a newer snapshot if this one is held for long. Rows may be elsewhere in it.
func (s *side) renew(ctx context.Context) error {
	again, err := s.session.renew(ctx)
	if again {
		s.cursor, s.planned = nil, false
	}
	return err
}

// refresh is for a side that waits in the middle of a piece until the other one has come so far.
func (s *side) refresh(ctx context.Context) error {
	err := s.renew(ctx)
	if err != nil && s.other {
		err = &PlaceError{err}
	}
	return err
}

// alone keeps a document until its transaction is looked for on the other side.
func (s *side) alone(d *Document) { s.waiting = append(s.waiting, *d) }

type transaction struct{ issuer, id string }

func transactionOf(d *Document) transaction { return transaction{d.Issuer, d.TransactionID} }

// byTransaction returns the documents of the transactions that those of the other side have.
func (s *side) byTransaction(ctx context.Context, wanted []Document) (map[transaction]*Document, error) {
	known, err := s.lookUp(ctx, wanted)
	if err != nil && s.other {
		err = &PlaceError{err}
	}
	return known, err
}

func (s *side) lookUp(ctx context.Context, wanted []Document) (map[transaction]*Document, error) {
	var issuers, ids []string
	for i := range wanted {
		issuers, ids = append(issuers, wanted[i].Issuer), append(ids, wanted[i].TransactionID)
	}
	// These few are found by the index, which the planner may think dearer than a scan of the table, many times over. If the index were
	// corrupt, a document that has another number would be reported as missing: it is a difference in any case.
	known := make(map[transaction]*Document)
	batch := &pgx.Batch{}
	batch.Queue("SET LOCAL enable_indexscan = on")
	batch.Queue("SET LOCAL random_page_cost = 0")
	batch.Queue("SELECT "+documentColumns+" FROM unnest($1::text[], $2::text[]) AS wanted (of_issuer, of_transaction) JOIN "+s.table+
		" ON transaction_id = of_transaction AND issuer = of_issuer LEFT JOIN "+s.links+" AS late ON late.invoice_id = invoices.id", issuers, ids).Query(func(rows pgx.Rows) error {
		found, err := pgx.CollectRows(rows, scanDocument)
		for i := range found {
			known[transactionOf(&found[i])] = &found[i]
		}
		return err
	})
	batch.Queue("SET LOCAL enable_indexscan = off")
	batch.Queue("SET LOCAL random_page_cost TO DEFAULT")
	return known, s.session.tx.SendBatch(ctx, batch).Close()
}

// end returns what was read.
func (s *side) end() PlaceReport {
	s.report.Snapshots = s.session.snapshots
	return s.report
}
