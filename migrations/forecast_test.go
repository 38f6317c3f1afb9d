package migrations_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"invoicer/migrations"
)

var update = flag.Bool("update", false, "write locks.tsv")

// A watched migration tells at its end which locks it holds, and which tables it has scanned.
type watched struct{ fs.FS }

const tellLocks = `
-- +goose StatementBegin
DO $seen$ BEGIN RAISE NOTICE 'seen %', (SELECT coalesce(json_agg(json_build_object('table', c.relname, 'mode', l.mode, 'scans', coalesce(x.seq_scan, 0))), '[]')
FROM pg_locks l JOIN pg_class c ON c.oid = l.relation LEFT JOIN pg_stat_xact_all_tables x ON x.relid = c.oid
WHERE l.pid = pg_backend_pid() AND l.granted AND c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'); END $seen$;
-- +goose StatementEnd

-- +goose Down`

func (w watched) Open(name string) (fs.File, error) {
	file, err := w.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".sql") {
		return file, err
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	return told{bytes.NewReader(bytes.Replace(text, []byte("\n-- +goose Down"), []byte(tellLocks), 1)), info}, nil
}

type told struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f told) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f told) Close() error               { return nil }

// modes are those in which a migration may keep others waiting, the weakest first.
var modes = []string{"ShareUpdateExclusiveLock", "ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"}

func spelled(mode string) string {
	return map[string]string{
		"ShareUpdateExclusiveLock": "SHARE UPDATE EXCLUSIVE", "ShareLock": "SHARE", "ShareRowExclusiveLock": "SHARE ROW EXCLUSIVE",
		"ExclusiveLock": "EXCLUSIVE", "AccessExclusiveLock": "ACCESS EXCLUSIVE",
	}[mode]
}

// TestLocksAreDeclared applies each migration to a schema with rows, and wants locks.tsv to say which tables that were there it has
// locked, how, and whether it has scanned them or written them anew. With -update it writes that file.
func TestLocksAreDeclared(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var seen []struct {
		Table, Mode string
		Scans       int
	}
	m := b.With(watched{os.DirFS(".")})
	m.OnNotice(func(n *pgconn.Notice) {
		if list, is := strings.CutPrefix(n.Message, "seen "); is {
			if err := json.Unmarshal([]byte(list), &seen); err != nil {
				t.Error(err)
			}
		}
	})
	// Queries that would use an index of a large table do so here, too; what isn't a query scans all the same.
	m.Set("enable_seqscan", "off")
	m.Set("jit", "off") // it would be worth it for costs like these
	var lines []string
	for i, version := range known {
		if i == 1 {
			b.Exec(t, anInvoice+itsRows)
		}
		before := b.files(t)
		seen = nil
		if err := m.UpTo(t.Context(), version); err != nil {
			t.Fatal(err)
		}
		after := b.files(t)
		strongest := make(map[string]int)
		scanned := make(map[string]bool)
		for _, one := range seen {
			if mode := slices.Index(modes, one.Mode); before[one.Table] != "" && mode >= strongest[one.Table] && mode >= 0 {
				strongest[one.Table] = mode
				scanned[one.Table] = one.Scans > 0
			}
		}
		for _, table := range slices.Sorted(func(yield func(string) bool) {
			for table := range scanned {
				if !yield(table) {
					return
				}
			}
		}) {
			var does []string
			if scanned[table] {
				does = append(does, "reads")
			}
			if after[table] != before[table] {
				does = append(does, "rewrites")
			}
			if len(does) == 0 {
				does = []string{"-"}
			}
			lines = append(lines, fmt.Sprintf("%d\t%s\t%s\t%s\n", version, table, spelled(modes[strongest[table]]), strings.Join(does, " ")))
		}
	}
	if *update {
		if err := os.WriteFile("locks.tsv", []byte(strings.Join(lines, "")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	declared, err := os.ReadFile("locks.tsv")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(declared), strings.Join(lines, "")); diff != "" {
		t.Errorf("locks.tsv isn't what the migrations do; run this test with -update (-declared +seen):\n%s", diff)
	}
}

// files are where the tables' rows are: elsewhere after a table was written anew.
func (b bundle) files(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	text := b.Text(t, "SELECT coalesce(json_object_agg(relname, pg_relation_filepath(oid))::text, '{}') FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname <> 'goose_db_version'")
	if err := json.Unmarshal([]byte(text), &files); err != nil {
		t.Fatal(err)
	}
	return files
}

func TestForecast(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if list, err := b.Forecast(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("of a schema that isn't there: %v, %v", list, err)
	}
	b.upTo(t, 26)
	b.Exec(t, anInvoice+itsRows)
	b.Exec(t, "ANALYZE invoices")
	b.WithLarge(1)
	list, err := b.Forecast(t.Context())
	if err != nil || len(list) != len(known)-slices.Index(known, 27) || list[0].Version != 27 {
		t.Fatalf("%+v, %v", list, err)
	}
	if first := list[0]; len(first.Indexes) != 1 || first.Indexes[0].Name != "invoices_credits_idx" || first.Indexes[0].Rows != 1 {
		t.Errorf("of migration 27: %+v", first)
	}
	at := func(version int64, table string) migrations.Lock {
		for _, f := range list {
			for _, l := range f.Locks {
				if f.Version == version && l.Table == table {
					return l
				}
			}
		}
		t.Errorf("migration %d locks %s, which isn't forecast", version, table)
		return migrations.Lock{}
	}
	if l := at(29, "invoices"); l.Mode != "ACCESS EXCLUSIVE" || l.Reads || l.Rewrites || l.Takes() != 0 || l.Waiters() != migrations.Everyone || l.Rows != 1 {
		t.Errorf("new columns: %+v", l)
	}
	l := at(30, "invoices")
	if l.Mode != "SHARE UPDATE EXCLUSIVE" || !l.Reads || l.Waiters() != migrations.Nobody {
		t.Errorf("a check of what is there: %+v", l)
	}
	if l.Bytes = 1 << 30; l.Takes() < 5*time.Second || l.Takes() > time.Minute {
		t.Errorf("a gigabyte is read in %v", l.Takes())
	}
	b.up(t)
	if list, err := b.Forecast(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("of a schema that is up to date: %v, %v", list, err)
	}
}
