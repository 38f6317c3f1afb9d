package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/invoice/postgres/audit"
	"invoicer/migrations"
)

// examinePostgres returns the database's identity, "" if that can't be read.
func examinePostgres(ctx context.Context, o Options, r *Report) (id string) {
	if err := o.within(ctx, o.Store.Ping); err != nil {
		r.unreachable(o.PostgresName, "database.url", err)
		return ""
	}
	examineDurability(ctx, o, r)
	if examineServer(ctx, o, r); r.Postgres != nil && !r.Postgres.Standby {
		if unfit := new(postgres.UnfitError); errors.As(o.within(ctx, o.Store.ProbeCommit), &unfit) {
			r.find(Finding{Check: "commits", Level: Broken, Server: o.PostgresName, Setting: "synchronous_standby_names", What: unfit.What, Remedy: unfit.Remedy})
		}
	}
	examineRights(ctx, o, r)
	if !r.has("schema") {
		examineGuards(ctx, o, r)
		examineSeries(ctx, o, r)
	}
	err := o.within(ctx, func(ctx context.Context) (err error) {
		id, err = o.Store.DatabaseID(ctx)
		return err
	})
	if err != nil && !r.has("schema") && !r.has("rights") {
		r.miss("the database's identity", err)
	}
	return id
}

func examineDurability(ctx context.Context, o Options, r *Report) {
	err := o.within(ctx, func(ctx context.Context) error {
		unsafe, err := o.Store.Unsafe(ctx)
		for _, u := range unsafe {
			r.find(Finding{
				Check: "durability", Level: Broken, Server: o.PostgresName, Setting: u.Name, What: u.Name + " is " + u.Value + ": " + u.What, Remedy: u.Remedy,
			})
		}
		return err
	})
	if err != nil {
		r.miss("how durable commits are", err)
	}
}

// examineRights looks whether the role has what a worker needs, whether it is there, and whether the database takes writes.
func examineRights(ctx context.Context, o Options, r *Report) {
	find := func(check, setting string, unfit *postgres.UnfitError) {
		r.find(Finding{Check: check, Level: Broken, Server: o.PostgresName, Setting: setting, What: unfit.What, Remedy: unfit.Remedy})
	}
	err := o.within(ctx, o.Store.Probe)
	unfit := new(postgres.UnfitError)
	if err != nil && !errors.As(err, &unfit) {
		r.miss("the role's rights", err)
		return
	}
	if unfit.Code == "42501" { // the schema may then look as if it weren't there
		if role := servesOnly(ctx, o); role != "" {
			r.find(Finding{
				Check: "rights", Level: Warning, Server: o.PostgresName, Setting: "GRANT", What: "role " + role + " may serve the pages and the API, but not work",
				Remedy: "that suffices for invoicer serve; give workers a role of their own: invoicer roles --sql prints it",
			})
			return
		}
		find("rights", "GRANT", unfit)
		return
	}
	behind := examineSchema(ctx, o, r)
	switch {
	case unfit.Code == "25006":
		find("read_only", "default_transaction_read_only", unfit)
	case err != nil && !behind:
		find("schema", "database.schema", unfit)
	}
}

// servesOnly returns the role's name if it has what serving takes, and may add no invoice; else "".
func servesOnly(ctx context.Context, o Options) string {
	var serve, work postgres.Lacking
	err := o.within(ctx, func(ctx context.Context) (err error) {
		if serve, err = o.Store.Lacking(ctx, append(postgres.APIRights(), postgres.ServeRights()...)); err == nil {
			work, err = o.Store.Lacking(ctx, []postgres.Right{{Kind: "table", Name: "invoices", Privileges: []string{"INSERT"}}})
		}
		return err
	})
	if err != nil || len(serve.Grants) > 0 || len(work.Grants) == 0 {
		return "" // whatever it is, what a worker lacks is said
	}
	return serve.Role
}

// examineSchema reports whether it found that the schema lacks migrations that this program needs.
func examineSchema(ctx context.Context, o Options, r *Report) bool {
	migrator, err := migrations.New(o.DatabaseURL, o.Schema)
	if err == nil {
		err = o.within(ctx, migrator.Check)
	}
	missing := new(migrations.MissingError)
	if !errors.As(err, &missing) {
		if err != nil {
			r.miss("the schema's migrations", err)
		}
		return false
	}
	r.find(Finding{
		Check: "schema", Level: Broken, Server: o.PostgresName, Setting: "database.schema",
		What: fmt.Sprintf("schema %q is at version %d, and this program needs %d", o.Schema, missing.Current, missing.Needed), Remedy: "run invoicer migrate up",
	})
	return true
}

