package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"invoicer/config"
	"invoicer/internal/await"
	"invoicer/internal/term"
	"invoicer/invoice/postgres"
)

// The six roles of a database, without their prefix.
const (
	roleMigrator = "migrator"
	roleWorker   = "worker"
	roleAPI      = "api"
	roleProducer = "producer"
	roleOperator = "operator"
	roleReader   = "reader"
)

// mostPrefix leaves room for the longest role after it in a name of Postgres, which has 63 bytes.
const mostPrefix = 63 - len("_"+roleMigrator)

var plainName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// A databaseRole is one of the roles of a database, and what it needs there.
type databaseRole struct {
	Role     string   `json:"role"`
	May      string   `json:"may"`
	Commands []string `json:"commands"`

	rights []postgres.Right // none of the migrator's, who owns everything
}

func (a app) rolesCommand() *cobra.Command {
	var asSQL, apply bool
	var prefix string
	cmd := &cobra.Command{
		Use:     "roles",
		Short:   "Show the database roles that commands run as, and the SQL that makes them",
		GroupID: groupSetup,
		Args:    noArgs,
		Long: `Shows six roles of the database, and which commands each may run. With --sql, it
prints the SQL that makes them and gives each the rights it needs, and no others.
It may be run again at any time, and has to be after each 'migrate up'. It needs
no superuser. With --apply, it runs that SQL in the database, as the role of
database.url, for machines without psql. Otherwise no server is asked.

The roles can't log in: make your login roles members of one. Their names begin
with that of the schema, since all databases of a server share their roles.`,
		Example: `  invoicer roles
  invoicer roles --sql > roles.sql
  psql -v ON_ERROR_STOP=1 -f roles.sql "$ADMIN_URL"
  INVOICER_DATABASE_URL="$ADMIN_URL" invoicer roles --apply`,
	}
	cmd.Flags().BoolVar(&asSQL, "sql", false, "print the SQL that makes the roles")
	cmd.Flags().BoolVar(&apply, "apply", false, "run the SQL in the database")
	cmd.Flags().StringVar(&prefix, "prefix", "", "let the roles' names begin with this `word`; default: database.schema")
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		schema := cfg.Database.Schema
		if prefix == "" {
			prefix = schema
		}
		if len(prefix) > mostPrefix || !plainName.MatchString(prefix) {
			return usageErrorf("names of roles can't begin with %q: give a --prefix of a-z, 0-9 and _ that begins with a-z and has %d characters at most", prefix, mostPrefix)
		}
		roles := a.databaseRoles(prefix)
		if asSQL && apply {
			return usageErrorf("--sql prints what --apply runs: leave one of them out")
		}
		if apply {
			return applyRoles(cmd, cfg, rolesSQL(schema, prefix, roles))
		}
		if !asSQL {
			return printAnswer(cmd, roles, func() sheet { return roleSheet(roles, ",") }, func(out io.Writer) {
				s := roleSheet(roles, ", ")
				term.WriteTable(out, s.columns, s.rows)
			})
		}
		if cmd.Flags().Changed("output") || cmd.Flags().Changed("json") {
			return usageErrorf("--sql has one form: leave --output and --json out")
		}
		_, err = io.WriteString(cmd.OutOrStdout(), rolesSQL(schema, prefix, roles))
		return err
	}
	return cmd
}

// applyRoles runs the SQL that makes the roles, and passes on what the database has to say to that.
func applyRoles(cmd *cobra.Command, cfg *config.Config, sql string) error {
	options, err := pgx.ParseConfig(string(cfg.Database.URL))
	if err != nil {
		return err
	}
	options.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { _, _ = fmt.Fprintln(cmd.ErrOrStderr(), n.Message) }
	var conn *pgx.Conn
	err = await.Try(cmd.Context(), func(ctx context.Context) (err error) {
		conn, err = pgx.ConnectConfig(ctx, options)
		return err
	})
	if err == nil {
		_, err = conn.PgConn().Exec(cmd.Context(), sql).ReadAll()
		err = errors.Join(err, conn.Close(context.WithoutCancel(cmd.Context())))
	}
	if err != nil {
		return await.Briefly("postgres at "+cfg.Database.Addr()+": ", err)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), "the roles are made, and have their rights")
	return err
}

func roleSheet(roles []databaseRole, separator string) sheet {
	s := sheet{columns: []string{"role", "may", "commands"}}
	for _, r := range roles {
		s.rows = append(s.rows, []string{r.Role, r.May, strings.Join(r.Commands, separator)})
	}
	return s
}

// databaseRoles returns the roles with what the commands and the parts of a worker say that they need. So a command whose needs change
// needs no change here.
func (a app) databaseRoles(prefix string) []databaseRole {
	rights, commands := make(map[string][]postgres.Right), make(map[string][]string)
	for _, cmd := range runnable(a.rootCommand()) {
		needed := needsWithAnyFlag(cmd)
		name := strings.TrimPrefix(cmd.CommandPath(), "invoicer ")
		role := roleFor(name, needed)
		if role == "" {
			continue
		}
		commands[role] = append(commands[role], name)
		if role == roleReader || role == roleOperator {
			rights[role] = append(rights[role], needed...)
		}
		if slices.Contains(onPages, name) {
			rights[roleWorker] = append(rights[roleWorker], needed...)
			rights[roleAPI] = append(rights[roleAPI], needed...)
		}
	}
	rights[roleProducer] = postgres.ProducerRights()
	rights[roleReader] = append(rights[roleReader], postgres.APIReadRights()...)
	rights[roleWorker] = slices.Concat(postgres.WorkerRights(), rights[roleReader], rights[roleWorker], tokensRead, postgres.APIRights())
	rights[roleAPI] = slices.Concat(rights[roleReader], rights[roleAPI], tokensRead, postgres.APIRights(), postgres.ServeRights())
	rights[roleOperator] = slices.Concat(rights[roleReader], rights[roleOperator], tokensRead)
	commands[roleOperator] = slices.Sorted(slices.Values(slices.Concat(commands[roleReader], commands[roleOperator])))
	commands[roleMigrator] = append(commands[roleMigrator], "issuer open (the first)")

	list := []databaseRole{
		{Role: roleMigrator, May: "own the schema, and change it"},
		{Role: roleWorker, May: "work, and serve a worker's pages: add invoices, but never change or delete them"},
		{Role: roleAPI, May: "serve the pages and the API without taking jobs: accept and replay jobs, but add no invoice"},
		{Role: roleProducer, May: "ask for invoices, and how a transaction stands: call functions, but read no table"},
		{Role: roleOperator, May: "read, mend and set up"},
		{Role: roleReader, May: "read, but not tokens"},
	}
	for i := range list {
		r := &list[i]
		r.Commands, r.rights = commands[r.Role], merged(rights[r.Role])
		r.Role = prefix + "_" + r.Role
	}
	return list
}

