package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"invoicer/invoice/ledger"
	"invoicer/invoice/outbox"
)

// Add adds an endpoint of an operator's. It counts from the next transaction on.
func (o *Outbox) Add(ctx context.Context, e outbox.Endpoint, by ledger.Actor) error {
	err := o.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		var id int64
		if err := tx.Raw("INSERT INTO invoicer.event_endpoints (name, url, types, issuers, origin) VALUES (?, ?, ?, ?, 'operator') RETURNING id",
			e.Name, e.URL, textArray(e.Types), textArray(e.Issuers)).Row().Scan(&id); err != nil {
			return err
		}
		for _, secret := range slices.Backward(e.Secrets) { // each before those that are there
			if err := setSecret(tx, id, &secret); err != nil {
				return err
			}
		}
		return onRecord(tx, "endpoint add", e.Name, by)
	})
	if pg := new(pgconn.PgError); errors.As(err, &pg) && pg.ConstraintName == "event_endpoints_name_key" {
		return &outbox.EndpointExistsError{Name: e.Name}
	}
	return classify(err)
}

// Change changes an endpoint. The secret is a new one, for [outbox.RotateSecret]. It returns [outbox.ErrNoEndpoint] if there is none, or none that can be changed so.
func (o *Outbox) Change(ctx context.Context, name, change, secret string, by ledger.Actor) error {
	return classify(o.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		var id int64
		set := map[string]string{
			outbox.EnableEndpoint:  "state = 'enabled', reason = NULL, failing_since = NULL, changed_at = now()",
			outbox.DisableEndpoint: "state = 'disabled', reason = 'by ' || @by, changed_at = now()",
			outbox.RemoveEndpoint:  "state = 'removed', changed_at = now()",
			outbox.RotateSecret:    "changed_at = changed_at", // what it is stays, and since when
		}[change]
		of := ""
		if change == outbox.RotateSecret {
			of = " AND origin = 'operator'"
		}
		err := tx.Raw("UPDATE invoicer.event_endpoints SET "+set+" WHERE name = @name AND state <> 'removed'"+of+" RETURNING id",
			sql.Named("by", by.Name), sql.Named("name", name)).Row().Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return outbox.ErrNoEndpoint
		}
		if err == nil && change == outbox.RotateSecret {
			err = setSecret(tx, id, &secret)
		}
		if err == nil && change == outbox.RemoveEndpoint {
			err = setSecret(tx, id, nil)
		}
		if err == nil && change == outbox.RemoveEndpoint {
			err = tx.Exec("UPDATE invoicer.event_deliveries SET state = 'dead', ended_at = now(), error = 'its endpoint was removed' WHERE endpoint_id = ? AND state = 'pending'", id).Error
		}
		if err != nil {
			return err
		}
		return onRecord(tx, "endpoint "+change, name, by)
	}))
}

// setSecret gives an endpoint a new secret, nil for none any more. Whoever may do that needn't be able to read secrets.
func setSecret(tx *gorm.DB, endpoint int64, secret *string) error {
	return tx.Exec("SELECT invoicer.set_endpoint_secret(?, ?)", endpoint, secret).Error
}

