package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
)

// A seriesEdit is one run of `invoicer series open` or `set`.
type seriesEdit struct {
	to     invoice.Series
	issuer issuerFlag
	zone   string // the issuer's, "" if it isn't known
	kind   string
	by     ledger.Actor
	wait   time.Duration
}

func (e *seriesEdit) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&e.to.Format, "format", "", "how numbers are printed, such as 'R-{number}'")
	flags.StringVar(&e.to.FromPeriod, "from-period", "", "the `period` from which on the format holds, such as 2027")
	flags.StringVar(&e.to.Period, "period", "", "when numbers start again: "+strings.Join(invoice.SeriesPeriods(), ", "))
	flags.IntVar(&e.to.FirstMonth, "first-month", 1, "with which `month` a year begins, 1 to 12")
	flags.StringVar(&e.to.Timezone, "timezone", "", "in which `zone` periods begin, such as Europe/Berlin")
	flags.StringVar((*string)(&e.to.Date), "date", string(invoice.DateIssue), "the documents' date: issue, the day on which they are made, or issued_at, as jobs state it")
	flags.StringVar(&e.to.Profile, "profile", "", "rules of its documents, or "+issuersProfile+" for the settings': "+strings.Join(config.Profiles(), ", "))
	flags.Int64Var(&e.to.FirstNumber, "first", 1, "the first `number`")
	flags.StringVar(&e.to.FirstPeriod, "first-period", "", "the `period` that begins with the first number; others begin with 1")
	e.issuer.add(cmd, "the series of this issuer")
	addActorFlags(cmd, &e.by)
	addWaitFlag(cmd, &e.wait)
}

// id returns the series of that name of the issuer that the flags name.
func (e *seriesEdit) id(name string) invoice.SeriesID {
	return invoice.SeriesID{Issuer: e.issuer.code, Name: name}
}

// apply returns the settings with those that flags state.
func (e *seriesEdit) apply(cmd *cobra.Command, s invoice.Series) invoice.Series {
	for flag, set := range map[string]func(){
		"format":      func() { s.Format, s.FromPeriod, s.FromNumber = e.to.Format, "", 0 },
		"period":      func() { s.Period = e.to.Period },
		"first-month": func() { s.FirstMonth = e.to.FirstMonth },
		"timezone":    func() { s.Timezone = e.to.Timezone },
		"date":        func() { s.Date = e.to.Date },
		"profile": func() {
			if s.Profile = e.to.Profile; s.Profile == issuersProfile {
				s.Profile = ""
			}
		},
		"first":        func() { s.FirstNumber = e.to.FirstNumber },
		"first-period": func() { s.FirstPeriod = e.to.FirstPeriod },
	} {
		if cmd.Flags().Changed(flag) {
			set()
		}
	}
	if cmd.Flags().Changed("from-period") {
		s.FromPeriod = e.to.FromPeriod
	}
	if cmd.Flags().Changed("from-number") {
		s.FromNumber = e.to.FromNumber
	}
	return s
}

// seriesFlags are the flags that change settings.
func seriesFlags() []string {
	return []string{"format", "from-period", "from-number", "period", "first-month", "timezone", "date", "profile", "first", "first-period"}
}

// issuersProfile stands for the profile that the settings of the issuer have.
const issuersProfile = "issuer"

// checkProfile returns an error if --profile states none.
func (e *seriesEdit) checkProfile(cmd *cobra.Command) error {
	if all := append(config.Profiles(), issuersProfile); cmd.Flags().Changed("profile") && !slices.Contains(all, e.to.Profile) {
		return usageErrorf("--profile %q: must be one of %s", e.to.Profile, strings.Join(all, ", "))
	}
	return nil
}

