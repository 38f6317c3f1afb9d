package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/report"
	"invoicer/internal/term"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
	"invoicer/migrations"
)

func (a app) issuerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:         "issuer",
		Short:       "Say which legal entities issue invoices",
		GroupID:     groupSetup,
		Annotations: map[string]string{showsList: ""},
		Long: `An issuer is a legal entity that issues invoices. Jobs name it in the field issuer. Each issuer has transactions, idempotency keys,
invoice numbers, series and settings of its own: two issuers may use the same ids. What is known of an issuer is kept in the
database, with everything that was changed, by whom and why.

Without any issuer there is one that has no name. It stays beside those that are opened, with its series and its invoices: jobs that
name no issuer are its jobs. Without a subcommand it lists the issuers.`,
	}
	cmd.AddCommand(a.issuerListCommand(), a.issuerShowCommand(), a.issuerOpenCommand(), a.issuerSetCommand())
	return cmd
}

func noIssuer(code string) error {
	return usageErrorf("there is no issuer %s: `invoicer issuer list` shows them, `invoicer issuer open %[1]s` opens it", code)
}

func (a app) issuerListCommand() *cobra.Command {
	var limit int
	var wait time.Duration
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "Show the issuers",
		Args:    noArgs,
		Example: "  invoicer issuer list",
	}
	cmd.Flags().IntVar(&limit, "limit", 1000, "show at most this many")
	addWaitFlag(cmd, &wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if limit < 1 || limit > 1_000_000 {
			return usageErrorf("--limit %d: must be 1 to 1000000", limit)
		}
		cfg, store, err := a.configuredStore(cmd, wait)
		if err != nil {
			return err
		}
		defer store.Close()
		issuers, err := store.Issuers.List(cmd.Context(), nil, limit)
		if err != nil {
			return withoutTables(cfg.Database.Schema, err)
		}
		rows := make([][]string, len(issuers))
		for i, is := range issuers {
			rows[i] = []string{is.Issuer, orDash(is.Name), orDash(is.Country), orDash(is.VATID), orDash(is.Currency), orDash(is.Timezone), instant(is.ChangedAt)}
		}
		return printSheet(cmd, issuers, sheet{[]string{"issuer", "name", "country", "vat_id", "currency", "timezone", "changed_at"}, rows})
	}
	return cmd
}

// An issuerStory is what is known of one issuer.
type issuerStory struct {
	Issuer   report.Issuer   `json:"issuer"`
	Series   []report.Series `json:"series"`
	Versions []report.Issuer `json:"versions"`
}

func (a app) issuerShowCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:     "show CODE",
		Short:   "Show what is known of an issuer, who has changed it, and its series",
		Args:    oneArg("the issuer's code"),
		Example: "  invoicer issuer show ACME-DE",
	}
	addWaitFlag(cmd, &wait)
	addOutputFlags(cmd, asTable, asWide, asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, store, err := a.configuredStore(cmd, wait)
		if err != nil {
			return err
		}
		defer store.Close()
		var story issuerStory
		if story.Versions, err = store.Issuers.History(cmd.Context(), args[0]); err != nil {
			return withoutTables(cfg.Database.Schema, err)
		}
		if len(story.Versions) == 0 {
			return noIssuer(args[0])
		}
		story.Issuer = story.Versions[len(story.Versions)-1]
		if story.Series, err = store.Reports.SeriesStates(cmd.Context(), args[:1], "", seriesShown); err != nil {
			return err
		}
		if wantsJSON(cmd) {
			return printJSON(cmd, story)
		}
		writeIssuerStory(outputOf(cmd), &story)
		return nil
	}
	return cmd
}

func writeIssuerStory(out io.Writer, story *issuerStory) {
	_, _ = fmt.Fprintf(out, "%-12s %s\n", "issuer", story.Issuer.Issuer)
	for _, f := range issuerFacts() {
		if value := *f.at(&story.Issuer); value != nil {
			_, _ = fmt.Fprintf(out, "%-12s %s\n", strings.ReplaceAll(f.flag, "-", "_"), strings.ReplaceAll(*value, "\n", "\n             "))
		}
	}
	_, _ = fmt.Fprintln(out)
	if len(story.Series) > 0 {
		series := seriesSheet(story.Series)
		term.WriteTable(out, series.columns, series.rows)
		_, _ = fmt.Fprintln(out)
	}
	rows := make([][]string, len(story.Versions))
	for i, v := range story.Versions {
		rows[i] = []string{fmt.Sprint(v.Version), instant(v.ChangedAt), v.Change, v.Actor, v.Role, orDash(v.Note)}
	}
	term.WriteTable(out, []string{"version", "changed_at", "change", "actor", "role", "note"}, rows)
}

