package given_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"invoicer/internal/given"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// counted counts the scripts that are run.
type counted struct {
	redis.UniversalClient

	ran atomic.Int64
}

func (c *counted) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	c.ran.Add(1)
	return c.UniversalClient.EvalSha(ctx, sha, keys, args...)
}

func slot(name string) invoice.SlotKey { return invoice.SlotKey{Series: name, Period: "2026"} }

// The memory keeps the highest number of each slot, exactly, whoever is first, and for ever.
func TestMemoryKeepsTheHighest(t *testing.T) {
	t.Parallel()
	rdb := &counted{UniversalClient: rig.Connect(t, sandboxtest.Redis(t))}
	id := strings.ToLower(rig.NewDatabase(t).Schema)
	memory := given.NewMemory(rdb, id)
	group, ctx := errgroup.WithContext(t.Context())
	for g := range int64(3) {
		var numbers []invoice.Numbered
		for n := range int64(100) {
			numbers = append(numbers, invoice.Numbered{SlotKey: slot("INV"), Number: 100*g + n + 1})
		}
		group.Go(func() error { return memory.Raise(ctx, numbers...) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if ran := rdb.ran.Load(); ran != 3 {
		t.Errorf("%d scripts for three groups", ran)
	}
	const large = 1_000_000_000_000_000_000 // beyond what a float holds
	for _, n := range []invoice.Numbered{{SlotKey: slot("BIG"), Number: large + 1}, {SlotKey: slot("BIG"), Number: large}, {SlotKey: slot("BIG"), Number: 9}, {SlotKey: slot("INV"), Number: 299}} {
		if err := given.NewMemory(rdb, id).Raise(t.Context(), n); err != nil { // another process
			t.Fatal(err)
		}
	}
	highest, err := given.Highest(t.Context(), rdb, id)
	if err != nil || len(highest) != 2 || highest[slot("INV")] != 300 || highest[slot("BIG")] != large+1 {
		t.Errorf("%v, %v", highest, err)
	}
	if ttl, err := rdb.TTL(t.Context(), given.Key(id)).Result(); err != nil || ttl != -1 {
		t.Errorf("it expires in %v, %v", ttl, err)
	}
}

// A site is a store at which a watch looks.
type site struct {
	*rig.Database
	rdb       redis.UniversalClient
	store     *postgres.DB
	generator *invoice.Generator
	watch     *given.Watch
	timeout   time.Duration // of statements, 0 for the default
}

func setup(t *testing.T) *site {
	t.Helper()
	s := &site{Database: rig.NewDatabase(t), rdb: rig.Connect(t, sandboxtest.Redis(t))}
	s.restart(t)
	return s
}

// restart begins another process.
func (s *site) restart(t *testing.T) {
	t.Helper()
	store, err := postgres.Open(postgres.Options{
		URL: s.URL, Schema: s.Schema, StatementTimeout: s.timeout,
		Look: func(ctx context.Context, seen map[invoice.SlotKey]int64) (string, error) {
			return s.watch.Look(ctx, seen)
		},
		Remember: func(ctx context.Context, made []invoice.Made) { s.watch.Remember(ctx, made) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	s.store = store
	id := s.Text(t, "SELECT id::text FROM database_identity")
	s.watch = &given.Watch{Books: s.store.Invoices, Servers: s.store.Invoices, Memory: given.NewMemory(s.rdb, id), Redis: s.rdb, DatabaseID: id, Logger: slog.New(slog.DiscardHandler)}
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.generator = invoice.NewGenerator(s.store.Invoices, numbering)
}

func (s *site) job(t *testing.T, id string) error {
	t.Helper()
	return s.jobIn(t, "INV", id)
}

func (s *site) jobIn(t *testing.T, series, id string) error {
	t.Helper()
	job, err := invoice.Decode([]byte(`{"transaction_id":"` + id + `","series":"` + series + `","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":2}]}`))
	if err != nil {
		t.Fatal(err)
	}
	result, err := s.generator.Generate(t.Context(), invoice.NewRequest("job of "+id, 1, job))
	if err == nil && result.Outcome == invoice.Created {
		<-result.Remembered
	}
	return err
}

func (s *site) state(t *testing.T) string {
	t.Helper()
	return s.Text(t, "SELECT state || ' ' || coalesce(note, '') FROM series WHERE series = 'INV' ORDER BY version DESC LIMIT 1")
}

// A series is paused where something remembers a higher number than its counter has, or nothing reaches up to its counter after commits
// may have been lost; and nowhere else.
func TestLookPausesWhatMayBeLost(t *testing.T) {
	t.Parallel()
	key := func(s *site) string { return given.Key(s.watch.DatabaseID) }
	for name, c := range map[string]struct {
		change func(t *testing.T, s *site)
		paused string // part of why; "" if it isn't
	}{
		"nothing happened":          {func(*testing.T, *site) {}, ""},
		"Redis knows more":          {func(t *testing.T, s *site) { s.remembers(t, "/INV/", 4) }, "numbers up to 4 were given out, and the database's counter is at 3"},
		"Redis knows less":          {func(t *testing.T, s *site) { s.remembers(t, "/INV/", 2) }, ""},
		"Redis is empty":            {func(t *testing.T, s *site) { s.rdb.Del(t.Context(), key(s)) }, ""},
		"a promotion with memory":   {func(t *testing.T, s *site) { s.moved(t, false) }, ""},
		"a promotion without":       {func(t *testing.T, s *site) { s.moved(t, false); s.rdb.Del(t.Context(), key(s)) }, "nothing that remembers numbers reaches up to its counter, 3"},
		"a promotion with less":     {func(t *testing.T, s *site) { s.moved(t, false); s.remembers(t, "/INV/", 2) }, "nothing that remembers numbers reaches up to its counter, 3"},
		"a synchronous promotion":   {func(t *testing.T, s *site) { s.moved(t, true); s.rdb.Del(t.Context(), key(s)) }, ""},
		"more of another period":    {func(t *testing.T, s *site) { s.remembers(t, "/INV/2031", 1) }, "numbers up to 1 of period 2031 were given out, and the database's counter is at 0"},
		"more of another series":    {func(t *testing.T, s *site) { s.remembers(t, "/OTHER/", 7) }, ""},
		"a process saw it higher":   {func(t *testing.T, s *site) { s.lowered(t) }, "numbers up to 3 were given out, and the database's counter is at 2"},
		"what isn't a hash":         {func(t *testing.T, s *site) { s.rdb.Set(t.Context(), key(s), "x", 0) }, ""},
		"what isn't a number there": {func(t *testing.T, s *site) { s.rdb.HSet(t.Context(), key(s), "/INV/", "x") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			for _, id := range []string{"T1", "T2", "T3"} {
				if err := s.job(t, id); err != nil {
					t.Fatal(err)
				}
			}
			c.change(t, s)
			if !strings.HasPrefix(name, "a process") {
				s.restart(t)
			}
			err := s.job(t, "N")
			state := s.state(t)
			if c.paused == "" && (err != nil || !strings.HasPrefix(state, "open")) {
				t.Errorf("%s, %v", state, err)
			}
			if c.paused != "" && (err == nil || !strings.Contains(err.Error(), "is paused") || !strings.HasPrefix(state, "paused") || !strings.Contains(state, c.paused)) {
				t.Errorf("%s, %v; want %s", state, err, c.paused)
			}
			if c.paused == "" {
				highest, err := given.Highest(t.Context(), s.rdb, s.watch.DatabaseID)
				if n := highest[invoice.SlotKey{Series: "INV"}]; err != nil || n != 4 {
					t.Errorf("Redis knows %d, %v", n, err)
				}
			}
		})
	}
}

// A series that the database has lost altogether gives out no number again, neither when a job makes it nor when a person opens it.
func TestASeriesThatIsGone(t *testing.T) {
	t.Parallel()
	for name, opened := range map[string]bool{"made by a job": false, "opened by a person": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.remembers(t, "/GONE/", 7)
			if err := s.job(t, "T1"); err != nil {
				t.Fatal(err)
			}
			if opened {
				numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.store.Series.Change(t.Context(), &postgres.SeriesChange{Name: "GONE", What: "opened", By: "ada", To: func(*invoice.Series) (invoice.Series, error) {
					return numbering.First(invoice.SeriesID{Name: "GONE"}, invoice.KindInvoice), nil
				}}); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.jobIn(t, "GONE", "T2"); err == nil || !errors.Is(err, invoice.ErrUnavailable) && !strings.Contains(err.Error(), "is paused") {
				t.Errorf("a job of the series: %v", err)
			}
			if n := s.Count(t, "SELECT count(*) FROM invoices WHERE series = 'GONE'"); n != 0 {
				t.Errorf("%d invoices", n)
			}
		})
	}
}

// elsewhere pauses series at another server than the one that it asks.
type elsewhere struct{ given.Books }

func (elsewhere) PauseLost(context.Context, invoice.SeriesID, int, string) (bool, error) {
	return true, nil
}

// A look isn't over before the server that it has asked has the pauses.
func TestALookWantsItsPauses(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if err := s.job(t, "T1"); err != nil {
		t.Fatal(err)
	}
	s.restart(t)
	s.remembers(t, "/INV/", 4)
	s.watch.Books = elsewhere{s.watch.Books}
	if err := s.job(t, "T2"); !errors.Is(err, invoice.ErrUnavailable) {
		t.Errorf("a number is given out: %v", err)
	}
}

// A process that is connected to an old primary gives out no number, and says why, until a person says that it is meant.
func TestOldPrimariesGiveOutNothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if err := s.job(t, "T1"); err != nil {
		t.Fatal(err)
	}
	standing, err := s.store.Invoices.Standing(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now := standing.Now
	if now.System == "" || now.Timeline < 1 {
		t.Fatalf("%+v", now)
	}
	stop := make(chan struct{})
	watching, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(stop)
		s.watch.Run(watching)
	}()
	s.remembers(t, "timeline "+now.System, int(now.Timeline+1)) // another worker has found the new primary
	n := 1
	rig.Eventually(t, "a refusal", func() bool {
		n++
		err = s.job(t, fmt.Sprint("T", n))
		return err != nil
	})
	if !errors.Is(err, postgres.ErrOldPrimary) || !errors.Is(err, invoice.ErrUnavailable) {
		t.Errorf("refused with %v", err)
	}
	cancel()
	<-stop
	s.restart(t)
	if err := s.job(t, "X"); !errors.Is(err, postgres.ErrOldPrimary) {
		t.Errorf("another process: %v", err)
	}
	if err := given.NewMemory(s.rdb, s.watch.DatabaseID).Meant(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if err := s.job(t, "X"); err != nil {
		t.Errorf("after it was meant: %v", err)
	}
}

// What a primary has that no standby was given, since the wait for it was broken off, isn't remembered: nobody was told of it, and the
// next primary gives its number to another transaction.
func TestOnlyWhatStandbysHaveIsRemembered(t *testing.T) {
	t.Parallel()
	r := sandboxtest.Replicated(t)
	s := &site{Database: rig.DatabaseOn(t, r.Primary.URL), rdb: rig.Connect(t, sandboxtest.Redis(t))}
	s.restart(t)
	if err := s.job(t, "T1"); err != nil {
		t.Fatal(err)
	}
	r.Cut(t)
	told := make(chan error, 1)
	go func() { told <- s.job(t, "T2") }()
	rig.Eventually(t, "a commit that was broken off", func() bool {
		s.Exec(t, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
		return s.Count(t, "SELECT count(*) FROM invoices") == 2
	})
	if err := <-told; !errors.Is(err, invoice.ErrUnavailable) {
		t.Errorf("the job: %v", err)
	}
	s.timeout = time.Second
	s.restart(t)
	if _, err := s.watch.Look(t.Context(), nil); !errors.Is(err, invoice.ErrUnavailable) {
		t.Errorf("a look at what no standby has: %v", err)
	}
	highest, err := given.Highest(t.Context(), s.rdb, s.watch.DatabaseID)
	if err != nil || highest[invoice.SlotKey{Series: "INV"}] != 1 {
		t.Errorf("remembered: %v, %v", highest, err)
	}
	r.Join(t)
	if _, err := s.watch.Look(t.Context(), nil); err != nil {
		t.Errorf("a look at what standbys have: %v", err)
	}
}

func (s *site) remembers(t *testing.T, field string, n int) {
	t.Helper()
	if err := s.rdb.HSet(t.Context(), given.Key(s.watch.DatabaseID), field, n).Err(); err != nil {
		t.Fatal(err)
	}
}

// moved has the database be another server's than it was.
func (s *site) moved(t *testing.T, replicated bool) {
	t.Helper()
	s.Exec(t, "UPDATE seen_server SET timeline = 0, replicated = $1", replicated)
}

// lowered takes the last invoice away, behind the triggers.
func (s *site) lowered(t *testing.T) {
	t.Helper()
	s.rdb.Del(t.Context(), given.Key(s.watch.DatabaseID))
	tx, err := s.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"SET LOCAL session_replication_role = replica", "DELETE FROM invoice_lines WHERE invoice_id = (SELECT id FROM invoices WHERE number = 3)",
		"DELETE FROM invoices WHERE number = 3", "UPDATE invoice_series SET last_number = 2",
	} {
		if _, err := tx.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// Whether commits wait for a standby can be set while workers run: what is remembered of it follows. Of another server it stays, until somebody
// has looked there.
func TestReplicationIsFollowed(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if err := s.job(t, "T1"); err != nil {
		t.Fatal(err)
	}
	s.moved(t, true)
	if err := s.store.Invoices.SeeReplication(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !s.Is(t, "SELECT replicated FROM seen_server") {
		t.Error("another server's setting counts")
	}
	standing, err := s.store.Invoices.Standing(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Exec(t, "UPDATE seen_server SET timeline = $1", standing.Now.Timeline)
	watching, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.watch.Run(watching)
	}()
	rig.Eventually(t, "what the server says", func() bool { return s.Is(t, "SELECT NOT replicated FROM seen_server") })
	stop()
	<-ended
}
