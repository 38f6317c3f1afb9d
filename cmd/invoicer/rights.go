package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"invoicer/internal/await"
	"invoicer/invoice/postgres"
)

// insufficientPrivilege is the SQLSTATE of a missing right.
const insufficientPrivilege = "42501"

func forbidden(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == insufficientPrivilege
}

// setsSecret is what it takes to give an endpoint a secret, without reading any.
//
//nolint:gochecknoglobals // a constant
var setsSecret = postgres.Right{Kind: "function", Name: "set_endpoint_secret(bigint, text)", Privileges: []string{"EXECUTE"}}

// needs returns the rights in the database that a command needs. Those of a worker are in the store's probe.
func needs(cmd *cobra.Command) []postgres.Right {
	rights := []postgres.Right{{Kind: "schema", Privileges: []string{"USAGE"}}}
	on := func(privileges string, tables ...string) {
		for _, table := range tables {
			rights = append(rights, postgres.Right{Kind: "table", Name: table, Privileges: strings.Fields(privileges)})
		}
	}
	dryRun, _ := cmd.Flags().GetBool("dry-run") // an error means that the command has no such flag
	switch strings.TrimPrefix(cmd.CommandPath(), "invoicer ") {
	case "status":
		on("SELECT", "database_identity", "invoices", "invoice_lines", "invoice_taxes", "imported_invoices", "duplicate_attempts", "invoice_jobs", "invoice_job_actions", "job_attempts", "issuers", "series", "handovers")
	case "queues":
		on("SELECT", "database_identity", "invoice_jobs", "series")
	case "top":
		on("SELECT", "database_identity", "invoices", "duplicate_attempts", "invoice_jobs", "producer_counts", "series")
	case "doctor": // beside those of a worker, which it looks for by itself
		on("SELECT", "database_identity", "goose_db_version", "invoices", "invoice_series", "series", "invoice_jobs")
	case "workers":
		on("SELECT", "database_identity")
	case "queue drain":
		on("SELECT", "database_identity", "invoice_jobs")
	case "lock free":
		on("SELECT", "database_identity", "issuers")
		on("INSERT", "actions")
	case "queue pause", "queue resume", "worker quiet":
		on("SELECT", "database_identity")
		on("INSERT", "actions")
	case "lock show":
		on("SELECT", "database_identity", "issuers")
	case "list jobs":
		on("SELECT", "invoice_jobs")
	case "list invoices":
		on("SELECT", "invoices", "invoice_lines")
	case "list duplicates":
		on("SELECT", "duplicate_attempts", "invoices", "imported_invoices")
	case "history":
		on("SELECT", "actions", "invoice_job_actions", "series", "settings", "issuers", "erasures", "erasure_holds")
	case "events list":
		on("SELECT", "events", "event_deliveries", "event_endpoints")
	case "events endpoint list":
		on("SELECT", "event_deliveries", "event_endpoints")
	case "events tail":
		on("SELECT", "events")
	case "events replay":
		on("SELECT", "events", "event_endpoints")
		if dryRun {
			on("SELECT", "event_deliveries")
		} else {
			on("SELECT UPDATE", "event_deliveries")
			on("INSERT", "actions")
		}
	case "events endpoint add":
		on("SELECT INSERT", "event_endpoints")
		on("INSERT", "actions")
		rights = append(rights, setsSecret)
	case "events endpoint enable", "events endpoint disable":
		on("SELECT UPDATE", "event_endpoints")
		on("INSERT", "actions")
	case "events endpoint rotate", "events endpoint remove":
		on("SELECT UPDATE", "event_endpoints", "event_deliveries")
		on("INSERT", "actions")
		rights = append(rights, setsSecret)
	case "events endpoint test":
		on("SELECT", "events", "event_deliveries", "event_endpoints")
		on("INSERT", "actions")
		rights = append(rights, postgres.Right{Kind: "function", Name: "test_endpoint(bigint)", Privileges: []string{"EXECUTE"}})
	case "series list":
		on("SELECT", "series", "invoice_series", "invoices")
	case "series show":
		on("SELECT", "series", "invoice_series", "invoices")
	case "series open", "series set", "series pause", "series resume", "series close":
		if cmd.Flag("issuer").Value.String() != "" {
			on("SELECT", "issuers")
		}
		on("SELECT", "issuers")
		on("SELECT INSERT", "series")
		on("SELECT UPDATE", "invoice_series")
		on("SELECT", "invoices")
	case "series recover":
		on("SELECT", "database_identity", "issuers", "invoices", "seen_server")
		on("SELECT INSERT", "series", "reserved_numbers")
		on("SELECT UPDATE", "invoice_series")
	case "issuer list":
		on("SELECT", "issuers")
	case "issuer show":
		on("SELECT", "issuers", "series", "invoice_series", "invoices")
	case "issuer open", "issuer set":
		on("SELECT INSERT", "issuers", "settings")
		on("SELECT", "database_identity")
	case "settings list":
		on("SELECT", "settings")
	case "settings set":
		if cmd.Flag("issuer").Value.String() != "" {
			on("SELECT", "issuers")
		}
		on("SELECT INSERT", "settings")
	case "document get", "document export":
		on("SELECT INSERT", "documents")
		rights = append(rights, postgres.Right{Kind: "function", Name: "announce_object", Privileges: []string{"EXECUTE"}})
		on("SELECT", "invoices", "invoice_lines", "invoice_taxes", "imported_invoices", "issuers", "series", "settings")
	case "handover list", "handover show":
		on("SELECT", "handovers", "handover_log", "invoices")
	case "handover resend", "handover answer", "handover bounce", "handover cancel":
		on("SELECT UPDATE", "handovers")
		on("SELECT", "handover_channels", "invoices")
	case "audit":
		if against, _ := cmd.Flags().GetString("against"); against != "" {
			on("SELECT", "goose_db_version", "database_identity", "invoices", "invoice_links")
			break
		}
		on("SELECT", "goose_db_version", "issuers", "invoices", "invoice_lines", "invoice_taxes", "invoice_links", "invoice_series", "reserved_numbers", "series", "imported_invoices", "duplicate_attempts", "invoice_jobs", "ledger_queues", "erasures", "documents", "document_leftovers", "handovers", "handover_channels", "handover_log")
		for _, flag := range []string{"seals", "since", "resume"} {
			if given, _ := cmd.Flags().GetString(flag); given != "" {
				on("SELECT", "database_identity")
			}
		}
	case "seal":
		on("SELECT", "goose_db_version", "database_identity", "invoices", "invoice_lines", "invoice_taxes", "invoice_links", "invoice_series")
	case "replay":
		on("SELECT", "settings", "issuers", "invoices", "invoice_lines", "invoice_taxes", "invoice_series", "series", "imported_invoices")
		for _, function := range []string{"credit_problem", "replace_problem", "job_field"} {
			rights = append(rights, postgres.Right{Kind: "function", Name: function, Privileges: []string{"EXECUTE"}})
		}
		if dryRun {
			on("SELECT", "invoice_jobs")
		} else {
			on("SELECT UPDATE", "invoice_jobs")
			on("SELECT INSERT", "invoice_job_actions")
		}
		if order, _ := cmd.Flags().GetString("order"); order != "" && !dryRun {
			on("SELECT", "duplicate_attempts")
		}
	case "cache":
		on("SELECT", "database_identity", "duplicate_attempts", "invoices")
	case "races":
		on("SELECT", "producer_counts", "duplicate_attempts", "invoice_jobs", "invoices")
	case "replay history":
		on("SELECT", "invoice_job_actions", "invoice_jobs", "invoices", "imported_invoices")
	case "dismiss", "restore":
		on("SELECT UPDATE", "invoice_jobs")
		on("SELECT INSERT", "invoice_job_actions")
	case "prune":
		if dryRun {
			on("SELECT", "invoice_jobs", "duplicate_attempts", "job_attempts", "producer_counts", "api_requests", "replays", "events", "event_deliveries", "event_endpoints")
		} else {
			on("SELECT UPDATE DELETE", "invoice_jobs")
			on("SELECT DELETE", "duplicate_attempts", "job_attempts", "producer_counts", "api_requests", "replays", "events", "event_deliveries")
			on("SELECT", "event_endpoints")
		}
	case "erase":
		on("SELECT", "issuers", "invoices", "invoice_jobs", "duplicate_attempts", "erasures", "database_identity")
		on("SELECT INSERT UPDATE", "erasure_holds")
		for _, function := range []string{"begin_erasure", "erase_invoices", "erase_payloads", "end_erasure"} {
			rights = append(rights, postgres.Right{Kind: "function", Name: function, Privileges: []string{"EXECUTE"}})
		}
	case "export":
		on("SELECT", "invoices", "invoice_lines", "invoice_taxes", "invoice_jobs")
		rights = append(rights, postgres.Right{Kind: "function", Name: "job_field", Privileges: []string{"EXECUTE"}})
	case "import":
		on("SELECT", "issuers", "invoices", "series", "invoice_series")
		if withdraw, _ := cmd.Flags().GetBool("withdraw"); withdraw {
			on("SELECT UPDATE", "imported_invoices")
			on("SELECT", "duplicate_attempts")
			on("INSERT", "actions")
		} else if dryRun {
			on("SELECT", "imported_invoices")
		} else {
			on("SELECT INSERT", "imported_invoices")
			on("INSERT", "actions")
		}
	case "enqueue":
		rights = append(rights, postgres.Right{Kind: "function", Name: "accept(text, text, uuid, boolean)", Privileges: []string{"EXECUTE"}},
			postgres.Right{Kind: "function", Name: "refuse_unknown_queue", Privileges: []string{"EXECUTE"}})
		if ordered, _ := cmd.Flags().GetBool("in-order"); ordered {
			on("SELECT", "invoices", "duplicate_attempts", "invoice_jobs", "series")
		}
	case "queue take":
		on("SELECT UPDATE", "queue_nonces")
		on("SELECT", "database_identity", "invoice_jobs", "duplicate_attempts")
	case "token make":
		on("SELECT INSERT", "tokens")
		if cmd.Flags().Changed("issuer") {
			on("SELECT", "issuers")
		}
	case "token list":
		on("SELECT", "tokens")
	case "token revoke":
		on("SELECT UPDATE", "tokens")
	case "migrate up":
		rights[0].Privileges = append(rights[0].Privileges, "CREATE")
	case "migrate status":
		on("SELECT", "goose_db_version")
	case "migrate down":
		on("SELECT", "goose_db_version", "invoices", "invoice_jobs", "duplicate_attempts", "ledger_queues")
	}
	return rights
}

