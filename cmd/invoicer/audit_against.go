package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/await"
	"invoicer/invoice/postgres/audit"
)

// undefinedTable is the SQLSTATE of a table that isn't there.
const undefinedTable = "42P01"

// compare compares the documents of two databases.
func (r *auditRun) compare(cmd *cobra.Command, a app) error {
	if r.against == "" {
		return usageErrorf("--against-schema goes with --against")
	}
	for _, flag := range []string{"seals", "public-key", "since", "resume"} {
		if cmd.Flags().Changed(flag) {
			return usageErrorf("--%s and --against don't go together: audit each database by itself", flag)
		}
	}
	cfg, err := a.loadConfig(cmd)
	if err != nil {
		return err
	}
	other := *cfg
	other.Database = config.Database{URL: config.URL(r.against), Schema: cmp.Or(r.againstSchema, cfg.Database.Schema)}
	if err := other.Database.Check(); err != nil {
		return usageErrorf("--against: %s", err)
	}
	server, err := awaitMigrated(cmd, cfg, r.wait)
	if err != nil {
		return err
	}
	store, err := newStore(&other)
	if err != nil {
		return err
	}
	there := "--against: postgres at " + other.Database.Addr()
	if err := errors.Join(waiter(cmd, r.wait).Answer(cmd.Context(), there, store.Ping), store.Close()); err != nil {
		return exitError{exitFailed, err}
	}
	writer := r.differences(cmd)
	progress := newAuditProgress(cmd)
	report, err := audit.Diff(cmd.Context(), audit.DiffOptions{
		Here:     audit.Place{URL: string(cfg.Database.URL), Schema: cfg.Database.Schema},
		There:    audit.Place{URL: string(other.Database.URL), Schema: other.Database.Schema},
		Found:    writer.found,
		Progress: func(done, total int64) { progress.show("documents", done, total) },
	})
	progress.clear()
	if there := (*audit.PlaceError)(nil); errors.As(err, &there) {
		prefix := "--against: postgres at " + other.Database.Addr() + ": "
		if pg := (*pgconn.PgError)(nil); errors.As(there, &pg) && pg.Code == undefinedTable {
			return exitError{exitFailed, fmt.Errorf("%sschema %s has no invoices that this role may see: name the right one with --against-schema, or log in as a member of invoicer_reader", prefix, other.Database.Schema)}
		}
		return exitError{exitFailed, await.Briefly(prefix, there)} // its rights aren't this database's
	}
	if err != nil {
		return readable("audit of "+server+": ", err)
	}
	if report.SameDatabase {
		cmd.PrintErrln("invoicer: --against names the very same database: it was compared with itself")
	}
	if !report.SameInstallation {
		cmd.PrintErrln("invoicer: these are two installations, of which neither is a copy of the other: each has documents of its own")
	}
	if err := writer.end(report); err != nil {
		return err
	}
	if !report.OK() {
		return exitError{exitFailed, nil} // the report has named the differences
	}
	return nil
}

// A differenceWriter prints differences while they are found: there may be many.
type differenceWriter interface {
	found(d *audit.Difference) error
	end(report *audit.DiffReport) error
}

func (r *auditRun) differences(cmd *cobra.Command) differenceWriter {
	switch formOf(cmd) {
	case asJSON:
		return &jsonDifferences{out: bufio.NewWriter(cmd.OutOrStdout())}
	case asCSV:
		return csvDifferences{newCSV(cmd.OutOrStdout(), []string{
			"check", "problem", "differs", "issuer",
			"here_series", "here_period", "here_number", "here_invoice_number", "here_transaction_id", "here_currency", "here_total_minor", "here_created_at",
			"there_series", "there_period", "there_number", "there_invoice_number", "there_transaction_id", "there_currency", "there_total_minor", "there_created_at",
		})}
	}
	return &tableDifferences{out: outputOf(cmd), limit: r.limit, first: make(map[string][]audit.Difference)}
}

// jsonDifferences writes one object: the differences, and after them what is known at the end.
type jsonDifferences struct {
	out   *bufio.Writer
	begun bool
}

func (w *jsonDifferences) found(d *audit.Difference) error {
	before := ",\n    "
	if !w.begun {
		w.begun, before = true, "{\n  \"differences\": [\n    "
	}
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	_, err = w.out.WriteString(before + string(printable(text)))
	return err
}

func (w *jsonDifferences) end(report *audit.DiffReport) error {
	before := "\n  ],\n"
	if !w.begun {
		before = "{\n  \"differences\": [],\n"
	}
	text, err := json.MarshalIndent(struct {
		OK bool `json:"ok"`
		*audit.DiffReport
	}{report.OK(), report}, "", "  ")
	if err != nil {
		return err
	}
	_, _ = w.out.WriteString(before) // here and below: Flush's error is the first
	_, _ = w.out.Write(printable(text[len("{\n"):]))
	_, _ = io.WriteString(w.out, "\n")
	return w.out.Flush()
}

type csvDifferences struct{ w csvWriter }

func (w csvDifferences) found(d *audit.Difference) error {
	issuer := ""
	var cells []string
	for _, one := range []*audit.Document{d.Here, d.There} {
		if one == nil {
			cells = append(cells, make([]string, 8)...)
			continue
		}
		issuer = one.Issuer
		cells = append(cells, one.Series, one.Period, whole(one.Number), one.InvoiceNumber, one.TransactionID, one.Currency, whole(one.TotalMinor), instant(one.CreatedAt))
	}
	w.w.row(append([]string{d.Check, d.Problem, strings.Join(d.Differs, " "), issuer}, cells...))
	return nil
}

func (w csvDifferences) end(*audit.DiffReport) error { return w.w.end() }

// at names one of two databases and when it was read.
func at(p *audit.PlaceReport) string {
	kind := ""
	if p.Standby {
		kind = ", a standby"
	}
	return fmt.Sprintf("schema %s at %s%s", p.Schema, instant(p.TakenAt), kind)
}