// onPages are the commands that the pages of a worker offer, too.
//
//nolint:gochecknoglobals // a constant list
var onPages = []string{"replay", "dismiss", "restore", "queue pause", "queue resume", "worker quiet", "lock free", "events replay", "events endpoint enable", "events endpoint test"}

// tokensRead lets pages know who signs in by a token.
//
//nolint:gochecknoglobals // a constant list
var tokensRead = []postgres.Right{{Kind: "table", Name: "tokens", Privileges: []string{"SELECT"}}}

// roleFor returns the role that runs a command with these needs, "" if it needs none: a command that only reads is the reader's.
func roleFor(command string, needed []postgres.Right) string {
	switch command {
	case "worker", "doctor": // which judges the rights of a worker
		return roleWorker
	case "enqueue":
		return roleProducer
	case "serve":
		return roleAPI
	case "migrate up", "migrate down":
		return roleMigrator
	}
	role := ""
	for _, right := range needed {
		if right.Kind == "schema" {
			continue
		}
		if right.Name == "tokens" || right.Kind == "table" && !slices.Equal(right.Privileges, []string{"SELECT"}) {
			return roleOperator
		}
		role = roleReader
	}
	return role
}

// runnable returns the commands below a command that do something by themselves, in alphabetical order.
func runnable(cmd *cobra.Command) (list []*cobra.Command) {
	for _, sub := range cmd.Commands() {
		if sub.Runnable() && !onlyGroups(sub) {
			list = append(list, sub)
		}
		list = append(list, runnable(sub)...)
	}
	return list
}

// needsWithAnyFlag returns what a command needs, whichever of its flags is set. It sets them.
func needsWithAnyFlag(cmd *cobra.Command) []postgres.Right {
	rights := needs(cmd)
	cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
		for _, value := range []string{"true", "1"} { // a switch, a text or a list; a number
			if cmd.Flags().Set(flag.Name, value) == nil {
				rights = append(rights, needs(cmd)...)
				break
			}
		}
		if flag.Value.Type() == "bool" {
			_ = cmd.Flags().Set(flag.Name, "false") // it was just set
		}
	})
	return rights
}

// privilegeOrder is the order in which privileges are granted.
//
//nolint:gochecknoglobals // a constant list
var privilegeOrder = []string{"SELECT", "INSERT", "UPDATE", "DELETE", "USAGE", "EXECUTE"}

// merged returns rights with one entry for each table, sequence and function, in alphabetical order.
func merged(rights []postgres.Right) []postgres.Right {
	type object struct{ kind, name string }
	held := make(map[object][]string)
	var objects []object
	for _, right := range rights {
		o := object{right.Kind, right.Name}
		if o.kind == "schema" {
			continue
		}
		if _, known := held[o]; !known {
			objects = append(objects, o)
		}
		held[o] = append(held[o], right.Privileges...)
	}
	slices.SortFunc(objects, func(a, b object) int { return strings.Compare(a.name, b.name) })
	list := make([]postgres.Right, len(objects))
	for i, o := range objects {
		list[i] = postgres.Right{Kind: o.kind, Name: o.name}
		for _, privilege := range privilegeOrder {
			if slices.Contains(held[o], privilege) {
				list[i].Privileges = append(list[i].Privileges, privilege)
			}
		}
	}
	return list
}

// grants returns statements that give a role its rights: one for all tables, or functions, with the same privileges.
func grants(schema, role string, rights []postgres.Right) []string {
	var statements []string
	for _, kind := range []string{"table", "sequence", "function"} {
		names := make(map[string][]string)
		var lists []string
		for _, right := range rights {
			if right.Kind != kind {
				continue
			}
			list := strings.Join(right.Privileges, ", ")
			if names[list] == nil {
				lists = append(lists, list)
			}
			names[list] = append(names[list], schema+"."+right.Name)
		}
		slices.Sort(lists)
		for _, list := range lists {
			statements = append(statements, fmt.Sprintf("GRANT %s ON %s\n%s\n        TO %s;", list, strings.ToUpper(kind), inLines(names[list]), role))
		}
	}
	return statements
}

// inLines returns a list of names with commas between, in lines of a bearable length.
func inLines(names []string) string {
	const indent, width = "        ", 120
	text, used := indent, len(indent)
	for i, name := range names {
		if i < len(names)-1 {
			name += ","
		}
		switch {
		case i == 0:
		case used+1+len(name) > width:
			text, used = text+"\n"+indent, len(indent)
		default:
			text, used = text+" ", used+1
		}
		text, used = text+name, used+len(name)
	}
	return text
}
