package postgres

import (
	"context"
	"fmt"
	"strings"

	"invoicer/invoice/ledger"
)

// awaitOf is as await. Jobs of other queues may be in the way, by the million where their Redis is away: then it rests for ten times as
// long as it has looked, up to two seconds. It is a format for the shortest rest in seconds, how often it looks, and the queues.
const awaitOf = `DO $$ DECLARE found boolean; begun timestamptz; took double precision; BEGIN FOR look IN 1..%[2]d LOOP
PERFORM pg_sleep(%[1]v); begun := clock_timestamp();
SELECT EXISTS (SELECT FROM invoicer.invoice_jobs WHERE state = 'accepted' AND paused_series IS NULL AND queue = ANY (%[3]s)) INTO found;
COMMIT; EXIT WHEN found; took := extract(epoch FROM clock_timestamp() - begun);
IF took > %[1]v THEN PERFORM pg_sleep(least(2, 10 * took)); EXIT; END IF; END LOOP; END $$`

// A QueueLedger is the ledger as a process sees it that dispatches the jobs of some queues alone, since the others lie on another Redis.
type QueueLedger struct {
	*Ledger

	queues []string // none: all
}

// Of returns the ledger for a process that dispatches the jobs of these queues alone; of all if there are none.
func (s *Ledger) Of(queues ...string) *QueueLedger { return &QueueLedger{s, queues} }

// only returns what selects the jobs of the queues.
func (s *QueueLedger) only() (condition string) {
	if len(s.queues) == 0 {
		return ""
	}
	return " AND queue = ANY (" + quoted(s.queues) + ")"
}

func quoted(texts []string) string {
	var list []string
	for _, text := range texts {
		list = append(list, "'"+strings.ReplaceAll(text, "'", "''")+"'")
	}
	return "ARRAY[" + strings.Join(list, ", ") + "]"
}

// Await waits as [Ledger.Await] does, for accepted jobs of its queues. Where looking for them takes long, it looks more rarely.
func (s *QueueLedger) Await(ctx context.Context, soon bool) error {
	if len(s.queues) == 0 {
		return s.Ledger.Await(ctx, soon)
	}
	rest, looks := 0.07, 7
	if soon {
		rest, looks = 0.002, 15
	}
	_, err := s.sql.ExecContext(ctx, fmt.Sprintf(awaitOf, rest, looks, quoted(s.queues)))
	return classify(err)
}

// Claim takes jobs as [Ledger.Claim] does, of its queues.
func (s *QueueLedger) Claim(ctx context.Context, limit int, except ...string) ([]ledger.Dispatch, error) {
	return s.claim(ctx, limit, s.only(), except)
}

// ClaimJobs is [QueueLedger.Claim] of those of the given jobs that are accepted and wait for nothing.
func (s *QueueLedger) ClaimJobs(ctx context.Context, jobIDs []string, except ...string) ([]ledger.Dispatch, error) {
	return s.claimJobs(ctx, jobIDs, s.only(), except)
}