// examineGuards looks at the constraints and triggers that enforce the promises.
func examineGuards(ctx context.Context, o Options, r *Report) {
	var checks []audit.Check
	err := o.within(ctx, func(ctx context.Context) (err error) {
		checks, err = audit.Enforced(ctx, audit.Options{URL: o.DatabaseURL, Schema: o.Schema})
		return err
	})
	newer := new(audit.NewerSchemaError)
	switch {
	case errors.As(err, &newer):
		r.find(Finding{
			Check: "schema", Level: Warning, Server: o.PostgresName, Setting: "database.schema", Remedy: "run invoicer doctor of that release",
			What: fmt.Sprintf("schema %q is of a newer release: this one can't know its constraints and triggers", o.Schema),
		})
	case err != nil && !r.has("rights"):
		r.miss("constraints and triggers", err)
	}
	for i := range checks {
		for _, f := range checks[i].Findings {
			kind, name := f.Row[0].Column, fmt.Sprint(f.Row[0].Value)
			where := ""
			if f.Table != "-" && f.Table != name {
				where = " of " + f.Table
			}
			r.find(Finding{
				Check: checks[i].Name, Level: Broken, Server: o.PostgresName, Setting: name, What: kind + " " + name + where + ": " + f.Problem,
				Remedy: mend(o, kind, f.Table, name, f.Problem),
			})
		}
		if more := checks[i].Broken - int64(len(checks[i].Findings)); more > 0 {
			r.find(Finding{
				Check: checks[i].Name, Level: Broken, Server: o.PostgresName, What: fmt.Sprintf("%d more are missing or changed", more), Remedy: "run invoicer audit --limit 1000",
			})
		}
	}
}

// mend returns what puts a guard right: a statement where there is one.
func mend(o Options, kind, table, name, problem string) string {
	on := pgx.Identifier{o.Schema, table}.Sanitize()
	switch {
	case strings.Contains(problem, "switched off"):
		return "ALTER TABLE " + on + " ENABLE TRIGGER " + pgx.Identifier{name}.Sanitize() + "; then run invoicer audit, which finds what it would have refused"
	case strings.Contains(problem, "not valid"):
		return "ALTER TABLE " + on + " VALIDATE CONSTRAINT " + pgx.Identifier{name}.Sanitize() + ";"
	case strings.Contains(problem, "not logged"):
		return "ALTER TABLE " + on + " SET LOGGED;"
	}
	return "make it again as migrations of this release make the " + kind + "; then run invoicer audit, which shows it and what it would have refused"
}

// mostSeries is how many stuck series are listed.
const mostSeries = 20

// examineSeries looks for series whose jobs wait for somebody.
func examineSeries(ctx context.Context, o Options, r *Report) {
	err := o.within(ctx, func(ctx context.Context) error {
		stuck, err := o.Store.Reports.StuckSeries(ctx, mostSeries)
		if err != nil {
			return err
		}
		for _, s := range stuck {
			id := invoice.SeriesID{Issuer: s.Issuer, Name: s.Series}
			r.find(Finding{
				Check: "series", Level: Broken, Server: o.PostgresName, Setting: id.String(), What: "series " + strings.TrimSpace(id.String()+" "+s.Period) + ": " + s.Why,
				Remedy: "run invoicer audit, and find out who has changed invoice_series or invoices by hand, or restored a part of the database; stop the workers before it is mended",
			})
		}
		paused, err := o.Store.Reports.WaitedFor(ctx)
		for _, p := range paused {
			id := invoice.SeriesID{Issuer: p.Issuer, Name: p.Series}
			r.find(Finding{
				Check: "paused", Level: Warning, Server: o.PostgresName, Setting: id.String(), Remedy: "invoicer series resume " + id.Args(),
				What: fmt.Sprintf("%s for series %s, which %s has paused", waiting(p.Jobs, p.AtLeast), id, cmp.Or(p.Actor, "somebody")),
			})
		}
		return err
	})
	if err != nil && (!r.has("rights") || !forbidden(err)) {
		r.miss("the series", err)
	}
}

func waiting(jobs int, atLeast bool) string {
	words := several(jobs, "job") + " wait"
	if jobs == 1 {
		words += "s"
	}
	if atLeast {
		words = "more than " + words
	}
	return words
}

