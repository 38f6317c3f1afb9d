package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// Erasures take personal data away from invoices, and from the ledger's records of their jobs. Numbers, amounts and links stay, and so does
// who did it, and why.
type Erasures struct{ *core }

// A Selection says whose personal data is erased: that of a customer, or that of all invoices from before a time.
type Selection struct {
	Issuer   *string   // nil for all
	Customer string    // "" to select by age
	Before   time.Time // by the later of the invoice's own date and of when it was stored
}

func (s *Selection) kind() string {
	if s.Customer != "" {
		return "customer"
	}
	return "age"
}

func (s *Selection) before() *time.Time {
	if s.Customer != "" {
		return nil
	}
	return &s.Before
}

// A Transaction is one of an issuer.
type Transaction struct{ Issuer, ID string }

// UnmarshalJSON implements [json.Unmarshaler].
func (t *Transaction) UnmarshalJSON(text []byte) error {
	return into{&t.Issuer, &t.ID}.UnmarshalJSON(text)
}

// An EndedTask is what the ledger or an invoice knows of a task that may still be in a queue: completed or archived.
type EndedTask struct {
	Queue    *string // nil if that isn't known
	JobID    string
	Dispatch int // the latest; 0 if the ledger hasn't sent it
}

// UnmarshalJSON implements [json.Unmarshaler].
func (t *EndedTask) UnmarshalJSON(text []byte) error {
	return into{&t.Queue, &t.JobID, &t.Dispatch}.UnmarshalJSON(text)
}

// An Erased is what one step has erased, or would erase, and what is left to do in Redis.
type Erased struct {
	Upto     int64 // where the next step begins
	Complete bool  // there is no next one
	Invoices int
	Held     int // left alone, because a hold exempts them
	Payloads int // of jobs

	Transactions []Transaction
	Tasks        []EndedTask
}

// Begin puts on record who erases what, and why. It returns the erasure's id.
func (s *Erasures) Begin(ctx context.Context, what Selection, by ledger.Actor) (id int64, err error) {
	err = s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Raw("SELECT invoicer.begin_erasure(?, ?::text, ?::timestamptz, ?, ?)", what.kind(), what.Issuer, what.before(), storable(by.Note), storable(by.Name)).Row().Scan(&id)
	})
	return id, classify(err)
}

// End puts on record that all that an erasure selects is erased, in Redis too.
func (s *Erasures) End(ctx context.Context, erasure int64) error {
	return classify(s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Exec("SELECT invoicer.end_erasure(?)", erasure).Error
	}))
}

// Now returns the database's time.
func (s *Erasures) Now(ctx context.Context) (now time.Time, err error) {
	err = s.sql.QueryRowContext(ctx, "SELECT now()").Scan(&now)
	return now, classify(err)
}

// Invoices erases the next invoices that an erasure selects, at most as many, in one transaction. Erasure 0 only counts them.
func (s *Erasures) Invoices(ctx context.Context, erasure int64, what Selection, after int64, most int) (e Erased, err error) {
	var transactions, tasks []byte
	err = s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Raw("SELECT upto, complete, erased, held, payloads, transactions, tasks FROM invoicer.erase_invoices(nullif(?::bigint, 0), ?::text, ?::text, ?::timestamptz, ?, ?)",
			erasure, what.Issuer, nullable(what.Customer), what.before(), after, most).Row().Scan(&e.Upto, &e.Complete, &e.Invoices, &e.Held, &e.Payloads, &transactions, &tasks)
	})
	if err == nil {
		err = errors.Join(json.Unmarshal(transactions, &e.Transactions), json.Unmarshal(tasks, &e.Tasks))
	}
	return e, classify(err)
}

// Payloads clears the payloads of the next jobs of the customer that have failed or were dismissed, whether or not their transactions are
// invoiced. Otherwise it is as [Erasures.Invoices].
func (s *Erasures) Payloads(ctx context.Context, erasure int64, what Selection, after int64, most int) (e Erased, err error) {
	var tasks []byte
	err = s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Raw("SELECT upto, complete, held, payloads, tasks FROM invoicer.erase_payloads(nullif(?::bigint, 0), ?::text, ?, ?, ?)",
			erasure, what.Issuer, what.Customer, after, most).Row().Scan(&e.Upto, &e.Complete, &e.Held, &e.Payloads, &tasks)
	})
	if err == nil {
		err = json.Unmarshal(tasks, &e.Tasks)
	}
	return e, classify(err)
}

// An Unfinished is an erasure that was broken off, or is under way.
type Unfinished struct {
	ID  int64
	Old bool // it began so long ago that it isn't under way
}

// Unfinished returns the erasures that haven't ended.
func (s *Erasures) Unfinished(ctx context.Context) (list []Unfinished, err error) {
	err = s.db.WithContext(ctx).Raw("SELECT id, begun_at < now() - interval '1 day' AS old FROM invoicer.erasures WHERE ended_at IS NULL ORDER BY id").Scan(&list).Error
	return list, classify(err)
}

