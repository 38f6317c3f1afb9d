package postgres

import (
	"context"
	"fmt"
	"time"
)

// Now returns the time by the database server's clock.
func (s *DB) Now(ctx context.Context) (time.Time, error) {
	var now time.Time
	if err := s.db.WithContext(ctx).Raw("SELECT clock_timestamp()").Row().Scan(&now); err != nil {
		return time.Time{}, classify(fmt.Errorf("read the database's clock: %w", err))
	}
	return now, nil
}
