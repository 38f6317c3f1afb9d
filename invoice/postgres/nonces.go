package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"invoicer/invoice/ledger"
)

// Nonces returns the nonces that this database's workers have written last to prove that they own their queues.
func (s *DB) Nonces(ctx context.Context) (ledger.Nonces, error) {
	return s.nonces(ctx, `
SELECT i.id::text, array_to_string(n.nonces, ','), extract(epoch FROM clock_timestamp() - n.renewed_at)
FROM invoicer.database_identity i, invoicer.queue_nonces n`)
}

// RenewNonce writes a new nonce, unless a worker has written one less than a second ago, and returns what [DB.Nonces]
// returns. So many workers write no more often than one. The commit doesn't wait for the disk or for a standby: a
// value lost in a crash is missing in any copy, too.
func (s *DB) RenewNonce(ctx context.Context) (ledger.Nonces, error) {
	n, err := s.nonces(ctx, `
WITH renewed AS (
    UPDATE invoicer.queue_nonces SET nonces = (gen_random_uuid() || nonces)[1:16], renewed_at = clock_timestamp()
    WHERE renewed_at NOT BETWEEN clock_timestamp() - interval '0.9s' AND clock_timestamp()
    RETURNING nonces, set_config('synchronous_commit', 'off', true)
), latest AS (
    SELECT nonces, interval '0' AS age FROM renewed
    UNION ALL
    SELECT nonces, clock_timestamp() - renewed_at FROM invoicer.queue_nonces WHERE NOT EXISTS (SELECT FROM renewed)
)
SELECT i.id::text, array_to_string(latest.nonces, ','), extract(epoch FROM latest.age) FROM invoicer.database_identity i, latest`)
	if err == nil && len(n.Latest) == 0 { // another worker wrote the very first one after this statement began
		return s.Nonces(ctx)
	}
	return n, err
}

func (s *DB) nonces(ctx context.Context, query string) (ledger.Nonces, error) {
	var n ledger.Nonces
	var latest string
	var seconds float64
	err := s.autocommit(ctx, func(db *gorm.DB) error { return db.Raw(query).Row().Scan(&n.DatabaseID, &latest, &seconds) })
	if err != nil {
		return ledger.Nonces{}, classify(fmt.Errorf("the database's nonces: %w", err))
	}
	if latest != "" {
		n.Latest = strings.Split(latest, ",")
	}
	n.Age = time.Duration(seconds * float64(time.Second))
	return n, nil
}
