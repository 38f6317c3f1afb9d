package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"

	"invoicer/invoice/handover"
)

// Handovers keeps what is handed over of invoices, and what the other side says. Triggers write what is owed, refuse steps that a hand-over doesn't
// take, and note each change.
type Handovers struct{ *core }

const (
	// channelsWait bounds each wait for those who write invoices. Whoever wants to write one meanwhile waits behind it.
	channelsWait = 200 * time.Millisecond
	// channelsPause is the time until it is tried again, in which the others get on.
	channelsPause = time.Second
)

// Configure has each invoice from now on be handed over through these channels, and no other: the process that has started last decides. Where that
// changes something it waits, until ctx ends, for a moment in which nobody is writing an invoice, and holds others up for no longer than channelsWait.
func (s *Handovers) Configure(ctx context.Context, rules []handover.Rule) error {
	if rules == nil {
		rules = []handover.Rule{}
	}
	text, err := json.Marshal(rules)
	if err != nil {
		return err
	}
	for {
		err := s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			if err := tx.Exec("SELECT set_config('lock_timeout', ?, true)", milliseconds(channelsWait)).Error; err != nil {
				return err
			}
			return tx.Exec("SELECT invoicer.owe_channels(?::jsonb)", string(text)).Error
		})
		if !isCode(err, "55P03") {
			return classify(err)
		}
		select {
		case <-time.After(channelsPause):
		case <-ctx.Done():
			return classify(ctx.Err())
		}
	}
}

// Claim returns a hand-over of a channel that is due, and keeps other processes from it for so long. It returns false if none is due.
func (s *Handovers) Claim(ctx context.Context, channel string, lease time.Duration) (c handover.Claim, found bool, err error) {
	var waited float64
	err = s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Raw(`WITH due AS MATERIALIZED (
    SELECT id FROM invoicer.handovers WHERE channel = ? AND due_at <= now() ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
) UPDATE invoicer.handovers h SET turn = h.turn + 1, attempts = h.attempts + 1, in_hand = true, due_at = now() + ? * interval '1 second'
FROM due, invoicer.invoices i WHERE h.id = due.id AND i.id = h.invoice_id
RETURNING h.id, h.turn, h.attempts, h.doubts, h.state, h.key::text, h.invoice_id, i.issuer, i.invoice_number, i.kind, h.address, coalesce(h.their_id, ''),
    coalesce((SELECT credited.clearance FROM invoicer.handovers credited WHERE credited.id = h.credits), ''), h.since, extract(epoch FROM clock_timestamp() - h.changed_at)::float8`,
			channel, lease.Seconds()).Row().Scan(&c.ID, &c.Turn, &c.Attempts, &c.Doubts, &c.State, &c.Key, &c.InvoiceID, &c.Issuer, &c.Number, &c.Kind, &c.Address, &c.TheirID, &c.Clearance, &c.Since, &waited)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return c, false, nil
	}
	c.Since, c.Waited = c.Since.UTC(), time.Duration(waited*float64(time.Second))
	return c, err == nil, classify(err)
}

// Settle records what came of a claim, once. It returns [handover.ErrGone] if the claim was settled before, if another process has claimed the hand-over
// since, or if an operator has decided about it.
func (s *Handovers) Settle(ctx context.Context, c *handover.Claim, r handover.Result) error {
	var changed int64
	err := s.autocommit(ctx, func(db *gorm.DB) error {
		done := db.Exec(`UPDATE invoicer.handovers SET state = @state, error = nullif(@error, ''),
    attempts = CASE WHEN @error <> '' THEN attempts ELSE 0 END, doubts = doubts + CASE WHEN @doubt THEN 1 ELSE 0 END, due_at = CASE WHEN CAST(@again AS float8) > 0 THEN now() + CAST(@again AS float8) * interval '1 second' END,
    their_id = coalesce(nullif(@their, ''), their_id), clearance = coalesce(clearance, nullif(@clearance, '')),
    answer = coalesce(nullif(@answer, ''), answer), answered_at = CASE WHEN @answered THEN clock_timestamp() ELSE answered_at END,
    in_hand = false, changed_by = NULL, reason = NULL
WHERE id = @id AND turn = @turn AND state = @was AND in_hand`, map[string]any{
			"state": string(r.State), "error": bounded(r.Err, handover.MostError), "again": r.Again.Seconds(), "their": r.TheirID, "clearance": r.Clearance,
			"answer": bounded(r.Answer, handover.MostAnswer), "answered": r.Answered, "doubt": r.Uncertain, "id": c.ID, "turn": c.Turn, "was": string(c.State),
		})
		changed = done.RowsAffected
		return done.Error
	})
	if err == nil && changed == 0 {
		return handover.ErrGone
	}
	return classify(err)
}