// Left returns up to limit transactions that an erasure has erased, after the invoice with an id, and the tasks of their jobs. Upto is the
// id of the last one.
func (s *Erasures) Left(ctx context.Context, erasure, after int64, limit int) (e Erased, err error) {
	var transactions, tasks []byte
	err = s.sql.QueryRowContext(ctx, `
WITH erased AS MATERIALIZED (SELECT id, issuer, transaction_id, job_id FROM invoicer.invoices WHERE erasure_id = $1 AND id > $2 ORDER BY id LIMIT $3)
SELECT coalesce(max(id), $2), count(*) < $3, coalesce(json_agg(json_build_array(issuer, transaction_id)), '[]'), (
    SELECT coalesce(json_agg(task), '[]') FROM (
        SELECT json_build_array(NULL, job_id, 0) AS task FROM erased
        UNION ALL SELECT json_build_array(NULL, d.job_id, 0) FROM erased JOIN invoicer.duplicate_attempts d USING (issuer, transaction_id)
        UNION ALL SELECT json_build_array(j.queue, j.job_id, j.dispatch) FROM erased JOIN invoicer.invoice_jobs j USING (issuer, transaction_id)
    ) AS known)
FROM erased`, erasure, after, limit).Scan(&e.Upto, &e.Complete, &transactions, &tasks)
	if err == nil {
		err = errors.Join(json.Unmarshal(transactions, &e.Transactions), json.Unmarshal(tasks, &e.Tasks))
	}
	return e, classify(err)
}

// A Held says what must not be erased: all of an issuer, or a transaction or customer of one or of every issuer.
type Held struct {
	Issuer        *string // "" for the one without a name, nil for every one, which needs a transaction or customer
	TransactionID string  // "" for none
	Customer      string  // likewise
}

func (h *Held) scope() string {
	switch {
	case h.TransactionID != "":
		return "transaction"
	case h.Customer != "":
		return "customer"
	}
	return "issuer"
}

// ErrNotHeldBack says that no such hold exists.
var ErrNotHeldBack = errors.New("nothing holds it")

// Hold exempts something from being erased, until it is released. What is held already may be held once more.
func (s *Erasures) Hold(ctx context.Context, what Held, by ledger.Actor) error {
	return classify(s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Exec("INSERT INTO invoicer.erasure_holds (issuer, scope, transaction_id, customer_id, reason, actor) VALUES (?, ?, ?, ?, ?, ?)",
			what.Issuer, what.scope(), nullable(what.TransactionID), nullable(what.Customer), storable(by.Note), storable(by.Name)).Error
	}))
}

// Found reports whether there is anything that a hold of this exempts: an invoice, or a job whose payload is kept.
func (s *Erasures) Found(ctx context.Context, what Held) (found bool, err error) {
	err = s.sql.QueryRowContext(ctx, `
SELECT EXISTS (SELECT FROM invoicer.invoices WHERE ($1::text IS NULL OR issuer = $1) AND ($2::text IS NULL OR transaction_id = $2) AND ($3::text IS NULL OR customer_id = $3))
    OR EXISTS (SELECT FROM invoicer.invoice_jobs WHERE payload IS NOT NULL AND ($1::text IS NULL OR issuer = $1) AND ($2::text IS NULL OR transaction_id = $2)
        AND ($3::text IS NULL OR invoicer.job_field(payload, 'customer_id') = $3))`,
		what.Issuer, nullable(what.TransactionID), nullable(what.Customer)).Scan(&found)
	return found, classify(err)
}

// Release ends all holds of just this. It returns [ErrNotHeldBack] if there is none.
func (s *Erasures) Release(ctx context.Context, what Held, by ledger.Actor) error {
	var released int64
	err := s.autocommit(ctx, func(db *gorm.DB) error {
		done := db.Exec(`UPDATE invoicer.erasure_holds SET released_at = now(), released_by = ?, released_reason = ?
WHERE released_at IS NULL AND issuer IS NOT DISTINCT FROM ?::text AND scope = ? AND transaction_id IS NOT DISTINCT FROM ?::text AND customer_id IS NOT DISTINCT FROM ?::text`,
			storable(by.Name), storable(by.Note), what.Issuer, what.scope(), nullable(what.TransactionID), nullable(what.Customer))
		released = done.RowsAffected
		return done.Error
	})
	if err == nil && released == 0 {
		return ErrNotHeldBack
	}
	return classify(err)
}

// Export hands all invoices of a customer to the function, whole, in the order in which they were made.
func (s *Erasures) Export(ctx context.Context, issuer *string, customer string, each func(*invoice.Invoice) error) error {
	const page = 200
	for after := int64(0); ; {
		var ids []int64
		err := s.db.WithContext(ctx).Raw(`SELECT id FROM invoicer.invoices WHERE customer_id = ? AND (?::text IS NULL OR issuer = ?) AND id > ? ORDER BY id LIMIT ?`,
			customer, issuer, issuer, after, page).Scan(&ids).Error
		if err != nil || len(ids) == 0 {
			return classify(err)
		}
		for _, id := range ids {
			whole, err := s.read(ctx, id)
			if err == nil {
				err = each(whole)
			}
			if err != nil {
				return fmt.Errorf("invoice of id %d: %w", id, err)
			}
		}
		after = ids[len(ids)-1]
	}
}

// Asked hands the payloads of all jobs of a customer that the ledger keeps to the function.
func (s *Erasures) Asked(ctx context.Context, issuer *string, customer string, each func(jobID, state string, payload []byte) error) error {
	const page = 200
	for after := int64(0); ; {
		var rows []struct {
			ID                    int64
			JobID, State, Payload string
		}
		err := s.db.WithContext(ctx).Raw(`SELECT id, job_id, state, payload FROM invoicer.invoice_jobs
WHERE payload IS NOT NULL AND (?::text IS NULL OR issuer = ?) AND id > ? AND invoicer.job_field(payload, 'customer_id') = ? ORDER BY id LIMIT ?`,
			issuer, issuer, after, customer, page).Scan(&rows).Error
		if err != nil || len(rows) == 0 {
			return classify(err)
		}
		for _, r := range rows {
			if err := each(r.JobID, r.State, []byte(r.Payload)); err != nil {
				return err
			}
		}
		after = rows[len(rows)-1].ID
	}
}
