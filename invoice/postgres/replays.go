package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"gorm.io/gorm"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// Replays keeps replays of all failed jobs that match a filter.
type Replays struct{ *core }

const replayColumns = "id::text, filter::text, coalesce(rate, 0), actor, coalesce(note, ''), state, counted, replayed, refused, changed, forecasts::text, refusals::text, coalesce(reason, ''), created_at, ended_at, after_at, coalesce(after_id, 0)"

func scanReplay(row interface{ Scan(to ...any) error }) (*ledger.BulkReplay, error) {
	var r ledger.BulkReplay
	var filter, forecasts, refusals string
	var counted sql.NullInt64
	var ended, after sql.NullTime
	if err := row.Scan(&r.ID, &filter, &r.Rate, &r.By.Name, &r.By.Note, &r.State, &counted, &r.Replayed, &r.Refused, &r.Changed, &forecasts, &refusals, &r.Reason,
		&r.CreatedAt, &ended, &after, &r.After.ID); err != nil {
		return nil, err
	}
	r.CreatedAt, r.After.FailedAt = r.CreatedAt.UTC(), after.Time
	if counted.Valid {
		n := int(counted.Int64)
		r.Counted = &n
	}
	if ended.Valid {
		at := ended.Time.UTC()
		r.EndedAt = &at
	}
	return &r, errors.Join(json.Unmarshal([]byte(filter), &r.Filter), json.Unmarshal([]byte(forecasts), &r.Forecasts), json.Unmarshal([]byte(refusals), &r.Refusals))
}

// Begin adds a replay of jobs that have failed by now, and no later ones. Of the given replay, it takes the id, the filter, the rate and the
// actor. Under a key that there is already, it returns the replay that has it, and repeated; or [ledger.ErrOtherContent] if that one is for
// something else, and [ledger.ErrInProgress] if it isn't committed within the lock timeout.
func (s *Replays) Begin(ctx context.Context, r *ledger.BulkReplay, key ledger.ReplayKey) (begun *ledger.BulkReplay, repeated bool, err error) {
	var now time.Time
	if err := s.db.WithContext(ctx).Raw("SELECT now()").Row().Scan(&now); err != nil {
		return nil, false, classify(err)
	}
	filter := r.Filter
	if filter.Until.IsZero() || filter.Until.After(now) {
		filter.Until = now // jobs that fail from now on weren't seen by whoever decided this
	}
	text, err := json.Marshal(filter)
	if err != nil {
		return nil, false, err
	}
	var token *string
	if key.Key != nil {
		token = &key.Token
	}
	var rate *float64
	if r.Rate > 0 {
		rate = &r.Rate
	}
	err = s.autocommit(ctx, func(db *gorm.DB) (err error) {
		begun, err = scanReplay(db.Raw(`INSERT INTO invoicer.replays (id, filter, rate, actor, note, token, key, content) VALUES (?::uuid, ?::jsonb, ?, ?, ?, ?, ?, ?)
ON CONFLICT ON CONSTRAINT replays_token_key_key DO NOTHING RETURNING `+replayColumns,
			r.ID, string(text), rate, storable(r.By.Name), nullable(storable(r.By.Note)), token, key.Key, key.Content).Row())
		return err
	})
	switch {
	case isCode(err, "55P03") && key.Key != nil:
		return nil, false, ledger.ErrInProgress
	case !errors.Is(err, sql.ErrNoRows):
		return begun, false, classify(err)
	}
	var same bool
	if err := s.db.WithContext(ctx).Raw("SELECT content = ? FROM invoicer.replays WHERE token = ? AND key = ?", key.Content, token, key.Key).Row().Scan(&same); err != nil {
		return nil, false, classify(err)
	}
	if !same {
		return nil, true, ledger.ErrOtherContent
	}
	begun, err = scanReplay(s.db.WithContext(ctx).Raw("SELECT "+replayColumns+" FROM invoicer.replays WHERE token = ? AND key = ?", token, key.Key).Row())
	return begun, true, classify(err)
}

// Get returns a replay, or [ledger.ErrNoReplay].
func (s *Replays) Get(ctx context.Context, id string) (*ledger.BulkReplay, error) {
	r, err := scanReplay(s.db.WithContext(ctx).Raw("SELECT "+replayColumns+" FROM invoicer.replays WHERE id = ?::uuid", id).Row())
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ledger.ErrNoReplay
	}
	return r, classify(err)
}

// List returns the newest replays before the one with an id, "" for none, at most so many.
func (s *Replays) List(ctx context.Context, before string, most int) (list []ledger.BulkReplay, err error) {
	rows, err := s.db.WithContext(ctx).Raw("SELECT "+replayColumns+" FROM invoicer.replays WHERE ?::uuid IS NULL OR id < ?::uuid ORDER BY id DESC LIMIT ?", nullable(before), nullable(before), most).Rows()
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanReplay(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, *r)
	}
	return list, classify(rows.Err())
}

// Cancel ends a replay: once it has returned, no further job is replayed by it. Who did it goes on record. It returns [ledger.ErrNoReplay], or a
// [*ledger.StateError] if the replay has ended.
func (s *Replays) Cancel(ctx context.Context, id string, by ledger.Actor) (r *ledger.BulkReplay, err error) {
	err = s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) (err error) {
		r, err = scanReplay(tx.Raw("UPDATE invoicer.replays SET state = 'canceled', ended_at = now() WHERE id = ?::uuid AND ended_at IS NULL RETURNING "+replayColumns, id).Row())
		if err != nil {
			return err
		}
		return onRecord(tx, "replay cancel", id, by)
	})
	if errors.Is(err, sql.ErrNoRows) {
		if r, err = s.Get(ctx, id); err == nil {
			err = &ledger.StateError{JobID: id, State: r.State}
		}
	}
	return r, classify(err)
}