// bounded is what a text column of so many bytes can hold of a text.
func bounded(text string, most int) string {
	text = storable(text)
	if len(text) <= most {
		return text
	}
	cut := most - len("…")
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// Counts returns how many hand-overs aren't at an end, or ended so that somebody has to look. A credit note that waits for a clearance is blocked where
// that won't come by itself: what it credits has ended without one.
func (s *Handovers) Counts(ctx context.Context) (list []handover.Count, err error) {
	rows, err := s.sql.QueryContext(ctx, `SELECT h.channel, CASE WHEN h.state <> 'queued' OR h.due_at IS NOT NULL THEN h.state WHEN credited.state IN ('accepted', 'rejected', 'failed', 'cancelled') THEN 'blocked' ELSE 'waiting' END AS standing,
    count(h.error), count(*), min(h.changed_at)
FROM invoicer.handovers h LEFT JOIN invoicer.handovers credited ON credited.id = h.credits
WHERE h.due_at IS NOT NULL OR h.state IN ('queued', 'rejected', 'failed') GROUP BY 1, 2 ORDER BY 1, 2`)
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		var c handover.Count
		if err := rows.Scan(&c.Channel, &c.State, &c.Failing, &c.N, &c.Oldest); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, classify(rows.Err())
}

// walked is how many hand-overs one statement of List looks at, so that none of them runs for long where few match.
const walked = 20_000

// List returns hand-overs, the newest first. One of a number, or of another side's id, is found by an index; the newest of a state, too. For a channel, an
// issuer or a time it looks at all that have the state, in turn, until it has as many as are asked for.
func (s *Handovers) List(ctx context.Context, f handover.Filter) ([]handover.Handover, error) {
	if f.State != "" && !slices.Contains(handover.States(), f.State) {
		return nil, nil
	}
	var list []handover.Handover
	for most, after := f.Limit, int64(0); ; f.Limit = most - len(list) {
		statement, args := listHandovers(&f, after)
		part, err := s.listed(ctx, statement, args...)
		if list = append(list, part...); err != nil || !isWalk(&f) || len(list) >= most {
			return list, err
		}
		among := amongHandovers(&f, after)
		err = s.sql.QueryRowContext(ctx, "SELECT h.id FROM invoicer.handovers h WHERE "+among.String()+fmt.Sprintf(" ORDER BY h.id DESC OFFSET %d LIMIT 1", walked-1), among.args...).Scan(&after)
		if errors.Is(err, sql.ErrNoRows) {
			return list, nil
		}
		if err != nil {
			return nil, classify(err)
		}
	}
}

// isWalk reports whether hand-overs are looked at one by one.
func isWalk(f *handover.Filter) bool {
	return f.Limit > 0 && f.TheirID == "" && f.Number == "" && f.ID == 0
}

// amongHandovers returns the conditions by which an index leads to hand-overs before one, 0 for the newest. The state, which is a known one, is no argument: a
// plan for any state would be one for the most frequent.
func amongHandovers(f *handover.Filter, before int64) (b bindings) {
	if f.State != "" {
		b.where("h.state = '" + string(f.State) + "'")
	}
	if f.TheirID != "" {
		b.where("h.their_id = $%d", f.TheirID)
	}
	if f.ID != 0 {
		b.where("h.id = $%d", f.ID)
	}
	if before != 0 {
		b.where("h.id < $%d", before)
	}
	return b
}

// listHandovers returns the statement of a list of those before one, 0 for the newest.
func listHandovers(f *handover.Filter, before int64) (statement string, args []any) {
	among, rest := amongHandovers(f, before), *f
	rest.State, rest.TheirID, rest.ID = "", "", 0 // by which they are found
	wheres, limit, walk := handoverWheres(&rest, len(among.args)), "", ""
	if f.Number != "" {
		wheres.where("i.invoice_number = $%d", f.Number)
	}
	if f.Limit > 0 {
		limit = fmt.Sprintf(" LIMIT %d", f.Limit)
	}
	if isWalk(f) {
		walk = fmt.Sprintf(" ORDER BY h.id DESC LIMIT %d", walked)
	}
	return "SELECT " + handoverColumns + " FROM (SELECT * FROM invoicer.handovers h WHERE " + among.String() + walk + ") h " + handoverJoins +
		" WHERE " + wheres.String() + " ORDER BY h.id DESC" + limit, append(among.args, wheres.args...)
}

const (
	handoverColumns = `h.id, h.channel, i.issuer, i.invoice_number, i.kind, h.address, h.state, h.key::text, h.attempts, coalesce(h.error, ''), coalesce(h.their_id, ''),
    coalesce(h.clearance, ''), coalesce(h.answer, ''), h.since, h.changed_at, h.due_at, h.in_hand AND h.due_at > now(), h.answered_at, h.erased_at, h.invoice_id, i.transaction_id,
    CASE WHEN h.state = 'queued' AND h.due_at IS NULL THEN coalesce(ci.invoice_number, '') ELSE '' END, h.state = 'queued' AND h.due_at IS NULL AND coalesce(c.state IN ('accepted', 'rejected', 'failed', 'cancelled'), false)`
	handoverJoins = `JOIN invoicer.invoices i ON i.id = h.invoice_id
LEFT JOIN invoicer.handovers c ON c.id = h.credits LEFT JOIN invoicer.invoices ci ON ci.id = c.invoice_id`
)

// listed returns the hand-overs of a query that has those columns.
func (s *Handovers) listed(ctx context.Context, query string, args ...any) (list []handover.Handover, err error) {
	rows, err := s.sql.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		var h handover.Handover
		if err := rows.Scan(&h.ID, &h.Channel, &h.Issuer, &h.Number, &h.Kind, &h.Address, &h.State, &h.Key, &h.Attempts, &h.Error, &h.TheirID,
			&h.Clearance, &h.Answer, &h.Since, &h.ChangedAt, &h.DueAt, &h.InHand, &h.AnsweredAt, &h.ErasedAt, &h.InvoiceID, &h.Transaction, &h.WaitsFor, &h.Blocked); err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	return list, classify(rows.Err())
}

// Kind returns the kind of a channel, "" if invoices aren't handed over through it any more.
func (s *Handovers) Kind(ctx context.Context, channel string) (kind string, err error) {
	err = s.sql.QueryRowContext(ctx, "SELECT kind FROM invoicer.handover_channels WHERE name = $1 AND until IS NULL", channel).Scan(&kind)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return kind, classify(err)
}

// Waiting returns the numbers of the credit notes that wait for the clearance of a hand-over.
func (s *Handovers) Waiting(ctx context.Context, id int64) (numbers []string, err error) {
	rows, err := s.sql.QueryContext(ctx, `SELECT i.invoice_number FROM invoicer.handovers h JOIN invoicer.invoices i ON i.id = h.invoice_id
WHERE h.credits = $1 AND h.state = 'queued' AND h.due_at IS NULL ORDER BY h.id`, id)
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		var number string
		if err := rows.Scan(&number); err != nil {
			return nil, err
		}
		numbers = append(numbers, number)
	}
	return numbers, classify(rows.Err())
}