// Set changes where the endpoint with that name is, and what it is told. It is enabled if its URL changes. It returns
// [outbox.ErrNoEndpoint] if there is none, none of an operator's, or none within the issuers.
func (o *Outbox) Set(ctx context.Context, name string, c outbox.Changes, by ledger.Actor) error {
	var issuers []string
	if c.Issuers != nil {
		issuers = *c.Issuers
	}
	return classify(o.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		set := tx.Exec(`UPDATE invoicer.event_endpoints SET url = coalesce(@url, url), types = coalesce(@types, types), issuers = CASE WHEN @limits THEN @issuers ELSE issuers END, changed_at = now(),
    state = CASE coalesce(@url, url) WHEN url THEN state ELSE 'enabled' END, reason = CASE coalesce(@url, url) WHEN url THEN reason END, failing_since = CASE coalesce(@url, url) WHEN url THEN failing_since END
WHERE name = @name AND state <> 'removed' AND origin = 'operator' AND (CAST(@within AS text[]) IS NULL OR issuers <@ CAST(@within AS text[]))`,
			sql.Named("name", name), sql.Named("within", textArray(c.Within)), sql.Named("url", c.URL), sql.Named("types", textArray(c.Types)), sql.Named("limits", c.Issuers != nil), sql.Named("issuers", textArray(issuers)))
		if set.Error == nil && set.RowsAffected == 0 {
			return outbox.ErrNoEndpoint
		}
		if set.Error != nil {
			return set.Error
		}
		return onRecord(tx, "endpoint set", name, by)
	}))
}

func onRecord(tx *gorm.DB, action, subject string, by ledger.Actor) error {
	return tx.Exec("INSERT INTO invoicer.actions (action, subject, actor, note) VALUES (?, ?, ?, nullif(?, ''))", action, subject, by.Name, by.Note).Error
}

// Test has an endpoint be told a test, and returns the event's id. It returns [outbox.ErrNoEndpoint] if there is none.
func (o *Outbox) Test(ctx context.Context, name string, by ledger.Actor) (string, error) {
	var id sql.NullString
	err := o.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		err := tx.Raw("SELECT invoicer.test_endpoint(id)::text FROM invoicer.event_endpoints WHERE name = ? AND state <> 'removed'", name).Row().Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return outbox.ErrNoEndpoint
		}
		if err != nil {
			return err
		}
		return onRecord(tx, "endpoint test", name, by)
	})
	return id.String, classify(err)
}

// toldWhere returns the conditions of a filter: those alone that are set, so that an index is used where there is one.
func toldWhere(f *outbox.ToldFilter) (where string, args []any) {
	where = " WHERE true"
	add := func(set bool, condition, name string, value any) {
		if set {
			where += " AND " + condition
			args = append(args, sql.Named(name, value))
		}
	}
	add(f.Endpoint != "", "p.name = @endpoint", "endpoint", f.Endpoint)
	add(f.State != "", "d.state = @state", "state", f.State)
	add(f.Type != "", "e.type = @type", "type", f.Type)
	add(f.TransactionID != "", "e.transaction_id = @transaction", "transaction", f.TransactionID)
	add(f.EventID != "", "e.event_id::text = lower(@event)", "event", f.EventID)
	add(f.Row != 0, "d.event_id = @row", "row", f.Row)
	add(f.Issuers != nil, "d.issuer = ANY (@issuers)", "issuers", textArray(f.Issuers))
	add(!f.Since.IsZero(), "e.created_at >= @since", "since", f.Since)
	if f.After.Row != 0 {
		where += " AND (d.event_id, d.endpoint_id) < (@after, @after_endpoint)"
		args = append(args, sql.Named("after", f.After.Row), sql.Named("after_endpoint", f.After.Endpoint))
	}
	return where, args
}

// Told returns what endpoints were told, or are to be told, the newest first.
func (o *Outbox) Told(ctx context.Context, f outbox.ToldFilter) ([]outbox.Told, error) {
	where, args := toldWhere(&f)
	rows, err := o.db.WithContext(ctx).Raw(`SELECT e.event_id::text, e.type, e.issuer, coalesce(e.transaction_id, ''), coalesce(e.job_id, ''), e.data::text, e.created_at,
    p.name, d.state, d.attempts, coalesce(d.status, 0), coalesce(d.error, ''), CASE WHEN d.state = 'pending' THEN d.due_at END, d.ended_at, d.event_id, d.endpoint_id
FROM invoicer.event_deliveries d JOIN invoicer.events e ON e.id = d.event_id JOIN invoicer.event_endpoints p ON p.id = d.endpoint_id`+where+
		" ORDER BY d.event_id DESC, d.endpoint_id DESC LIMIT @limit", append(args, sql.Named("limit", f.Limit))...).Rows()
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	list := []outbox.Told{}
	for rows.Next() {
		var t outbox.Told
		var data string
		if err := rows.Scan(&t.ID, &t.Type, &t.Issuer, &t.TransactionID, &t.JobID, &data, &t.CreatedAt, &t.Endpoint, &t.State, &t.Attempts, &t.Status, &t.Error, &t.DueAt, &t.EndedAt,
			&t.Place.Row, &t.Place.Endpoint); err != nil {
			return nil, err
		}
		t.Data, t.CreatedAt = json.RawMessage(data), t.CreatedAt.UTC()
		list = append(list, t)
	}
	return list, classify(rows.Err())
}

