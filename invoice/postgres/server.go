package postgres

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
)

// A Server is what the database's server tells a worker's session about itself.
type Server struct {
	Version  string `json:"version"`
	Role     string `json:"role"` // of the session
	Standby  bool   `json:"standby"`
	ReadOnly bool   `json:"read_only"`

	Superuser bool   `json:"superuser"` // the role is one
	Owner     bool   `json:"owner"`     // the role owns tables of the schema
	MayCreate bool   `json:"may_create"`
	MayChange string `json:"may_change"` // rights to change or delete invoices, such as UPDATE on invoices; "" if none

	Encrypted bool `json:"encrypted"` // the connection, as far as the next server or pooler
	Local     bool `json:"local"`     // the connection doesn't leave this machine
	Pooled    bool `json:"pooled"`    // a pooler is in between

	ConnectionsLeft int `json:"connections_left"` // that anybody but a superuser may still open
	// SynchronousStandbys is the setting synchronous_standby_names.
	SynchronousStandbys string    `json:"synchronous_standby_names"`
	Standbys            []Standby `json:"standbys"`
	Tables              []Table   `json:"tables"` // the schema's largest
}

// A Standby is a standby that is connected to the server. Only a member of pg_monitor sees how far it is.
type Standby struct {
	Name          string   `json:"name"`
	Synchronous   *string  `json:"sync_state"`     // null if the role may not see it
	BehindBytes   *int64   `json:"behind_bytes"`   // null likewise
	BehindSeconds *float64 `json:"behind_seconds"` // null likewise, and for one that has nothing to catch up with
}

// A Table is what the server's statistics say of a table.
type Table struct {
	Name  string `json:"table"`
	Bytes int64  `json:"bytes"` // with indexes
	Live  int64  `json:"live_rows"`
	Dead  int64  `json:"dead_rows"` // that vacuum hasn't removed yet
}

// largestTables is how many tables [DB.Server] returns.
const largestTables = 8

// Server asks the server about itself. It needs no right to any table.
func (s *DB) Server(ctx context.Context) (*Server, error) {
	v := &Server{Standbys: []Standby{}, Tables: []Table{}}
	err := s.sql.QueryRowContext(ctx, `
SELECT current_setting('server_version'), current_user, pg_is_in_recovery(), current_setting('transaction_read_only') = 'on', rolsuper,
    coalesce((SELECT bool_or(pg_has_role(current_user, relowner, 'USAGE')) FROM pg_class WHERE relnamespace = space.oid AND relkind = 'r'), false),
    coalesce(has_schema_privilege(space.oid, 'CREATE'), false),
    (SELECT coalesce(string_agg(privilege || ' on ' || relname, ', ' ORDER BY relname, privilege DESC), '')
        FROM pg_class t, unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS privilege
        WHERE relnamespace = space.oid AND relname IN ('invoices', 'invoice_lines', 'invoice_taxes')
            AND CASE privilege WHEN 'UPDATE' THEN has_any_column_privilege(t.oid, privilege) ELSE has_table_privilege(t.oid, privilege) END),
    current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
        - (SELECT coalesce(sum(numbackends), 0) FROM pg_stat_database)::integer,
    current_setting('synchronous_standby_names')
FROM pg_roles LEFT JOIN pg_namespace space ON nspname = $1 WHERE rolname = current_user`, s.options.Schema).Scan(
		&v.Version, &v.Role, &v.Standby, &v.ReadOnly, &v.Superuser, &v.Owner, &v.MayCreate, &v.MayChange, &v.ConnectionsLeft, &v.SynchronousStandbys)
	if err != nil {
		return nil, classify(fmt.Errorf("ask the server about itself: %w", err))
	}
	if err := s.standbys(ctx, v); err != nil {
		return nil, classify(fmt.Errorf("ask for standbys: %w", err))
	}
	if err := s.largest(ctx, v); err != nil {
		return nil, classify(fmt.Errorf("ask for the sizes of tables: %w", err))
	}
	v.Pooled = s.opener.pooled.Load()
	return v, classify(s.line(ctx, v))
}

func (s *DB) standbys(ctx context.Context, v *Server) error {
	rows, err := s.sql.QueryContext(ctx, `
SELECT coalesce(application_name, ''), sync_state,
    pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, replay_lsn)::bigint,
    extract(epoch FROM replay_lag)::double precision
FROM pg_stat_replication WHERE coalesce(state IN ('streaming', 'catchup'), true) ORDER BY 1`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var one Standby
		if err := rows.Scan(&one.Name, &one.Synchronous, &one.BehindBytes, &one.BehindSeconds); err != nil {
			return err
		}
		v.Standbys = append(v.Standbys, one)
	}
	return rows.Err()
}

func (s *DB) largest(ctx context.Context, v *Server) error {
	rows, err := s.sql.QueryContext(ctx, `
SELECT relname, pg_total_relation_size(relid), n_live_tup, n_dead_tup FROM pg_stat_user_tables WHERE schemaname = $1
ORDER BY 2 DESC, 1 LIMIT $2`, s.options.Schema, largestTables)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var one Table
		if err := rows.Scan(&one.Name, &one.Bytes, &one.Live, &one.Dead); err != nil {
			return err
		}
		v.Tables = append(v.Tables, one)
	}
	return rows.Err()
}

// line finds out how a connection reaches the server.
func (s *DB) line(ctx context.Context, v *Server) error {
	opened, err := s.sql.Conn(ctx)
	if err != nil {
		return err
	}
	defer opened.Close()
	return opened.Raw(func(driverConn any) error {
		network := driverConn.(*conn).Conn.Conn().PgConn().Conn()
		_, v.Encrypted = network.(*tls.Conn)
		switch at := network.RemoteAddr().(type) {
		case *net.UnixAddr:
			v.Local = true
		case *net.TCPAddr:
			v.Local = at.IP.IsLoopback()
		}
		return nil
	})
}