// examineServer looks at the server's facts, and judges them.
func examineServer(ctx context.Context, o Options, r *Report) {
	err := o.within(ctx, func(ctx context.Context) (err error) {
		r.Postgres, err = o.Store.Server(ctx)
		return err
	})
	if err == nil {
		err = o.within(ctx, func(ctx context.Context) error {
			clock, err := readClock(ctx, o.PostgresName, o.Store.Now)
			if err == nil {
				r.Clocks = append(r.Clocks, clock)
			}
			return err
		})
	}
	if err != nil {
		r.miss(o.PostgresName, err)
	}
	if r.Postgres != nil {
		judgeServer(o, r, r.Postgres)
	}
}

// fewConnections is how many connections must be left for one more worker.
const fewConnections = 20

func judgeServer(o Options, r *Report, v *postgres.Server) {
	warn := func(check, setting, what, remedy string) {
		r.find(Finding{Check: check, Level: Warning, Server: o.PostgresName, Setting: setting, What: what, Remedy: remedy})
	}
	const ownRole = "give workers a role of their own: invoicer roles --sql prints six"
	switch {
	case v.Superuser:
		warn("role", v.Role, "role "+v.Role+" is a superuser: it may change invoices, and switch off what forbids that", ownRole)
	case v.Owner:
		warn("role", v.Role, "role "+v.Role+" owns the tables: it may switch off the triggers and change invoices", ownRole)
	case v.MayChange != "":
		warn("role", v.Role, "role "+v.Role+" has rights that no worker needs: "+v.MayChange, "REVOKE them")
	case v.MayCreate:
		warn("role", v.Role, "role "+v.Role+" may create objects in schema "+o.Schema, "REVOKE CREATE ON SCHEMA "+pgx.Identifier{o.Schema}.Sanitize()+" FROM it")
	}
	if !v.Encrypted && !v.Local {
		warn("encryption", "sslmode", "the connection crosses the network without TLS", "set sslmode=verify-full in database.url")
	}
	if v.Pooled && strings.Contains(o.DatabaseURL, "default_query_exec_mode=cache_statement") {
		warn("pooler", "default_query_exec_mode", "statements stay prepared behind a pooler: in its transaction mode that needs PgBouncer 1.21 with max_prepared_statements",
			"leave default_query_exec_mode out of database.url, unless the pooler is in session mode: docs/pgbouncer.md")
	}
	if v.ConnectionsLeft < fewConnections {
		warn("connections", "max_connections", several(max(v.ConnectionsLeft, 0), "connection")+" can still be opened, and a worker opens up to 20", "raise max_connections, or let workers share a PgBouncer")
	}
	if !v.Standby {
		judgeStandbys(v, warn)
	}
	for _, t := range v.Tables {
		if bloated(t) {
			warn("bloat", t.Name, fmt.Sprintf("table %s has %d dead rows beside %d living ones", t.Name, t.Dead, t.Live),
				"look in pg_stat_activity for a transaction that is open for long, which keeps vacuum from them; then VACUUM "+pgx.Identifier{o.Schema, t.Name}.Sanitize()+";")
		}
	}
}

const (
	// farBehindBytes and farBehindSeconds are how far a standby may be behind.
	farBehindBytes   = 100 << 20
	farBehindSeconds = 10
)

func judgeStandbys(v *postgres.Server, warn func(check, setting, what, remedy string)) {
	if len(v.Standbys) == 0 {
		warn("standby", "synchronous_standby_names", "it has no standby: what its disk loses is lost", "add a standby that replicates synchronously: docs/promises.md")
		return
	}
	if v.SynchronousStandbys == "" {
		warn("standby", "synchronous_standby_names", "its standbys replicate asynchronously: a failover may give out numbers again, and lose jobs",
			"name them in synchronous_standby_names")
	}
	for _, s := range v.Standbys {
		switch {
		case s.BehindSeconds != nil && *s.BehindSeconds > farBehindSeconds:
			warn("lag", s.Name, fmt.Sprintf("standby %s is %.0f s behind", s.Name, *s.BehindSeconds), "look at its disk and at the network between them")
		case s.BehindBytes != nil && *s.BehindBytes > farBehindBytes:
			warn("lag", s.Name, fmt.Sprintf("standby %s is %d MB behind", s.Name, *s.BehindBytes>>20), "look at its disk and at the network between them")
		}
	}
}

// bloated reports whether vacuum doesn't keep up with a table: many rows are dead, and more than half as many as live.
func bloated(t postgres.Table) bool {
	const many = 100_000
	return t.Dead > many && t.Dead > t.Live/2
}
