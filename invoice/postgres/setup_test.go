package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"invoicer/internal/dropproxy"
	"invoicer/internal/fault"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/schematest"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// bench is a store on a schema of its own, with a second door for looking past it.
type bench struct {
	url, schema string
	way         string // to the database, for the store
	store       *postgres.DB
	generator   *invoice.Generator
	db          *sql.DB
}

func setup(t *testing.T, change ...func(*postgres.Options)) *bench {
	t.Helper()
	url, schema := schematest.New(t)
	b := &bench{url: url, schema: schema, way: url, db: open(t, url, schema)}
	if *pooler != "" {
		b.way = throughPooler(t, url, *pooler)
	}
	b.store = b.open(t, change...)
	b.generator = generator(t, b.store)
	return b
}

// open opens one more store on the same schema.
func (b *bench) open(t *testing.T, change ...func(*postgres.Options)) *postgres.DB {
	t.Helper()
	o := postgres.Options{URL: named(b.way, b.schema), Schema: b.schema}
	for _, f := range change {
		f(&o)
	}
	store, err := postgres.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// planted has a hook called at the store's fault points.
func planted(h fault.Hook) func(*postgres.Options) {
	return func(o *postgres.Options) { o.Fault = h }
}

// A gate stops the first transaction that comes to a point until it is opened, and lets all others pass.
type gate struct {
	at      fault.Point
	taken   atomic.Bool
	reached chan struct{}
	open    chan struct{}
}

func newGate(at fault.Point) *gate {
	return &gate{at: at, reached: make(chan struct{}), open: make(chan struct{})}
}

func (g *gate) hook(_ context.Context, p fault.Point) error {
	if p == g.at && g.taken.CompareAndSwap(false, true) {
		close(g.reached)
		<-g.open
	}
	return nil
}

// named gives the sessions a name by which they are found in pg_stat_activity.
func named(url, name string) string {
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	return url + separator + "application_name=" + name
}

func generator(t *testing.T, store *postgres.DB) *invoice.Generator {
	t.Helper()
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return invoice.NewGenerator(store.Invoices, numbering)
}

func open(t *testing.T, url, schema string) *sql.DB {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["search_path"] = schema
	db := stdlib.OpenDB(*config)
	t.Cleanup(func() { db.Close() })
	return db
}

// throughProxy is the URL of the same database by way of a proxy that drops the replies to matching requests.
func throughProxy(t *testing.T, url string, match func([]byte) bool) (string, *dropproxy.Proxy) {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	network, target := "tcp", net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	if config.Host[0] == '/' {
		network, target = "unix", fmt.Sprintf("%s/.s.PGSQL.%d", config.Host, config.Port)
	}
	proxy := dropproxy.Start(t, network, target, match)
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", config.User, config.Password, proxy.Addr(), config.Database), proxy
}

// job is a valid job of two lines; change it to taste.
func job(t *testing.T, transactionID string, change ...func(*invoice.Job)) *invoice.Job {
	t.Helper()
	vat := decimal(t, "20")
	j := &invoice.Job{
		Version: 1, TransactionID: transactionID, IdempotencyKey: transactionID,
		Details:  invoice.Details{CustomerID: "17850", CustomerName: "Ada", Country: "United Kingdom"},
		IssuedAt: time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC), Currency: "GBP",
		Lines: []invoice.Line{
			{SKU: "85123A", Description: "T-LIGHT HOLDER", Quantity: decimal(t, "6"), UnitPrice: decimal(t, "2.55"), TaxPercent: &vat},
			{SKU: "71053", Quantity: decimal(t, "1.5"), UnitPrice: decimal(t, "3.391"), DiscountPercent: decimal(t, "5")},
		},
		Metadata: map[string]string{"order": "A-17"},
	}
	for _, f := range change {
		f(j)
	}
	return j
}

func decimal(t *testing.T, s string) invoice.Decimal {
	t.Helper()
	d, err := invoice.ParseDecimal(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func request(jobID string, j *invoice.Job) invoice.Request { return invoice.NewRequest(jobID, 1, j) }

// create makes the job's invoice, or fails the test.
func (b *bench) create(t *testing.T, jobID string, j *invoice.Job) *invoice.Ref {
	t.Helper()
	result, err := b.generator.Generate(t.Context(), request(jobID, j))
	if err != nil || result.Outcome != invoice.Created {
		t.Fatalf("outcome %q, error %v; want created", result.Outcome, err)
	}
	return result.Invoice
}

// count runs a query of one number.
func (b *bench) count(t *testing.T, query string, args ...any) int {
	t.Helper()
	var n int
	if err := b.db.QueryRowContext(context.Background(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// text runs a query of one text.
func (b *bench) text(t *testing.T, query string, args ...any) string {
	t.Helper()
	var s string
	if err := b.db.QueryRowContext(context.Background(), query, args...).Scan(&s); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return s
}

// awaitBlocked returns once one of the store's sessions waits for another one's transaction.
func (b *bench) awaitBlocked(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for b.count(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'", b.schema) == 0 {
		if time.Now().After(deadline) {
			t.Fatal("no session ever waited")
		}
	}
}

// blocked is [bench.awaitBlocked] as a channel that is closed then.
func (b *bench) blocked(t *testing.T) <-chan struct{} {
	t.Helper()
	waits := make(chan struct{})
	go func() {
		defer close(waits)
		b.awaitBlocked(t)
	}()
	return waits
}

// gapless fails the test unless every series is numbered 1..n, and its counter stands at n.
func (b *bench) gapless(t *testing.T) {
	t.Helper()
	if n := b.count(t, `SELECT count(*) FROM (
		SELECT s.last_number, count(i.number) AS n, coalesce(min(i.number), 1) AS lo, coalesce(max(i.number), 0) AS hi
		FROM invoice_series s LEFT JOIN invoices i USING (series, period) GROUP BY s.series, s.period, s.last_number
	) x WHERE lo <> 1 OR hi <> n OR last_number <> n`); n != 0 {
		t.Errorf("%d series have a gap, or a counter that doesn't fit", n)
	}
}

func (b *bench) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := b.db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// openSeries makes the series' counters, as their first invoices do in lanes of their own.
func (b *bench) openSeries(t *testing.T, series ...string) {
	t.Helper()
	for _, name := range series {
		kind := invoice.KindInvoice
		if strings.HasSuffix(name, "-CN") {
			kind = invoice.KindCreditNote
		}
		b.exec(t, "INSERT INTO invoice_series (series, period, kind) VALUES ($1, '', $2) ON CONFLICT DO NOTHING", name, string(kind))
	}
}