// Claim returns a replay that no process works on, or whose process hasn't been heard of for its lease, and keeps others from it for so long.
// It returns nil if there is none.
func (s *Replays) Claim(ctx context.Context, holder string, lease time.Duration) (r *ledger.BulkReplay, err error) {
	err = s.autocommit(ctx, func(db *gorm.DB) (err error) {
		r, err = scanReplay(db.Raw(`UPDATE invoicer.replays SET state = 'running', holder = ?, lease_until = now() + ? * interval '1 second'
WHERE id = (SELECT id FROM invoicer.replays WHERE state IN ('waiting', 'running') AND lease_until <= now() ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING `+replayColumns,
			holder, lease.Seconds()).Row())
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return r, classify(err)
}

// Hold keeps others from a replay for so long from now on, not at all for 0. It returns [ledger.ErrReplayLost] if it isn't the holder's.
func (s *Replays) Hold(ctx context.Context, id, holder string, lease time.Duration) error {
	return classify(s.autocommit(ctx, func(db *gorm.DB) error {
		return mine(db.Exec("UPDATE invoicer.replays SET lease_until = now() + ? * interval '1 second' WHERE id = ?::uuid AND holder = ? AND state = 'running'", lease.Seconds(), id, holder))
	}))
}

// Progress records how far a replay has come, and its end with its state and reason. It returns [ledger.ErrReplayLost] if it isn't the holder's.
func (s *Replays) Progress(ctx context.Context, r *ledger.BulkReplay, holder string) error {
	return classify(s.autocommit(ctx, func(db *gorm.DB) error { return progress(db, r, holder) }))
}

// Replay makes jobs accepted again as [Ledger.Replay] does, and records in the same transaction how far the replay has come with them: the
// counts of r are without these jobs before, and with them afterwards. forecasts are what was predicted of them, by their ids. It returns
// [ledger.ErrReplayLost], and has replayed nothing, if the replay isn't the holder's.
func (s *Replays) Replay(ctx context.Context, r *ledger.BulkReplay, holder string, jobs []ledger.Replay, forecasts map[string]invoice.Outcome) (replayed []string, err error) {
	var with ledger.BulkReplay
	err = s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) (err error) {
		var held bool
		err = tx.Raw("SELECT true FROM invoicer.replays WHERE id = ?::uuid AND holder = ? AND state = 'running' FOR UPDATE", r.ID, holder).Row().Scan(&held)
		if errors.Is(err, sql.ErrNoRows) {
			return ledger.ErrReplayLost
		}
		if err != nil {
			return err
		}
		if replayed, err = replay(tx, jobs, r.By); err != nil {
			return err
		}
		with = *r
		with.Replayed += len(replayed)
		with.Changed += len(jobs) - len(replayed)
		with.Forecasts = make(map[invoice.Outcome]int)
		for outcome, n := range r.Forecasts {
			with.Forecasts[outcome] = n
		}
		for _, id := range replayed {
			with.Forecasts[forecasts[id]]++
		}
		return progress(tx, &with, holder)
	})
	if err != nil {
		return nil, classify(err)
	}
	*r = with
	return replayed, nil
}

func progress(db *gorm.DB, r *ledger.BulkReplay, holder string) error {
	forecasts, err := json.Marshal(r.Forecasts)
	if err != nil {
		return err
	}
	refusals, err := json.Marshal(r.Refusals)
	if err != nil {
		return err
	}
	var after *time.Time
	if !r.After.FailedAt.IsZero() {
		after = &r.After.FailedAt
	}
	return mine(db.Exec(`UPDATE invoicer.replays SET state = @state, counted = @counted, replayed = @replayed, refused = @refused, changed = @changed, forecasts = coalesce(nullif(CAST(@forecasts AS jsonb), 'null'), '{}'),
    refusals = coalesce(nullif(CAST(@refusals AS jsonb), 'null'), '[]'), after_at = @at, after_id = @id, reason = nullif(@reason, ''), ended_at = CASE WHEN @state NOT IN ('waiting', 'running') THEN now() END
WHERE id = CAST(@replay AS uuid) AND holder = @holder AND state = 'running'`,
		sql.Named("state", r.State), sql.Named("counted", r.Counted), sql.Named("replayed", r.Replayed), sql.Named("refused", r.Refused), sql.Named("changed", r.Changed),
		sql.Named("forecasts", string(forecasts)), sql.Named("refusals", storable(string(refusals))), sql.Named("at", after), sql.Named("id", r.After.ID), sql.Named("reason", r.Reason),
		sql.Named("replay", r.ID), sql.Named("holder", holder)))
}

// mine returns [ledger.ErrReplayLost] if a statement has found no replay of the holder's.
func mine(result *gorm.DB) error {
	if result.Error == nil && result.RowsAffected == 0 {
		return ledger.ErrReplayLost
	}
	return result.Error
}

// Prune deletes replays that ended longer ago, most at once, and returns how many. A dry run counts them, without a limit.
func (s *Replays) Prune(ctx context.Context, age time.Duration, most int, dryRun bool) (n int, err error) {
	const old = "FROM invoicer.replays WHERE ended_at < now() - make_interval(secs => ?)"
	query, values := "SELECT count(*) "+old, []any{age.Seconds()}
	if !dryRun {
		query = "WITH pruned AS (DELETE FROM invoicer.replays WHERE id = ANY (ARRAY(SELECT id " + old + " LIMIT ?)) RETURNING 1) SELECT count(*) FROM pruned"
		values = append(values, most)
	}
	err = s.autocommit(ctx, func(db *gorm.DB) error { return db.Raw(query, values...).Row().Scan(&n) })
	return n, classify(err)
}