// An issuerFact is something that is known of an issuer, with its flag.
type issuerFact struct {
	flag, usage string
	at          func(*report.Issuer) **string
	check       func(string) error
}

func issuerFacts() []issuerFact {
	return []issuerFact{
		{"name", "its legal `name`", func(i *report.Issuer) **string { return &i.Name }, nil},
		{"address", "the `lines` of its address above the postcode", func(i *report.Issuer) **string { return &i.Address }, nil},
		{"postcode", "its `postcode`", func(i *report.Issuer) **string { return &i.Postcode }, nil},
		{"city", "its `city`", func(i *report.Issuer) **string { return &i.City }, nil},
		{"region", "its `region` or state", func(i *report.Issuer) **string { return &i.Region }, nil},
		{"country", "its country's `code`, such as DE", func(i *report.Issuer) **string { return &i.Country }, checkCountry},
		{"vat-id", "its VAT `id`, such as DE123456789", func(i *report.Issuer) **string { return &i.VATID }, nil},
		{"tax-id", "its tax `number`", func(i *report.Issuer) **string { return &i.TaxID }, nil},
		{"register", "where it is registered, and as `what`", func(i *report.Issuer) **string { return &i.Register }, nil},
		{"currency", "the `currency` of its books, such as EUR", func(i *report.Issuer) **string { return &i.Currency }, checkCurrency},
		{"timezone", "its time `zone`, which series open has by default", func(i *report.Issuer) **string { return &i.Timezone }, checkTimezone},
	}
}

func checkCountry(text string) error {
	if len(text) != 2 || strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return errors.New("must be the two letters of ISO 3166, such as DE")
	}
	return nil
}

func checkCurrency(text string) error {
	if _, ok := invoice.MinorUnits(text); !ok {
		return errors.New("must be an ISO 4217 code with a minor unit, such as EUR")
	}
	return nil
}

func checkTimezone(text string) error {
	_, err := invoice.LoadTimezone(text)
	return err
}

// An issuerEdit is one run of `invoicer issuer open` or `set`.
type issuerEdit struct {
	values map[string]*string
	by     ledger.Actor
	wait   time.Duration
}

func (e *issuerEdit) addFlags(cmd *cobra.Command) {
	e.values = make(map[string]*string)
	for _, f := range issuerFacts() {
		e.values[f.flag] = cmd.Flags().String(f.flag, "", f.usage)
	}
	addActorFlags(cmd, &e.by)
	addWaitFlag(cmd, &e.wait)
}

// apply returns the issuer with what flags state, and says what that changes. An empty value removes what was known.
func (e *issuerEdit) apply(cmd *cobra.Command, was report.Issuer) (is report.Issuer, what string, err error) {
	is = was
	var problems []error
	var changes []string
	for _, f := range issuerFacts() {
		if !cmd.Flags().Changed(f.flag) {
			continue
		}
		value := strings.TrimSpace(*e.values[f.flag])
		if value != "" && f.check != nil {
			if err := f.check(value); err != nil {
				problems = append(problems, fmt.Errorf("--%s %q: %w", f.flag, value, err))
			}
		}
		at := f.at(&is)
		before := orDash(*at)
		*at = nil
		if value != "" {
			*at = &value
		}
		if after := orDash(*at); after != before {
			changes = append(changes, fmt.Sprintf("%s %s (was %s)", strings.ReplaceAll(f.flag, "-", "_"), after, before))
		}
	}
	if len(problems) > 0 {
		return is, "", exitError{exitUsage, errors.Join(problems...)}
	}
	return is, strings.Join(changes, ", "), nil
}

