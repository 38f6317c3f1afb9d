package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"invoicer/invoice/outbox"
)

// Outbox holds events, and what endpoints are told of them. Triggers write them.
type Outbox struct{ *core }

// Configure makes the endpoints that this process's configuration states known. Those that other processes have stated stay. An endpoint that
// was disabled stays so until its URL changes, or somebody enables it. The types that are recorded without an endpoint are then those that are
// stated here: the process that has started last decides.
func (o *Outbox) Configure(ctx context.Context, endpoints []outbox.Endpoint, record []string) error {
	return classify(o.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		// Two processes that start together don't wait for each other's rows in different orders.
		if err := tx.Exec("SELECT pg_advisory_xact_lock(hashtextextended('invoicer endpoints', 0))").Error; err != nil {
			return err
		}
		for i := range endpoints {
			e := &endpoints[i]
			var other string
			if err := tx.Raw(`INSERT INTO invoicer.event_endpoints (name, url, types, issuers, origin) VALUES (?, ?, ?, ?, 'configuration')
ON CONFLICT (name) WHERE state <> 'removed' DO UPDATE SET url = excluded.url, types = excluded.types, issuers = excluded.issuers, changed_at = now(),
    state = CASE WHEN event_endpoints.url = excluded.url THEN event_endpoints.state ELSE 'enabled' END,
    reason = CASE WHEN event_endpoints.url = excluded.url THEN event_endpoints.reason END,
    failing_since = CASE WHEN event_endpoints.url = excluded.url THEN event_endpoints.failing_since END
WHERE event_endpoints.origin = 'configuration'
    AND (event_endpoints.url, event_endpoints.types, event_endpoints.issuers) IS DISTINCT FROM (excluded.url, excluded.types, excluded.issuers)
RETURNING ''`, e.Name, e.URL, textArray(e.Types), textArray(e.Issuers)).Row().Scan(&other); err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if err := tx.Raw("SELECT origin FROM invoicer.event_endpoints WHERE name = ? AND state <> 'removed'", e.Name).Row().Scan(&other); err != nil {
				return err
			}
			if other != outbox.OfConfiguration {
				return fmt.Errorf("events.endpoints: there is another endpoint %s already, which `invoicer events` has added: give it another name", e.Name)
			}
		}
		return tx.Exec("SELECT invoicer.record_events(?)", textArray(record)).Error
	}))
}

// Endpoints returns all endpoints that weren't removed, in the order of their names. Counts says whether to count what they are told.
func (o *Outbox) Endpoints(ctx context.Context, counts bool) ([]outbox.Endpoint, error) {
	counted := "NULL::bigint, NULL::bigint, NULL::timestamptz"
	if counts {
		counted = `(SELECT count(*) FROM invoicer.event_deliveries d WHERE d.endpoint_id = e.id AND d.state = 'pending'), (SELECT count(*) FROM invoicer.event_deliveries d WHERE d.endpoint_id = e.id AND d.state = 'dead'),
    (SELECT min(since) FROM invoicer.event_deliveries d WHERE d.endpoint_id = e.id AND d.state = 'pending')`
	}
	rows, err := o.db.WithContext(ctx).Raw(`SELECT id, name, url, array_to_json(types)::text, array_to_json(issuers)::text, origin, state, coalesce(reason, ''), failing_since, created_at, changed_at, ` + counted + `
FROM invoicer.event_endpoints e WHERE state <> 'removed' ORDER BY name COLLATE "C"`).Rows()
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	var list []outbox.Endpoint
	for rows.Next() {
		var e outbox.Endpoint
		var types string
		var issuers sql.NullString
		var failing, oldest sql.NullTime
		var pending, dead sql.NullInt64
		if err := rows.Scan(&e.ID, &e.Name, &e.URL, &types, &issuers, &e.Origin, &e.State, &e.Reason, &failing, &e.CreatedAt, &e.ChangedAt, &pending, &dead, &oldest); err != nil {
			return nil, err
		}
		if err := errors.Join(json.Unmarshal([]byte(types), &e.Types), unmarshalOptional(issuers, &e.Issuers)); err != nil {
			return nil, err
		}
		e.FailingSince, e.Oldest, e.Pending, e.Dead = failing.Time, oldest.Time, int(pending.Int64), int(dead.Int64)
		list = append(list, e)
	}
	return list, classify(rows.Err())
}

func unmarshalOptional(text sql.NullString, to any) error {
	if !text.Valid {
		return nil
	}
	return json.Unmarshal([]byte(text.String), to)
}

