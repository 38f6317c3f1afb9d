// Package doctor finds out whether the servers, and how they are set, fit the promises. It judges them as a worker meets them: with its
// role, its session and its queues. A finding that lets a promise break as things are is broken; what would break one together with
// a fault, or hides one, is a warning.
package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/await"
	"invoicer/internal/inquiry"
	"invoicer/internal/witness"
	"invoicer/invoice/postgres"
)

// A Level says how bad a finding is.
type Level string

// Levels of findings.
const (
	Broken  Level = "broken"
	Warning Level = "warning"
)

// A Finding is something that is wrong with a server, or with what works there.
type Finding struct {
	Check    string `json:"check"` // one of [Checks]
	Level    Level  `json:"level"`
	Server   string `json:"server"`            // "" for what concerns workers
	Setting  string `json:"setting,omitempty"` // as the server spells it
	What     string `json:"what"`
	Promises []int  `json:"promises"` // those that it endangers, by their numbers in docs/promises.md
	Remedy   string `json:"remedy"`
}

// A Report is what was found, and what was looked at.
type Report struct {
	Findings []Finding        `json:"findings"` // the broken ones first
	Postgres *postgres.Server `json:"postgres"` // null if it can't be reached
	Redis    []Node           `json:"redis"`    // the masters; none if they can't be reached
	Workers  *Workers         `json:"workers"`  // null if both servers can't be asked
	Clocks   []Clock          `json:"clocks"`
	Problems []string         `json:"problems"` // what couldn't be looked at, and why
}

// Count returns how many findings have the level.
func (r *Report) Count(l Level) (n int) {
	for i := range r.Findings {
		if r.Findings[i].Level == l {
			n++
		}
	}
	return n
}

// OK reports whether nothing is broken, and everything could be looked at.
func (r *Report) OK() bool { return r.Count(Broken) == 0 && len(r.Problems) == 0 }

// MarshalJSON encodes the report with the verdict as "ok".
func (r *Report) MarshalJSON() ([]byte, error) {
	type plain Report
	return json.Marshal(struct {
		OK bool `json:"ok"`
		*plain
	}{r.OK(), (*plain)(r)})
}

// find adds a finding, with its check's promises.
func (r *Report) find(f Finding) {
	for _, c := range Checks() {
		if c.Name == f.Check {
			f.Promises = c.Promises
		}
	}
	r.Findings = append(r.Findings, f)
}

// has reports whether there is a finding of the check.
func (r *Report) has(check string) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Check == check })
}

// miss notes what couldn't be looked at.
func (r *Report) miss(what string, err error) {
	r.Problems = append(r.Problems, "couldn't look at "+what+": "+await.OneLine(err))
}

// unreachable finds that a server gives no answer, or refuses to.
func (r *Report) unreachable(server, setting string, err error) {
	r.find(Finding{
		Check: "reachable", Level: Broken, Server: server, Setting: setting, What: await.OneLine(err),
		Remedy: "start it, or correct " + setting,
	})
}

// Options say what is examined. All are required but WitnessFolder and Patience.
type Options struct {
	Store        *postgres.DB
	Redis        redis.UniversalClient
	RedisOptions *redis.UniversalOptions // with which Redis was made
	Reporter     *inquiry.Reporter       // on both
	DatabaseURL  string
	Schema       string
	Queues       []string // that this installation consumes
	// WitnessFolder is witness.folder, "" for none.
	WitnessFolder string
	// Mail asks the server that sends e-mail whether it would, nil for none; MailName names it in findings.
	Mail     func(ctx context.Context) error
	MailName string
	// CheckDocuments reports why documents can't be kept where the configuration says. Default: it isn't asked.
	CheckDocuments func(context.Context) error
	// PostgresName and RedisName name the servers in findings: postgres at 127.0.0.1:5432.
	PostgresName, RedisName string
	// Patience is how long a server may take for one step. Default: 5s.
	Patience time.Duration
}

// Examine looks at both servers and at the workers, and returns what it found. If a server can't be reached, that is a finding, and the
// other is examined. Nothing lasts but the queues' names, which Redis lists from then on: as a worker's probe does, it writes keys that expire, and commits a transaction
// that changes no row.
func Examine(ctx context.Context, o Options) *Report {
	if o.Patience == 0 {
		o.Patience = 5 * time.Second
	}
	r := &Report{Findings: []Finding{}, Redis: []Node{}, Clocks: []Clock{}, Problems: []string{}}
	id := examinePostgres(ctx, o, r)
	alive := examineRedis(ctx, o, r, id)
	if id != "" && alive {
		examineWorkers(ctx, o, r)
	}
	if id != "" {
		examineEvents(ctx, o, r)
	}
	if o.CheckDocuments != nil {
		if err := o.within(ctx, o.CheckDocuments); err != nil {
			r.find(Finding{
				Check: "documents", Level: Warning, Setting: "documents.store", What: "documents can't be kept there, so that none is made or handed out: " + await.OneLine(err),
				Remedy: "mount the folder, and let this user read and write there; or correct documents.s3 and what its key may do",
			})
		}
	}
	if o.WitnessFolder != "" && id != "" {
		if err := witness.Probe(o.WitnessFolder, id); err != nil {
			r.find(Finding{
				Check: "witness", Level: Broken, Setting: "witness.folder", What: "it can't be used from here, and workers don't start without it: " + err.Error(),
				Remedy: "mount the folder, and let this user read and write there",
			})
		}
	}
	examineMail(ctx, o, r)
	compareClocks(r)
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return strings.Compare(string(a.Level), string(b.Level)) // broken, warning
	})
	return r
}

// within calls a step with a bounded time.
func (o *Options) within(ctx context.Context, step func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, o.Patience)
	defer cancel()
	return step(ctx)
}

// forbidden reports whether the role lacks the right to what was asked.
func forbidden(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42501"
}

// several returns a number of things in words.
func several(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