func (a app) issuerOpenCommand() *cobra.Command {
	var e issuerEdit
	cmd := &cobra.Command{
		Use:   "open CODE",
		Short: "Open an issuer, so that jobs may name it",
		Args:  oneArg("the issuer's code"),
		Long: `Opens an issuer, from which on jobs may name it. Only the code is required.

The first issuer that is opened changes what is unique: from then on, ids and numbers are unique within an issuer. That is a step
of migration. It needs the role that migrates, and no worker of an earlier release may run. It builds the new indexes while workers
write, and can be repeated if it was broken off. Every other issuer is opened at once, by whoever may change settings.`,
		Example: `  invoicer issuer open ACME-DE
  invoicer issuer open ACME-DE --name 'Acme GmbH' --vat-id DE123456789 \
    --country DE --currency EUR --timezone Europe/Berlin --note 'moved in'`,
	}
	e.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.changeIssuer(cmd, args[0], &e, true, func(current *report.Issuer) (report.Issuer, string, error) {
			if current != nil {
				return *current, "", fmt.Errorf("there is an issuer %s already: `invoicer issuer set %[1]s` changes it, `invoicer issuer show %[1]s` shows it", args[0])
			}
			next, what, err := e.apply(cmd, report.Issuer{})
			return next, strings.TrimSuffix("opened: "+strings.ReplaceAll(what, " (was -)", ""), ": "), err
		})
	}
	return cmd
}

func (a app) issuerSetCommand() *cobra.Command {
	var e issuerEdit
	cmd := &cobra.Command{
		Use:   "set CODE",
		Short: "Change what is known of an issuer",
		Args:  oneArg("the issuer's code"),
		Long:  "Changes what flags state. An empty value removes what was known. Invoices of before stay as they are.",
		Example: `  invoicer issuer set ACME-DE --name 'Acme SE' --note 'renamed'
  invoicer issuer set ACME-DE --tax-id ''`,
	}
	e.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.changeIssuer(cmd, args[0], &e, false, func(current *report.Issuer) (report.Issuer, string, error) {
			if current == nil {
				return report.Issuer{}, "", noIssuer(args[0])
			}
			next, what, err := e.apply(cmd, *current)
			if err == nil && what == "" {
				err = usageErrorf("nothing to change: state what is to be different, such as --name")
			}
			return next, what, err
		})
	}
	return cmd
}

// changeIssuer makes a change of an issuer. If it may be the first one, what is unique is changed before.
func (a app) changeIssuer(cmd *cobra.Command, code string, e *issuerEdit, first bool, to func(*report.Issuer) (report.Issuer, string, error)) error {
	if !invoice.IsIssuer(code) {
		return usageErrorf("%q is not an issuer's code: it %s", code, issuerForm)
	}
	if err := checkActor(cmd, &e.by.Name); err != nil {
		return exitError{exitUsage, err}
	}
	cfg, store, err := a.configuredStore(cmd, e.wait)
	if err != nil {
		return err
	}
	defer store.Close()
	change := postgres.IssuerChange{Code: code, By: e.by.Name, Note: e.by.Note}
	change.To = func(current *report.Issuer) (next report.Issuer, err error) {
		next, change.What, err = to(current)
		return next, err
	}
	changed, err := store.Issuers.Change(cmd.Context(), &change)
	if errors.Is(err, postgres.ErrNotApart) && first {
		if err := separateIssuers(cmd, cfg, store, e.wait); err != nil {
			return err
		}
		changed, err = store.Issuers.Change(cmd.Context(), &change)
	}
	if err != nil {
		return withoutTables(cfg.Database.Schema, err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "issuer %s, version %d: %s\n", code, changed.Version, change.What)
	return err
}

// separateIssuers changes what is unique, unless a worker of an earlier release runs, which knows no issuer.
func separateIssuers(cmd *cobra.Command, cfg *config.Config, store *postgres.DB, wait time.Duration) error {
	rdb, err := newRedis(cfg, 0)
	if err != nil {
		return err
	}
	defer rdb.Close()
	if err := waiter(cmd, wait).Answer(cmd.Context(), "redis at "+cfg.Redis.Addr(), func(ctx context.Context) error { return rdb.Ping(ctx).Err() }); err != nil {
		return fmt.Errorf("whether workers of an earlier release run isn't known: %w", err)
	}
	if err := refuseOlderWorkers(cmd.Context(), cfg, store, rdb, firstWithIssuers, "know no issuers", "open the issuer"); err != nil {
		return err
	}
	m, err := migrations.New(string(cfg.Database.URL), cfg.Database.Schema)
	if err != nil {
		return err
	}
	return m.SeparateIssuers(cmd.Context(), func(what string) { cmd.PrintErrln("invoicer:", what) })
}

// firstWithIssuers is the migration that a worker knows which knows issuers.
const firstWithIssuers = 25