// Channels returns the names of all channels that there are, or ever were, for invoices of the given issuers or, for nil, of any.
func (s *Handovers) Channels(ctx context.Context, issuers []string) (names []string, err error) {
	rows, err := s.sql.QueryContext(ctx, "SELECT DISTINCT name FROM invoicer.handover_channels WHERE $1::text[] IS NULL OR issuers IS NULL OR issuers && $1::text[] ORDER BY name", textArray(issuers))
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, classify(rows.Err())
}

// History returns each change of the hand-overs of an invoice, in their order.
func (s *Handovers) History(ctx context.Context, invoiceID int64) (list []handover.Change, err error) {
	rows, err := s.sql.QueryContext(ctx, `SELECT l.at, h.channel, l.state, l.key::text, l.attempts, coalesce(l.error, ''), coalesce(l.their_id, ''), coalesce(l.clearance, ''), coalesce(l.answer, ''),
    coalesce(l.changed_by, ''), coalesce(l.reason, '')
FROM invoicer.handovers h JOIN invoicer.handover_log l ON l.handover_id = h.id WHERE h.invoice_id = $1 ORDER BY l.id`, invoiceID)
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		var c handover.Change
		if err := rows.Scan(&c.At, &c.Channel, &c.State, &c.Key, &c.Attempts, &c.Error, &c.TheirID, &c.Clearance, &c.Answer, &c.ChangedBy, &c.Reason); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, classify(rows.Err())
}

