package postgres

import "context"

// Holdings are the contents and the current users of a schema of any version.
type Holdings struct {
	Invoices, Jobs, Duplicates int64
	// Watchers are the workers that reconcile the ledger's queues now.
	Watchers []Watcher
	// Queues are all queues that a worker has ever reconciled.
	Queues []string
}

// A Watcher is a worker that is alive as far as the ledger knows: it has renewed its right to the queue within the
// last few seconds.
type Watcher struct{ Worker, Queue string }

// Holdings reads those of the tables that exist.
func (s *Reports) Holdings(ctx context.Context) (Holdings, error) {
	var h Holdings
	for _, table := range []struct {
		name  string
		count *int64
	}{{"invoices", &h.Invoices}, {"invoice_jobs", &h.Jobs}, {"duplicate_attempts", &h.Duplicates}} {
		there, err := s.has(ctx, table.name)
		if err != nil || !there {
			if err != nil {
				return h, err
			}
			continue
		}
		if err := s.sql.QueryRowContext(ctx, "SELECT count(*) FROM invoicer."+table.name).Scan(table.count); err != nil {
			return h, classify(err)
		}
	}
	if there, err := s.has(ctx, "ledger_queues"); err != nil || !there {
		return h, err
	}
	rows, err := s.sql.QueryContext(ctx, `
SELECT queue, holder, expires_at > clock_timestamp() FROM invoicer.ledger_queues ORDER BY holder, queue`)
	if err != nil {
		return h, classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		var w Watcher
		var alive bool
		if err := rows.Scan(&w.Queue, &w.Worker, &alive); err != nil {
			return h, err
		}
		h.Queues = append(h.Queues, w.Queue)
		if alive {
			h.Watchers = append(h.Watchers, w)
		}
	}
	return h, classify(rows.Err())
}

func (s *core) has(ctx context.Context, table string) (there bool, err error) {
	err = s.sql.QueryRowContext(ctx, "SELECT to_regclass('invoicer."+table+"') IS NOT NULL").Scan(&there)
	return there, classify(err)
}