// lastAnswersAmong is how many deliveries are looked at for the last answers, so that it takes no longer the more there are.
const lastAnswersAmong = 1000

// LastAnswers returns what endpoints answered last, by their ids, as far as it is found among the newest deliveries and those whose next attempt is furthest ahead.
func (o *Outbox) LastAnswers(ctx context.Context) (map[int64]outbox.Answer, error) {
	rows, err := o.db.WithContext(ctx).Raw(`WITH newest AS MATERIALIZED (SELECT endpoint_id, event_id, state, status, error, ended_at FROM invoicer.event_deliveries ORDER BY event_id DESC LIMIT @most)
SELECT p.id, coalesce(a.status, 0), coalesce(a.error, ''), a.ended_at FROM invoicer.event_endpoints p CROSS JOIN LATERAL (
    (SELECT 1 AS place, event_id, status, error, ended_at FROM (
        SELECT * FROM invoicer.event_deliveries d WHERE d.endpoint_id = p.id AND d.state = 'pending' AND p.failing_since IS NOT NULL ORDER BY d.due_at DESC LIMIT 100) AS waiting
    WHERE status IS NOT NULL OR error IS NOT NULL LIMIT 1)
    UNION ALL (SELECT 2, event_id, status, error, ended_at FROM newest n WHERE n.endpoint_id = p.id AND n.ended_at IS NOT NULL ORDER BY n.ended_at DESC LIMIT 1)
    ORDER BY place LIMIT 1) AS a
WHERE p.state <> 'removed'`, sql.Named("most", lastAnswersAmong)).Rows()
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	answers := make(map[int64]outbox.Answer)
	for rows.Next() {
		var id int64
		var a outbox.Answer
		if err := rows.Scan(&id, &a.Status, &a.Error, &a.At); err != nil {
			return nil, err
		}
		answers[id] = a
	}
	return answers, classify(rows.Err())
}

// Neglected returns, by the ids of enabled endpoints, since when what they are to be told is due, if that is longer ago than a time and none of it
// was claimed within that time. An endpoint that takes nothing may be among them though it is posted to now and then.
func (o *Outbox) Neglected(ctx context.Context, idle time.Duration) (map[int64]time.Time, error) {
	// What was claimed is due again when the claim ends. What waits for an earlier event of its transaction isn't due.
	rows, err := o.db.WithContext(ctx).Raw(`SELECT p.id, oldest.due_at FROM invoicer.event_endpoints p CROSS JOIN LATERAL (
    SELECT due_at FROM (SELECT * FROM invoicer.event_deliveries WHERE endpoint_id = p.id AND state = 'pending' AND due_at < now() - @idle * interval '1 second' ORDER BY due_at, event_id LIMIT 1000) AS d
    WHERE NOT EXISTS (SELECT FROM invoicer.event_deliveries b WHERE b.transaction_id = d.transaction_id AND b.event_id < d.event_id AND b.state = 'pending' AND b.endpoint_id = p.id AND b.issuer = d.issuer)
    ORDER BY due_at LIMIT 1) AS oldest
WHERE p.state = 'enabled' AND NOT EXISTS (
    SELECT FROM invoicer.event_deliveries c WHERE c.endpoint_id = p.id AND c.state = 'pending' AND c.attempts > 0 AND c.due_at > now() AND c.due_at <= now() + @idle * interval '1 second')`,
		sql.Named("idle", idle.Seconds())).Rows()
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	since := make(map[int64]time.Time)
	for rows.Next() {
		var id int64
		var at time.Time
		if err := rows.Scan(&id, &at); err != nil {
			return nil, err
		}
		since[id] = at
	}
	return since, classify(rows.Err())
}