// Decide does what an operator decides about a hand-over, and notes who did. One that was rejected gets a new key when it is sent again, since by the
// old one the other side would know it as rejected, and so does an e-mail that was sent or goes to another address; another one keeps its key, since
// the other side may have it. It returns a [*handover.InHandError] while a process is handing it over, if it is to be sent again or cancelled, or was
// rejected, after which it could be sent again by another key. What a process says is ignored where another answer was noted meanwhile. It returns
// [handover.ErrStep] if it can't get there from where it is, and [handover.ErrNone] if it isn't there.
func (s *Handovers) Decide(ctx context.Context, id int64, o handover.Order) error {
	args := map[string]any{
		"id": id, "to": string(o.To), "by": bounded(o.By, 400), "reason": bounded(o.Reason, handover.MostReason), "anyway": o.Anyway,
		"address": o.Address, "their": o.TheirID, "clearance": o.Clearance, "answer": bounded(o.Answer, handover.MostAnswer),
	}
	statement := `UPDATE invoicer.handovers SET state = @to, due_at = NULL, in_hand = false, attempts = 0, error = NULL, changed_by = @by, reason = nullif(@reason, ''),
    their_id = coalesce(nullif(@their, ''), their_id), clearance = coalesce(clearance, nullif(@clearance, '')), answer = coalesce(nullif(@answer, ''), answer), answered_at = clock_timestamp()
WHERE id = @id AND state <> @to AND NOT (@to = 'rejected' AND ` + handInHand + `)`
	switch o.To { //nolint:exhaustive // the others are what the other side said
	case handover.Queued: // one that waits for a clearance goes on waiting, unless it needn't
		statement = `UPDATE invoicer.handovers h SET state = 'queued', in_hand = false, attempts = 0, doubts = 0, error = NULL, changed_by = @by, reason = nullif(@reason, ''), their_id = NULL, clearance = NULL, answer = NULL,
    answered_at = NULL, turn = turn + 1, address = coalesce(nullif(@address, ''), address),
    key = CASE WHEN state = 'rejected' OR @address NOT IN ('', address)
        OR state = 'sent' AND EXISTS (SELECT FROM invoicer.handover_channels c WHERE c.name = h.channel AND c.until IS NULL AND c.kind = 'email') THEN gen_random_uuid() ELSE key END,
    due_at = CASE WHEN @anyway OR NOT EXISTS (
        SELECT FROM invoicer.handovers credited JOIN invoicer.handover_channels c ON c.name = h.channel AND c.until IS NULL AND c.await_clearance
        WHERE credited.id = h.credits AND credited.clearance IS NULL
    ) THEN now() END
WHERE id = @id AND (state <> 'queued' OR due_at IS NULL AND @anyway OR error IS NOT NULL OR @address NOT IN ('', address)) AND NOT ` + handInHand
	case handover.Cancelled:
		statement = `UPDATE invoicer.handovers SET state = 'cancelled', due_at = NULL, in_hand = false, changed_by = @by, reason = nullif(@reason, '') WHERE id = @id AND state <> 'cancelled' AND NOT ` + handInHand
	}
	for again := false; ; again = true {
		var changed int64
		err := s.autocommit(ctx, func(db *gorm.DB) error {
			done := db.Exec(statement, args)
			changed = done.RowsAffected
			return done.Error
		})
		switch {
		case violates(err, "handovers_steps"), violates(err, "handovers_cleared_check"):
			return handover.ErrStep
		case err != nil:
			return classify(err)
		case changed > 0:
			return nil
		}
		// A process may have ended what it had in hand before the reason was asked for.
		if err := s.undecided(ctx, id, o.To); again || !errors.Is(err, handover.ErrStep) {
			return err
		}
	}
}

// handInHand says of a hand-over that a process may be handing it over at this moment.
const handInHand = "(state = 'queued' AND in_hand AND due_at > now())"

// undecided returns why a decision has changed nothing.
func (s *Handovers) undecided(ctx context.Context, id int64, to handover.State) error {
	var inHand bool
	var until sql.NullTime
	err := s.sql.QueryRowContext(ctx, "SELECT "+handInHand+", due_at FROM invoicer.handovers WHERE id = $1", id).Scan(&inHand, &until)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return handover.ErrNone
	case err != nil:
		return classify(err)
	case inHand && (to == handover.Queued || to == handover.Cancelled || to == handover.Rejected):
		return &handover.InHandError{Until: until.Time.UTC()}
	}
	return handover.ErrStep
}
