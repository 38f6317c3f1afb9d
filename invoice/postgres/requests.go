package postgres

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// AcceptRequest adds a job to the ledger as [Ledger.Accept] does, and says what was there of its transaction. Under a key it does so once:
// the same request again gets the acceptance of the first, also at the same moment. It returns [ledger.ErrOtherContent] if the key is that
// of a request for something else, with an acceptance that names that one's job and nothing else, [ledger.ErrInProgress] if the first request with the key goes on for longer than the lock timeout, a
// [*ledger.UnknownQueueError] for a queue that no worker has consumed, and an [*invoice.InvalidError] for a job that the database refuses.
func (s *Ledger) AcceptRequest(ctx context.Context, r ledger.Request) (ledger.Acceptance, error) {
	var row struct {
		AcceptedAs, AcceptedInto, Status string
		KnownJobID, InvoiceNumber        *string
		Repeated, OtherContent           bool
	}
	var token *string
	if r.Key != nil {
		token = &r.Token
	}
	err := s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Raw("SELECT * FROM invoicer.accept_request(?, ?, ?::uuid, ?, ?, ?, ?, ?, ?, ?)",
			string(r.Payload), r.Queue, r.JobID, r.Issuer, r.TransactionID, token, r.Key, r.Content, nullable(r.Traceparent), r.OwnKey).Scan(&row).Error
	})
	switch {
	case err != nil && r.Key != nil && isCode(err, "55P03"):
		return ledger.Acceptance{}, ledger.ErrInProgress
	case err != nil:
		return ledger.Acceptance{}, refusal(r.Queue, err)
	case row.OtherContent:
		return ledger.Acceptance{JobID: row.AcceptedAs}, ledger.ErrOtherContent
	}
	return ledger.Acceptance{
		JobID: row.AcceptedAs, Queue: row.AcceptedInto, Standing: ledger.Standing(row.Status), KnownJobID: text(row.KnownJobID), InvoiceNumber: text(row.InvoiceNumber),
		Repeated: row.Repeated,
	}, nil
}

// Asked reports whether the request's transaction has an invoice, or its key is that of a request which was accepted: settings that have changed
// since then refuse it no more.
func (s *Ledger) Asked(ctx context.Context, r ledger.Request) (asked bool, err error) {
	err = s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Raw("SELECT invoicer.request_asked(?, ?, ?, ?, ?)", r.Issuer, r.TransactionID, r.Token, r.Key, r.OwnKey).Scan(&asked).Error
	})
	return asked, classify(err)
}

// AcceptRequests adds jobs for one queue to the ledger, all of them or none, and says of each what was there of its transaction: of several for
// one transaction, the first is what the others find. Keys aren't looked at. Its errors are those of [Ledger.AcceptRequest]; an
// [*invoice.InvalidError] doesn't say whose problems it names.
func (s *Ledger) AcceptRequests(ctx context.Context, queue string, requests []ledger.Request) ([]ledger.Acceptance, error) {
	payloads, ids := make([]string, len(requests)), make([]string, len(requests))
	issuers, transactions := make([]string, len(requests)), make([]string, len(requests))
	for i, r := range requests {
		payloads[i], ids[i], issuers[i], transactions[i] = string(r.Payload), r.JobID, r.Issuer, r.TransactionID
	}
	var rows []struct {
		JobID                     string
		InvoiceNumber, KnownJobID *string
	}
	// What is looked for beside the call is what was there when the statement began.
	err := s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Raw(`SELECT accepted.job_id, accepted.invoice_number, known.job_id AS known_job_id FROM invoicer.accept_many(?::text[], ?, ?::uuid[]) AS accepted
JOIN unnest(?::text[], ?::text[]) WITH ORDINALITY AS asked (issuer, transaction_id, n) ON asked.n = accepted.ordinal
LEFT JOIN LATERAL (
    SELECT j.job_id FROM invoicer.invoice_jobs j WHERE j.transaction_id = asked.transaction_id AND j.issuer = asked.issuer AND j.state IN ('accepted', 'enqueued')
    ORDER BY j.id LIMIT 1
) AS known ON accepted.invoice_number IS NULL
ORDER BY accepted.ordinal`, &payloads, queue, &ids, &issuers, &transactions).Scan(&rows).Error
	})
	if err != nil {
		return nil, refusal(queue, err)
	}
	accepted := make([]ledger.Acceptance, len(rows))
	type transaction struct{ issuer, id string }
	first := make(map[transaction]string)
	for i, row := range rows {
		of := transaction{issuers[i], transactions[i]}
		known := text(row.KnownJobID)
		if known == "" {
			known = first[of]
		}
		if first[of] == "" {
			first[of] = row.JobID
		}
		one := ledger.Acceptance{JobID: row.JobID, Queue: queue, Standing: ledger.Inserted}
		switch {
		case row.InvoiceNumber != nil:
			one.Standing, one.InvoiceNumber = ledger.Duplicate, *row.InvoiceNumber
		case known != "":
			one.Standing, one.KnownJobID = ledger.Known, known
		}
		accepted[i] = one
	}
	return accepted, nil
}

// refusal returns the error of a job that wasn't accepted in the domain's words.
func refusal(queue string, err error) error {
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.ConstraintName == "queue_known":
		return &ledger.UnknownQueueError{Queue: queue, Known: pg.Detail, Err: err}
	case errors.As(err, &pg) && pg.Code == "22023" && pg.ColumnName != "": // what accept refuses; it quotes no personal data
		return &invoice.InvalidError{Problems: stated(pg)}
	}
	return classify(err)
}

// fieldName is a part of a field's name in what is said about it.
const fieldName = `(?:[A-Za-z_][A-Za-z0-9_-]*|"(?:[^"\\]|\\.)*"…?)`

// aboutField is how what is wrong with a field begins: with the field as jobs name it, and one of few verbs.
var aboutField = regexp.MustCompile(`(?:^|; )(` + fieldName + `(?:\.` + fieldName + `|\[[0-9]+\])*) (?:must|is|isn't|has|can't|needs|doesn't|belongs|lacks|[A-Z0-9-]+ isn't) `)

// stated returns the problems that a refusal of accept names, each with its field.
func stated(pg *pgconn.PgError) (list []invoice.Problem) {
	text := strings.TrimPrefix(pg.Message, "invalid job: ")
	starts := aboutField.FindAllStringSubmatchIndex(text, -1)
	if len(starts) == 0 || starts[0][0] > 0 {
		return []invoice.Problem{{Field: pg.ColumnName, Message: strings.TrimPrefix(text, pg.ColumnName+" ")}}
	}
	for i, at := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		list = append(list, invoice.Problem{Field: text[at[2]:at[3]], Message: text[at[3]+1 : end]})
	}
	return list
}

// PruneRequests deletes at most limit requests that are older than the given time, and returns how many. A dry run returns how many there
// are, without a limit.
func (s *Ledger) PruneRequests(ctx context.Context, keep time.Duration, limit int, dryRun bool) (n int, err error) {
	const old = "FROM invoicer.api_requests WHERE created_at < now() - make_interval(secs => ?)"
	query, values := "SELECT count(*) "+old, []any{keep.Seconds()}
	if !dryRun {
		query = "WITH pruned AS (DELETE FROM invoicer.api_requests WHERE ctid = ANY (ARRAY(SELECT ctid " + old + " LIMIT ?)) RETURNING 1) SELECT count(*) FROM pruned"
		values = append(values, limit)
	}
	err = s.autocommit(ctx, func(db *gorm.DB) error { return db.Raw(query, values...).Row().Scan(&n) })
	return n, classify(err)
}