func (a app) seriesOpenCommand() *cobra.Command {
	var e seriesEdit
	cmd := &cobra.Command{
		Use:   "open NAME",
		Short: "Open a series with a first number, a format and periods of its own",
		Args:  oneArg("the series' name"),
		Long: `Opens a series, before its first job or, for a series of an earlier release, in the form that it has. What no flag states is as the
configuration's numbering.* has it, and the time zone as its issuer states it; but documents are dated on the day on which they are made, unless --date says otherwise. A format
holds {number}, or {number:06} for at least six digits, and any text; {series} may stand in it. With periods it says which: {period},
or {year} or {yy}, and {month} if they are months.

A format is refused that could ever print a number that another series can print too.

Choose the kind and the first number well: the kind can't be changed, and the first number only until the first document. All else
can be changed later by 'invoicer series set', from the next number on, the format from a stated period on, too.`,
		Example: `  invoicer series open INV --first 48214 --format 'R-{number}' --note 'moved in'
  invoicer series open IN --period year --first-month 4 \
    --timezone Asia/Kolkata --format 'INV/{period}/{number:04}'
  invoicer series open SHOP-CN --kind invoice`,
	}
	e.addFlags(cmd)
	cmd.Flags().StringVar(&e.kind, "kind", "", "invoice or credit_note (default credit_note for a name that numbering.credit_note_series makes, else invoice)")
	addConfigFlags(cmd, "numbering")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if e.kind != "" && !slices.Contains([]string{string(invoice.KindInvoice), string(invoice.KindCreditNote)}, e.kind) {
			return usageErrorf("--kind %q: must be invoice or credit_note", e.kind)
		}
		if err := e.checkProfile(cmd); err != nil {
			return err
		}
		return a.changeSeries(cmd, args[0], &e, func(cfg *config.Config, current *invoice.Series) (invoice.Series, string, error) {
			if current != nil {
				return *current, "", fmt.Errorf("there is a series %s already: `invoicer series set %s` changes it, `invoicer series show %[2]s` shows it", e.id(args[0]), e.id(args[0]).Args())
			}
			numbering, err := invoice.NewNumbering(cfg.Numbering)
			if err != nil {
				return invoice.Series{}, "", err
			}
			kind := invoice.Kind(e.kind)
			if _, made := numbering.SeriesOf(args[0], invoice.KindInvoice); kind == "" && made {
				kind = invoice.KindCreditNote
			} else if kind == "" {
				kind = invoice.KindInvoice
			}
			standard := numbering.First(e.id(args[0]), kind)
			standard.Date = invoice.DateIssue
			standard.Timezone = cmp.Or(e.zone, standard.Timezone)
			next := e.apply(cmd, standard)
			return next, "opened: " + describeSeries(next), nil
		})
	}
	return cmd
}

func describeSeries(s invoice.Series) string {
	parts := []string{"kind " + string(s.Kind), "format " + s.Format, "period " + s.Period, "timezone " + s.Timezone, "date " + string(s.Date), fmt.Sprintf("first number %d", s.FirstNumber)}
	if s.FirstPeriod != "" {
		parts = append(parts, "in "+s.FirstPeriod)
	}
	if s.FirstMonth != 1 {
		parts = append(parts, fmt.Sprintf("first month %d", s.FirstMonth))
	}
	if s.Profile != "" {
		parts = append(parts, "profile "+s.Profile)
	}
	return strings.Join(parts, ", ")
}

func (a app) seriesSetCommand() *cobra.Command {
	var e seriesEdit
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Change how a series is numbered, from its next number on",
		Args:  oneArg("the series' name"),
		Long: `Changes what flags state, from the next number of each period on, or from --from-period or --from-number on. What was numbered before stays as it
is. The first number can be changed while the series has no document. A change is refused by which a number could be printed twice.`,
		Example: `  invoicer series set INV --format 'INV{yy}-{number:05}' --period year \
    --note 'from 2027 on with the year'
  invoicer series set INV --format 'R{period}/{number}' --from-period 2027
  invoicer series set INV --format 'INV-{number}' --from-number 50000`,
	}
	e.addFlags(cmd)
	cmd.Flags().Int64Var(&e.to.FromNumber, "from-number", 0, "the `number` from which on the format holds, for a series without periods")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !slices.ContainsFunc(seriesFlags(), cmd.Flags().Changed) {
			return usageErrorf("nothing to change: state one of --%s", strings.Join(seriesFlags(), ", --"))
		}
		if err := e.checkProfile(cmd); err != nil {
			return err
		}
		return a.changeSeries(cmd, args[0], &e, func(_ *config.Config, current *invoice.Series) (invoice.Series, string, error) {
			if current == nil {
				return invoice.Series{}, "", noSettings(e.id(args[0]))
			}
			next := e.apply(cmd, *current)
			what := differences(*current, next)
			if what == "" {
				return next, "", fmt.Errorf("series %s has these settings already", e.id(args[0]))
			}
			return next, what, nil
		})
	}
	return cmd
}

func noSettings(id invoice.SeriesID) error {
	return fmt.Errorf("series %s has no settings: `invoicer series open %s` gives it some", id, id.Args())
}

// differences says what differs between two settings, "" if nothing does.
func differences(was, is invoice.Series) string {
	var parts []string
	for _, f := range []struct{ name, was, is string }{
		{"format", was.Format, is.Format},
		{"from period", was.FromPeriod, is.FromPeriod},
		{"from number", fmt.Sprint(was.FromNumber), fmt.Sprint(is.FromNumber)},
		{"period", was.Period, is.Period},
		{"first month", fmt.Sprint(was.FirstMonth), fmt.Sprint(is.FirstMonth)},
		{"timezone", was.Timezone, is.Timezone},
		{"date", string(was.Date), string(is.Date)},
		{"profile", cmp.Or(was.Profile, issuersProfile), cmp.Or(is.Profile, issuersProfile)},
		{"first number", fmt.Sprint(was.FirstNumber), fmt.Sprint(is.FirstNumber)},
		{"first period", was.FirstPeriod, is.FirstPeriod},
	} {
		if f.was != f.is {
			parts = append(parts, fmt.Sprintf("%s %s (was %s)", f.name, orDash(&f.is), orDash(&f.was)))
		}
	}
	return strings.Join(parts, ", ")
}