// Replay has endpoints be told again what the filter selects, and returns how much that is. What waits for its next attempt is due at once. Its
// attempts, and the time after which it is given up, begin anew.
func (o *Outbox) Replay(ctx context.Context, f outbox.ToldFilter, dryRun bool, by ledger.Actor) (count int, err error) {
	where, args := toldWhere(&f)
	selected := "FROM invoicer.event_deliveries d JOIN invoicer.events e ON e.id = d.event_id JOIN invoicer.event_endpoints p ON p.id = d.endpoint_id AND p.state <> 'removed'" + where
	if dryRun {
		err := o.db.WithContext(ctx).Raw("SELECT count(*) "+selected, args...).Row().Scan(&count)
		return count, classify(err)
	}
	err = o.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		result := tx.Exec(`UPDATE invoicer.event_deliveries r SET state = 'pending', attempts = 0, due_at = now(), since = now(), ended_at = NULL
FROM (SELECT d.event_id, d.endpoint_id `+selected+` ORDER BY d.endpoint_id, d.event_id FOR UPDATE OF d) AS chosen
WHERE r.event_id = chosen.event_id AND r.endpoint_id = chosen.endpoint_id`, args...)
		count = int(result.RowsAffected)
		if result.Error != nil || count == 0 {
			return result.Error
		}
		return onRecord(tx, "events replay", fmt.Sprintf("%d deliveries", count), by)
	})
	return count, classify(err)
}

// mostLookedAt is how many events are looked at for those that are asked for.
const mostLookedAt = 20_000

