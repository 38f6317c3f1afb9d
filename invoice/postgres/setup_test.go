package postgres_test

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/dropproxy"
	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// A site is a store on a schema of its own, with a second door for looking past it.
type site struct {
	*rig.Database
	way       string // to the database, for the store
	store     *postgres.DB
	generator *invoice.Generator
}

func setup(t *testing.T, change ...func(*postgres.Options)) *site {
	t.Helper()
	d := rig.NewDatabase(t)
	way := d.URL
	if *pooler != "" {
		way = throughPooler(t, d.URL, *pooler)
	}
	return newSite(t, d, way, change...)
}

func newSite(t *testing.T, d *rig.Database, way string, change ...func(*postgres.Options)) *site {
	t.Helper()
	b := &site{Database: d, way: way}
	b.store = b.open(t, change...)
	b.generator = generator(t, b.store)
	return b
}

// open opens one more store on the same schema.
func (b *site) open(t *testing.T, change ...func(*postgres.Options)) *postgres.DB {
	t.Helper()
	o := postgres.Options{URL: rig.With(t, b.way, "application_name", b.Schema), Schema: b.Schema}
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

// patient has a store wait for locks of the database that tests of other schemas hold for long, such as that of erasing.
func patient(o *postgres.Options) { o.LockTimeout, o.StatementTimeout = time.Minute, time.Minute }

// planted has a hook called at the store's fault points.
func planted(h fault.Hook) func(*postgres.Options) {
	return func(o *postgres.Options) { o.Fault = h }
}

func generator(t *testing.T, store *postgres.DB) *invoice.Generator {
	t.Helper()
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return invoice.NewGenerator(store.Invoices, numbering)
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
func (b *site) create(t *testing.T, jobID string, j *invoice.Job) *invoice.Ref {
	t.Helper()
	result, err := b.generator.Generate(t.Context(), request(jobID, j))
	if err != nil || result.Outcome != invoice.Created {
		t.Fatalf("outcome %q, error %v; want created", result.Outcome, err)
	}
	return result.Invoice
}

// blocked is [rig.Database.AwaitBlocked] as a channel that is closed then.
func (b *site) blocked(t *testing.T) <-chan struct{} {
	t.Helper()
	waits := make(chan struct{})
	go func() {
		defer close(waits)
		b.AwaitBlocked(t)
	}()
	return waits
}

// gapless fails the test unless every series is numbered 1..n, and its counter stands at n.
func (b *site) gapless(t *testing.T) {
	t.Helper()
	if n := b.Count(t, `SELECT count(*) FROM (
		SELECT s.last_number, count(i.number) AS n, coalesce(min(i.number), 1) AS lo, coalesce(max(i.number), 0) AS hi
		FROM invoice_series s LEFT JOIN invoices i USING (issuer, series, period) GROUP BY s.issuer, s.series, s.period, s.last_number
	) x WHERE lo <> 1 OR hi <> n OR last_number <> n`); n != 0 {
		t.Errorf("%d series have a gap, or a counter that doesn't fit", n)
	}
}

// openSeries makes the series' settings and counters, as their first invoices do.
func (b *site) openSeries(t *testing.T, series ...string) {
	t.Helper()
	for _, name := range series {
		kind := invoice.KindInvoice
		if strings.HasSuffix(name, "-CN") {
			kind = invoice.KindCreditNote
		}
		b.Exec(t, `INSERT INTO series (series, version, kind, format, period, timezone, origin, change, actor)
SELECT $1, 1, $2, '{series}-{number:06}', 'none', 'UTC', 'configuration', 'made', 'a test' WHERE NOT EXISTS (SELECT FROM series WHERE series = $1)`, name, string(kind))
		b.Exec(t, "INSERT INTO invoice_series (series, period, kind) VALUES ($1, '', $2) ON CONFLICT DO NOTHING", name, string(kind))
	}
}