// explainRights replaces an error of Postgres about a missing right, which names only the first one, by an error with the statements
// that grant all rights that the command lacks. It returns the error itself if it can't find them out.
func (a app) explainRights(cmd *cobra.Command, refused error) error {
	cfg, err := a.loadConfig(cmd)
	if err != nil {
		return refused
	}
	store, err := newStore(cfg)
	if err != nil {
		return refused
	}
	defer store.Close()
	var lacking postgres.Lacking
	err = await.Try(context.WithoutCancel(cmd.Context()), func(ctx context.Context) (err error) {
		lacking, err = store.Lacking(ctx, needs(cmd))
		return err
	})
	if connect := new(pgconn.ConnectError); errors.As(err, &connect) && forbidden(err) {
		return fmt.Errorf("role %s may not connect: as the owner of the database, run\nGRANT CONNECT ON DATABASE %s TO %s;",
			connect.Config.User, pgx.Identifier{connect.Config.Database}.Sanitize(), pgx.Identifier{connect.Config.User}.Sanitize())
	}
	if err != nil {
		return refused
	}
	schema := cfg.Database.Schema
	if len(lacking.Grants) == 0 {
		var pg *pgconn.PgError
		errors.As(refused, &pg)
		return fmt.Errorf("role %s is refused: %s: run the command as %s, who owns schema %s", lacking.Role, pg.Message, lacking.Owner, schema)
	}
	who := "a superuser"
	if lacking.Owner != "" {
		who = lacking.Owner
	}
	return fmt.Errorf("role %s lacks rights in schema %s that `%s` needs: as %s, run\n%s",
		lacking.Role, schema, cmd.CommandPath(), who, strings.Join(lacking.Grants, " "))
}