// Events returns the events of some issuers, nil for all, after a cursor, in the order in which their transactions began, most at once, together with the cursor after
// them. It passes no event whose transaction is committed later: such events come behind all that it returns. Where few are asked for among many others,
// the cursor goes on though there is none of them: it has come to the end when the cursor stays. It returns
// [outbox.ErrForeignCursor] for a cursor of another server.
func (o *Outbox) Events(ctx context.Context, issuers []string, after outbox.Cursor, types []string, most int) ([]outbox.ReadEvent, outbox.Cursor, error) {
	looked := most
	if types != nil || issuers != nil {
		looked = max(most, mostLookedAt)
	}
	// OFFSET has each event be read by its id, whatever the statistics say.
	rows, err := o.db.WithContext(ctx).Raw(`WITH looked AS MATERIALIZED (
    SELECT xid, id, type, issuer FROM invoicer.events WHERE (xid, id) > (CAST(CAST(@xid AS text) AS xid8), @row) AND xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY xid, id LIMIT @looked
), chosen AS (
    SELECT xid, id FROM looked WHERE (CAST(@types AS text[]) IS NULL OR type = ANY (@types)) AND (CAST(@issuers AS text[]) IS NULL OR issuer = ANY (@issuers))
    ORDER BY xid, id LIMIT @most
)
SELECT last.xid::text::bigint, last.id, chosen.xid::text::bigint, chosen.id, e.event_id::text, e.type, e.issuer, coalesce(e.transaction_id, ''), coalesce(e.job_id, ''), e.data::text, e.created_at
FROM (SELECT xid, id FROM looked ORDER BY xid DESC, id DESC LIMIT 1) AS last
LEFT JOIN (chosen CROSS JOIN LATERAL (SELECT * FROM invoicer.events WHERE id = chosen.id OFFSET 0) AS e) ON true
ORDER BY chosen.xid, chosen.id`, sql.Named("xid", fmt.Sprint(after.XID)), sql.Named("row", after.Row), sql.Named("types", textArray(types)), sql.Named("issuers", textArray(issuers)),
		sql.Named("looked", looked), sql.Named("most", most)).Rows()
	if err != nil {
		return nil, after, classify(err)
	}
	defer rows.Close()
	var list []outbox.ReadEvent
	next := after
	for rows.Next() {
		var e struct {
			XID, Row                                     sql.NullInt64
			ID, Type, Issuer, TransactionID, JobID, Data sql.NullString
			CreatedAt                                    sql.NullTime
		}
		if err := rows.Scan(&next.XID, &next.Row, &e.XID, &e.Row, &e.ID, &e.Type, &e.Issuer, &e.TransactionID, &e.JobID, &e.Data, &e.CreatedAt); err != nil {
			return nil, after, err
		}
		if !e.Row.Valid {
			continue // none of those that were looked at
		}
		list = append(list, outbox.ReadEvent{
			Event: outbox.Event{
				ID: e.ID.String, Type: e.Type.String, Issuer: e.Issuer.String, TransactionID: e.TransactionID.String, JobID: e.JobID.String,
				Data: json.RawMessage(e.Data.String), CreatedAt: e.CreatedAt.Time.UTC(),
			},
			Cursor: outbox.Cursor{XID: uint64(e.XID.Int64), Row: e.Row.Int64},
		})
	}
	if err := rows.Err(); err != nil {
		return nil, after, classify(err)
	}
	if next == after && after != (outbox.Cursor{}) {
		var foreign bool
		if err := o.db.WithContext(ctx).Raw("SELECT CAST(CAST(? AS text) AS xid8) >= pg_snapshot_xmax(pg_current_snapshot())", fmt.Sprint(after.XID)).Row().Scan(&foreign); err != nil {
			return nil, after, classify(err)
		}
		if foreign {
			return nil, after, outbox.ErrForeignCursor
		}
	}
	if len(list) == most { // what comes behind them may be among those that were looked at
		next = list[len(list)-1].Cursor
	}
	return list, next, nil
}

// LastEvent returns the cursor after the newest event that [Outbox.Events] would return.
func (o *Outbox) LastEvent(ctx context.Context) (c outbox.Cursor, err error) {
	err = o.db.WithContext(ctx).Raw("SELECT xid::text::bigint, id FROM invoicer.events WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid DESC, id DESC LIMIT 1").Row().Scan(&c.XID, &c.Row)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return c, classify(err)
}

// Prune deletes events that happened longer ago, of which nothing is to be told any more, with what was told of them, most at once. It returns how many.
func (o *Outbox) Prune(ctx context.Context, age time.Duration, most int, dryRun bool) (count int, err error) {
	old := `SELECT id FROM invoicer.events e WHERE created_at < now() - @age * interval '1 second'
    AND NOT EXISTS (SELECT FROM invoicer.event_deliveries d JOIN invoicer.event_endpoints p ON p.id = d.endpoint_id WHERE d.event_id = e.id AND d.state = 'pending' AND p.state <> 'removed')`
	if dryRun {
		err := o.db.WithContext(ctx).Raw("SELECT count(*) FROM ("+old+") AS old", sql.Named("age", age.Seconds())).Row().Scan(&count)
		return count, classify(err)
	}
	err = o.db.WithContext(ctx).Raw(`WITH old AS (`+old+` ORDER BY id LIMIT @most), told AS (DELETE FROM invoicer.event_deliveries WHERE event_id IN (TABLE old)), gone AS (DELETE FROM invoicer.events WHERE id IN (TABLE old) RETURNING id)
SELECT count(*) FROM gone`, sql.Named("age", age.Seconds()), sql.Named("most", most)).Row().Scan(&count)
	return count, classify(err)
}