// Secrets returns the secrets of the endpoints that operators have added, by their ids. Only those who deliver may read them.
func (o *Outbox) Secrets(ctx context.Context) (map[int64][]string, error) {
	rows, err := o.db.WithContext(ctx).Raw("SELECT endpoint_id, array_to_json(secrets)::text FROM invoicer.event_secrets").Rows()
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	secrets := make(map[int64][]string)
	for rows.Next() {
		var id int64
		var text string
		if err := rows.Scan(&id, &text); err != nil {
			return nil, err
		}
		var list []string
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			return nil, err
		}
		secrets[id] = list
	}
	return secrets, classify(rows.Err())
}

// Claim returns events that an endpoint is to be told now, most at once, and keeps other processes from telling it the same for so long. An
// event of a transaction comes only when those before it have ended.
func (o *Outbox) Claim(ctx context.Context, endpoint int64, most int, lease time.Duration) ([]outbox.Delivery, error) {
	rows, err := o.db.WithContext(ctx).Raw(`SELECT event_row, attempt, waits_since, at, told_id::text, told_type, told_issuer, told_transaction, told_job, told_data::text, happened_at
FROM invoicer.claim_events(?, ?, ?)`, endpoint, most, lease.Seconds()).Rows()
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	var list []outbox.Delivery
	for rows.Next() {
		var d outbox.Delivery
		var data string
		if err := rows.Scan(&d.Row, &d.Attempts, &d.Since, &d.Now, &d.ID, &d.Type, &d.Issuer, &d.TransactionID, &d.JobID, &data, &d.CreatedAt); err != nil {
			return nil, err
		}
		d.Data, d.CreatedAt = json.RawMessage(data), d.CreatedAt.UTC()
		list = append(list, d)
	}
	return list, classify(rows.Err())
}

// Settle records what came of deliveries to an endpoint. It returns since when the endpoint takes nothing, the zero time if it takes what it is told, and now, by
// the database's clock.
func (o *Outbox) Settle(ctx context.Context, endpoint int64, attempts []outbox.Attempt) (failingSince, now time.Time, err error) {
	taken, failed := false, false // without either, events are only given back
	// In the order in which Replay locks them: else the two might wait for each other.
	slices.SortFunc(attempts, func(a, b outbox.Attempt) int { return cmp.Compare(a.Row, b.Row) })
	var rows, states, again, statuses, texts array
	for i := range attempts {
		one := &attempts[i]
		taken, failed = taken || one.State == outbox.Delivered, failed || one.Error != ""
		rows.integer(one.Row)
		states.text(one.State)
		again.integer(one.Again.Milliseconds())
		statuses.integer(int64(one.Status))
		texts.text(storable(one.Error)) // it may quote a certificate
	}
	var since sql.NullTime
	err = o.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := tx.Exec("SELECT invoicer.settle_events(?, ?, ?, ?, ?, ?)", endpoint, &rows, &states, &again, &statuses, &texts).Error; err != nil {
			return err
		}
		err := tx.Raw(`UPDATE invoicer.event_endpoints SET failing_since = CASE WHEN NOT @taken THEN now() END
WHERE id = @endpoint AND CASE WHEN @taken THEN failing_since IS NOT NULL ELSE @failed AND failing_since IS NULL END
RETURNING failing_since, now()`, sql.Named("endpoint", endpoint), sql.Named("taken", taken), sql.Named("failed", failed)).Row().Scan(&since, &now)
		if errors.Is(err, sql.ErrNoRows) { // it stays as it was
			err = tx.Raw("SELECT failing_since, now() FROM invoicer.event_endpoints WHERE id = ?", endpoint).Row().Scan(&since, &now)
		}
		return err
	})
	return since.Time, now, classify(err)
}

// Disable has nothing posted to an endpoint any more, and reports whether it was enabled. Events for it are kept.
func (o *Outbox) Disable(ctx context.Context, endpoint int64, reason string) (bool, error) {
	result := o.db.WithContext(ctx).Exec("UPDATE invoicer.event_endpoints SET state = 'disabled', reason = ?, changed_at = now() WHERE id = ? AND state = 'enabled'", reason, endpoint)
	return result.RowsAffected > 0, classify(result.Error)
}

func textArray(list []string) any {
	if list == nil {
		return nil
	}
	var a array
	for _, one := range list {
		a.text(one)
	}
	return &a
}
