package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/doctor"
	"invoicer/internal/term"
	"invoicer/invoice/postgres"
)

func (a app) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Look whether the servers and their settings fit the promises",
		GroupID: groupLook,
		Args:    noArgs,
		Long: `Looks at both servers as a worker meets them, and at the workers and queues of
this installation. Run it with the configuration of a worker: it judges the
rights of that role.

What is broken lets a promise break as things are, such as fsync off or a
disabled trigger: the exit code is then 1. So it is if something couldn't be
looked at. What is a warning would break one together with a fault, or hides
one, such as Redis without persistence: the exit code is 0. Each finding says
what is wrong, which promises it endangers, and how to mend it.

A server that doesn't answer within 5 s is a finding, and the others are looked
at. The one of documents.email is signed in to, and sends nothing. Nothing lasts
of what is tried, except that the queues of worker.queues are listed in Redis,
as by a worker. docs/operations.md explains each finding.`,
		Example: `  invoicer doctor
  invoicer doctor --json | jq -r '.findings[] | [.level, .check, .what] | @tsv'`,
	}
	addConfigFlags(cmd, "worker", "witness", "documents")
	addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		if err := checkTemplates(cfg); err != nil {
			return err
		}
		catchLogs(newLogger(cfg.Log, cmd.ErrOrStderr()))
		return examine(cmd, cfg)
	}
	return cmd
}

func examine(cmd *cobra.Command, cfg *config.Config) error {
	store, err := newStore(cfg)
	if err != nil {
		return err
	}
	defer store.Close()
	rdb, err := newRedis(cfg, 0)
	if err != nil {
		return err
	}
	defer rdb.Close()
	reporter, err := newReporter(cfg, store, rdb)
	if err != nil {
		return err
	}
	redisOptions, err := cfg.Redis.Options()
	if err != nil {
		return err
	}
	keeper, err := newKeeper(cfg)
	if err != nil {
		return err
	}
	names := serverNames(cfg)
	mailer, err := newMailer(cfg)
	if err != nil {
		return err
	}
	options := doctor.Options{
		Store: store, Redis: rdb, RedisOptions: redisOptions, Reporter: reporter, DatabaseURL: string(cfg.Database.URL), Schema: cfg.Database.Schema,
		Queues: slices.Sorted(maps.Keys(cfg.Worker.Queues)), PostgresName: names.Postgres, RedisName: names.Redis,
		WitnessFolder: cfg.Witness.Folder, CheckDocuments: func(ctx context.Context) error { return keeper.Check(ctx, store.Documents.Used) },
	}
	if mailer != nil {
		options.Mail, options.MailName = mailer.Probe, "mail server at "+mailer.Server()
	}
	report := doctor.Examine(cmd.Context(), options)
	if wantsJSON(cmd) {
		if err := printJSON(cmd, report); err != nil {
			return err
		}
	} else {
		writeDiagnosis(outputOf(cmd), report)
	}
	for _, problem := range report.Problems {
		cmd.PrintErrln("invoicer:", term.Clean(problem))
	}
	switch broken := report.Count(doctor.Broken); {
	case broken == 1:
		return fmt.Errorf("1 finding lets a promise break as things are")
	case broken > 1:
		return fmt.Errorf("%d findings let promises break as things are", broken)
	case !report.OK():
		return fmt.Errorf("not everything could be looked at")
	}
	return nil
}

// promiseNames are the names of the promises, as docs/promises.md has them.
func promiseNames() []string {
	return []string{"one", "none lost", "gapless", "classified", "only the holder", "it recovers", "immutable", "discreet", "apart"}
}