// seriesStateCommand returns a command that puts a series into a state.
func (a app) seriesStateCommand(verb string, to invoice.SeriesState, short, long string) *cobra.Command {
	var e seriesEdit
	cmd := &cobra.Command{
		Use: verb + " NAME", Short: short, Long: long, Args: oneArg("the series' name"),
		Example: fmt.Sprintf("  invoicer series %s INV --note 'TICKET-21'", verb),
	}
	e.issuer.add(cmd, "the series of this issuer")
	addActorFlags(cmd, &e.by)
	addWaitFlag(cmd, &e.wait)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.changeSeries(cmd, args[0], &e, func(_ *config.Config, current *invoice.Series) (invoice.Series, string, error) {
			switch {
			case current == nil:
				return invoice.Series{}, "", noSettings(e.id(args[0]))
			case current.State == to:
				return *current, "", fmt.Errorf("series %s is %s already", e.id(args[0]), to)
			}
			next := *current
			next.State = to
			return next, fmt.Sprintf("%s (was %s)", to, current.State), nil
		})
	}
	return cmd
}

// changeSeries makes a change of a series, and says what its next numbers are. to returns the new settings, and what is changed.
func (a app) changeSeries(cmd *cobra.Command, name string, e *seriesEdit, to func(*config.Config, *invoice.Series) (invoice.Series, string, error)) error {
	if !invoice.IsSeriesName(name) {
		return usageErrorf("%q is not a series' name: it must be 1 to 64 characters of A-Z 0-9 -", name)
	}
	if err := checkActor(cmd, &e.by.Name); err != nil {
		return exitError{exitUsage, err}
	}
	cfg, store, err := a.configuredStore(cmd, e.wait)
	if err != nil {
		return err
	}
	defer store.Close()
	if e.zone, err = store.Issuers.Timezone(cmd.Context(), e.issuer.code); errors.Is(err, invoice.ErrNoIssuer) {
		return noIssuer(e.issuer.code)
	} else if err != nil {
		return withoutTables(cfg.Database.Schema, err)
	}
	change := postgres.SeriesChange{Issuer: e.issuer.code, Name: name, By: e.by.Name, Note: e.by.Note}
	change.To = func(current *invoice.Series) (next invoice.Series, err error) {
		next, change.What, err = to(cfg, current)
		return next, err
	}
	changed, err := store.Series.Change(cmd.Context(), &change)
	var wrong *invoice.NumberingError
	switch {
	case errors.As(err, &wrong):
		return exitError{exitUsage, asFlags(wrong)}
	case err != nil:
		return withoutTables(cfg.Database.Schema, err)
	}
	return tellSeries(cmd.Context(), cmd, store, changed)
}

// asFlags names the flags in place of the settings.
func asFlags(wrong *invoice.NumberingError) error {
	var problems []error
	for _, p := range wrong.Problems {
		flag := strings.ReplaceAll(p.Field, "_", "-")
		if flag == "first-number" {
			flag = "first"
		}
		problems = append(problems, fmt.Errorf("--%s: %s", flag, p.Message))
	}
	return errors.Join(problems...)
}

func tellSeries(ctx context.Context, cmd *cobra.Command, store *postgres.DB, s invoice.Series) error {
	out := cmd.OutOrStdout()
	_, _ = fmt.Fprintf(out, "series %s is %s, version %d of its settings; it holds documents of kind %s\n", s.ID(), s.State, s.Version, s.Kind)
	counters, err := store.Reports.SeriesStates(ctx, []string{s.Issuer}, s.Name, seriesShown)
	if err != nil {
		return err
	}
	counted := false
	for _, c := range counters {
		if c.LastInvoice == nil {
			continue // its first number is told below
		}
		counted = true
		where := ""
		if c.Period != "" {
			where = " of " + c.Period
		}
		_, _ = fmt.Fprintf(out, "next number%s: %s\n", where, c.NextInvoice)
	}
	if counted {
		return nil
	}
	period := s.FirstPeriod
	if period == "" && s.Period != "none" {
		if period, err = s.PeriodOf(time.Now()); err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "first number of %s: %s\n", period, s.Print(period, 1))
		return err
	}
	_, err = fmt.Fprintf(out, "first number: %s\n", s.Print(period, s.FirstNumber))
	return err
}
