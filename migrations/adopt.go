package migrations

import (
	"context"
	"errors"
	"fmt"
)

// adopt has events that another server wrote, as those of a dump that was restored here, come before all that this server writes. Their
// transactions have that server's numbers: readers would be shown none of them until this server has had as many transactions, and then behind newer ones.
// What this server wrote isn't touched: no transaction that can be seen has a number as high as the next one's.
func (m *Migrator) adopt(ctx context.Context) (err error) {
	db := m.open(ctx)
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, "UPDATE "+quote(m.schema)+".events SET xid = '3' WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())"); err != nil { //nolint:gosec // a quoted name
		return fmt.Errorf("events of another server: %w", err)
	}
	return nil
}
