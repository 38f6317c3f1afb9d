package migrations

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// locks are what each migration does to tables that were there before it. A test applies every migration and compares.
//
//go:embed locks.tsv
var locks string

// A Lock is what a migration does to a table that is there before it.
type Lock struct {
	Version int64  `json:"-"`
	Table   string `json:"table"`
	Mode    string `json:"mode"` // as in LOCK TABLE
	// Reads says that the migration scans the whole table while it holds the lock, Rewrites that it writes a new copy of it.
	Reads    bool `json:"reads"`
	Rewrites bool `json:"rewrites"`

	Rows  int64 `json:"rows"`  // by the server's estimate
	Bytes int64 `json:"bytes"` // of the table without its indexes
}

// Who waits for a lock.
const (
	Nobody   = "nobody waits"
	Writers  = "writers wait"
	Everyone = "writers and readers wait"
)

// Waiters says whom the lock keeps waiting while the migration runs.
func (l *Lock) Waiters() string {
	switch l.Mode {
	case "ACCESS EXCLUSIVE":
		return Everyone
	case "SHARE UPDATE EXCLUSIVE":
		return Nobody
	default:
		return Writers
	}
}

// Rates at which a busy server reads and writes tables: low ones, since the forecast is for people who want to know the worst.
const (
	readRate  = 100 << 20 // bytes a second
	writeRate = 20 << 20
)

// Takes estimates how long the lock is held because of the table's size. What takes no time to speak of is 0.
func (l *Lock) Takes() time.Duration {
	seconds := 0.0
	if l.Reads {
		seconds += float64(l.Bytes) / readRate
	}
	if l.Rewrites {
		seconds += float64(l.Bytes) / writeRate
	}
	return time.Duration(seconds * float64(time.Second)).Round(100 * time.Millisecond)
}

// An Index is built before a migration, while others write.
type Index struct {
	Name  string `json:"name"`
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"` // of the table
}

// Takes estimates how long it takes. The table is read twice.
func (i *Index) Takes() time.Duration {
	return time.Duration(2 * float64(i.Bytes) / readRate * float64(time.Second)).Round(100 * time.Millisecond)
}

// A Forecast says what a pending migration will do to what is there.
type Forecast struct {
	Version int64   `json:"version"`
	Name    string  `json:"name"`
	Locks   []Lock  `json:"locks"`
	Indexes []Index `json:"indexes"` // built ahead, since their tables are large
}

// Forecast says what [Migrator.Up] is going to do, without doing it. In a schema without tables, that is nothing.
func (m *Migrator) Forecast(ctx context.Context) (list []Forecast, err error) {
	status, err := m.Status(ctx)
	if err != nil {
		return nil, err
	}
	sizes, err := m.sizes(ctx)
	if err != nil || len(sizes) == 0 {
		return nil, err
	}
	all, err := parseLocks(locks)
	if err != nil {
		return nil, err
	}
	for _, one := range status {
		if one.AppliedAt != nil {
			continue
		}
		f := Forecast{Version: one.Version, Name: one.Name, Locks: []Lock{}, Indexes: []Index{}}
		for _, index := range ahead {
			if size := sizes[index.table]; index.before == one.Version && size.rows >= int64(m.large) {
				f.Indexes = append(f.Indexes, Index{index.index, index.table, size.rows, size.bytes})
			}
		}
		for _, l := range all {
			size, there := sizes[l.Table]
			if l.Version != one.Version || !there {
				continue
			}
			l.Rows, l.Bytes = size.rows, size.bytes
			// What the migration reads the table for is an index that is there by then.
			l.Reads = l.Reads && !slices.ContainsFunc(f.Indexes, func(i Index) bool { return i.Table == l.Table })
			f.Locks = append(f.Locks, l)
		}
		list = append(list, f)
	}
	return list, nil
}

func parseLocks(text string) ([]Lock, error) {
	var list []Lock
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(fields) != 4 {
			return nil, errors.New("locks.tsv: " + line)
		}
		version, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return nil, err
		}
		list = append(list, Lock{
			Version: version, Table: fields[1], Mode: fields[2],
			Reads: strings.Contains(fields[3], "reads"), Rewrites: strings.Contains(fields[3], "rewrites"),
		})
	}
	slices.SortStableFunc(list, func(a, b Lock) int { return cmp.Compare(a.Version, b.Version) })
	return list, nil
}

type size struct{ rows, bytes int64 }

// sizes returns the sizes of the schema's tables.
func (m *Migrator) sizes(ctx context.Context) (_ map[string]size, err error) {
	db := m.open(ctx)
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, `
SELECT relname, greatest(reltuples, coalesce(pg_catalog.pg_stat_get_live_tuples(c.oid), 0))::bigint, pg_catalog.pg_table_size(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE nspname = $1 AND relkind = 'r' AND relname <> $2`, m.schema, versions)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := make(map[string]size)
	for rows.Next() {
		var name string
		var s size
		if err := rows.Scan(&name, &s.rows, &s.bytes); err != nil {
			return nil, err
		}
		all[name] = s
	}
	return all, rows.Err()
}