func writeDiagnosis(out io.Writer, r *doctor.Report) {
	const indent = "    "
	width := term.Width(out)
	for i := range r.Findings {
		f := &r.Findings[i]
		term.WriteWrapped(out, width, "", strings.ToUpper(string(f.Level)), f.Check, f.Server, f.Setting)
		var endangered []string
		for _, p := range f.Promises {
			endangered = append(endangered, fmt.Sprintf("%d %s", p, promiseNames()[p-1]))
		}
		for _, line := range []string{f.What, "endangers: " + strings.Join(endangered, ", "), "to mend: " + f.Remedy} {
			term.WriteWrapped(out, width, indent, line)
		}
		_, _ = fmt.Fprintln(out) // the reader may have closed the pipe
	}
	for _, line := range lookedAt(r) {
		term.WriteWrapped(out, width, "", line)
	}
	broken, warnings := r.Count(doctor.Broken), r.Count(doctor.Warning)
	verdict := fmt.Sprintf("%d broken, %s", broken, numbered(warnings, "warning", "warnings"))
	if broken+warnings+len(r.Problems) == 0 {
		verdict = "all well"
	}
	_, _ = fmt.Fprintln(out, verdict) // as above
}

// lookedAt returns what was looked at: a line for each server, and one for the workers.
func lookedAt(r *doctor.Report) (lines []string) {
	clock := func(server string) string {
		for _, c := range r.Clocks {
			if c.Server == server {
				return fmt.Sprintf("round trip %.1f ms, clock %+.2f s", 1000*c.RoundTripSeconds, c.AheadSeconds)
			}
		}
		return "no clock"
	}
	if v := r.Postgres; v != nil {
		server := ""
		for _, c := range r.Clocks {
			if strings.HasPrefix(c.Server, "postgres ") {
				server = c.Server
			}
		}
		pooled := ""
		if v.Pooled {
			pooled = " behind a pooler"
		}
		lines = append(lines, fmt.Sprintf("%s: Postgres %s%s as %s, %s, %s left, %s, %s", cmp.Or(server, "postgres"), v.Version, pooled, v.Role, clock(server),
			numbered(v.ConnectionsLeft, "connection", "connections"), standbysOf(v), sizes(v)))
	}
	for i := range r.Redis {
		n := &r.Redis[i]
		limit := "no limit"
		if n.MemoryLimit > 0 {
			limit = "of " + memory(n.MemoryLimit)
		}
		disk := "kept in memory alone"
		switch {
		case n.AppendOnly:
			disk = "append-only file"
		case n.Snapshots:
			disk = "snapshots"
		}
		lines = append(lines, fmt.Sprintf("%s: Redis %s, %s, %s, %s used (%s), %s, %s", n.Server, n.Version, n.Role, clock(n.Server), memory(n.MemoryUsed), limit, disk,
			numbered(int(n.Replicas), "replica", "replicas")))
	}
	if w := r.Workers; w != nil {
		versions := ""
		if len(w.Versions) > 0 {
			versions = " of " + strings.Join(w.Versions, ", ")
		}
		lines = append(lines, fmt.Sprintf("workers: %s%s, %s", numbered(w.Workers, "worker", "workers"), versions, numbered(w.Queues, "queue", "queues")))
	}
	return lines
}

func standbysOf(v *postgres.Server) string {
	if len(v.Standbys) == 0 {
		return "no standby"
	}
	var list []string
	for _, s := range v.Standbys {
		behind := "how far behind only pg_monitor may see"
		if s.BehindBytes != nil {
			behind = memory(*s.BehindBytes) + " behind"
		}
		list = append(list, fmt.Sprintf("standby %s (%s, %s)", s.Name, orDash(s.Synchronous), behind))
	}
	return strings.Join(list, ", ")
}

// sizes names the largest table, and how large all are.
func sizes(v *postgres.Server) string {
	var all int64
	for _, t := range v.Tables {
		all += t.Bytes
	}
	if len(v.Tables) == 0 {
		return "no table"
	}
	return fmt.Sprintf("tables of %s, the largest %s", memory(all), v.Tables[0].Name)
}

// numbered returns a number of things in words, as in: 2 workers.
func numbered(n int, one, many string) string { return count(int64(n)) + " " + plural(n, one, many) }
