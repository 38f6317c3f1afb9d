package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
)

// An eraseRequest is what the flags of `invoicer erase` ask for.
type eraseRequest struct {
	customer, transaction, olderThan string
	due, hold, release, dryRun, yes  bool
	issuer                           issuerFlag
	by                               ledger.Actor
	wait                             time.Duration

	age time.Duration // of olderThan
}

func (a app) eraseCommand() *cobra.Command {
	var r eraseRequest
	cmd := &cobra.Command{
		Use:     "erase --customer ID | --older-than AGE | --due",
		Short:   "Erase the personal data of invoices: of a customer, or of old ones",
		GroupID: groupMend,
		Args:    noArgs,
		Long: `Takes away, for ever, what invoices say of persons: customer, buyer, seller and
other parties, descriptions and other texts, metadata; with them their salts and
fingerprints, the payloads of their jobs, and what Redis knows of them. Numbers,
amounts, dates, ids, the chain and who has erased, when and why stay. The audit
counts erased invoices, and still proves all the rest.

A later job for an erased transaction is a duplicate, whatever its content. One
that is under way loses its payload when it ends.

--customer erases all that one customer was invoiced, and clears the payloads of
the customer's failed jobs. --older-than erases what is older than an age, by the
invoice's date and by when it was stored, whichever is later. --due does so for
each issuer by the key retention.invoices.

--hold exempts a customer, a transaction, or all of an issuer, until --release. As
to erase, it means the customer or transaction of every issuer, those too that are
opened later, unless --issuer names one.

It erases in small steps, beside running workers, which have to be of a release
that knows of it. It may be stopped at any point, and run again for the rest. At
a terminal it asks first.`,
		Example: `  invoicer erase --customer 17850 --reason 'TICKET-21: asked' --dry-run
  invoicer erase --older-than 3650d --issuer ACME-DE --reason 'ten years'
  invoicer erase --due --reason 'retention'
  invoicer erase --hold --transaction 536365 --reason 'TICKET-22: in court'
  invoicer erase --release --transaction 536365 --reason 'TICKET-22: closed'`,
	}
	flags := cmd.Flags()
	flags.StringVar(&r.customer, "customer", "", "what was invoiced to the customer of this `id`")
	flags.StringVar(&r.olderThan, "older-than", "", "what is older than this `age`, such as 3650d")
	flags.BoolVar(&r.due, "due", false, "what is older than retention.invoices says")
	flags.StringVar(&r.transaction, "transaction", "", "with --hold and --release: the transaction of this `id`")
	flags.BoolVar(&r.hold, "hold", false, "exempt it from being erased")
	flags.BoolVar(&r.release, "release", false, "end what --hold began")
	flags.BoolVar(&r.dryRun, "dry-run", false, "count what would be erased, and erase nothing")
	flags.BoolVar(&r.yes, "yes", false, "don't ask")
	flags.StringVar(&r.by.Note, "reason", "", "why, as a `text` that is kept on record; required")
	r.issuer.add(cmd, "only what is of this issuer, '' for the one without a name")
	addConfigFlags(cmd, "retention")
	addByFlag(cmd, &r.by.Name)
	addWaitFlag(cmd, &r.wait)
	addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := r.check(cmd); err != nil {
			return exitError{exitUsage, err}
		}
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		if r.hold || r.release {
			return r.exempt(cmd, cfg)
		}
		if r.due && len(cfg.Retention.Invoices) == 0 {
			return usageErrorf("--due: no retention.invoices is set, so nothing is ever due")
		}
		return r.erase(cmd, cfg)
	}
	return cmd
}

// check returns what is wrong with the flags.
func (r *eraseRequest) check(cmd *cobra.Command) error {
	var problems []error
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	given := cmd.Flags().Changed
	for _, name := range []string{"customer", "transaction"} {
		text := cmd.Flag(name).Value.String()
		add(given(name) && (text == "" || !utf8.ValidString(text)), "--%s: must not be empty, and must be valid UTF-8", name)
	}
	selected := 0
	for _, name := range []string{"customer", "older-than", "due"} {
		if given(name) {
			selected++
		}
	}
	switch {
	case r.hold && r.release:
		add(true, "--hold and --release don't go together: leave out either")
	case r.hold || r.release:
		add(given("older-than") || r.due || r.dryRun, "--older-than, --due and --dry-run don't go with --hold and --release")
		add(given("customer") && given("transaction"), "--customer and --transaction don't go together: leave out either")
		add(!given("customer") && !given("transaction") && !given("issuer"), "say what to hold: --customer, --transaction, or --issuer for all that is an issuer's")
	default:
		add(selected != 1, "say what to erase: one of --customer, --older-than and --due")
		add(given("transaction"), "--transaction is for --hold and --release: a customer is erased with all that the customer was invoiced")
	}
	if given("older-than") {
		var err error
		if r.age, err = config.ParseDuration(r.olderThan); err != nil {
			add(true, "--older-than %q: %w", r.olderThan, err)
		}
		add(err == nil && r.age < time.Second, "--older-than %q: must be a second at least", r.olderThan)
	}
	add(!r.dryRun && strings.TrimSpace(r.by.Note) == "", "--reason is missing: say why, for the record")
	if err := checkActor(cmd, &r.by.Name); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// exempt holds something, or releases it.
func (r *eraseRequest) exempt(cmd *cobra.Command, cfg *config.Config) error {
	store, err := openStore(cmd.Context(), cfg, waiter(cmd, r.wait))
	if err != nil {
		return err
	}
	defer store.Close()
	what := postgres.Held{Issuer: r.issuer.orAll(cmd), TransactionID: r.transaction, Customer: r.customer}
	of := "all"
	switch {
	case r.transaction != "":
		of = "transaction " + r.transaction
	case r.customer != "":
		of = "the customer"
	}
	switch {
	case what.Issuer == nil:
		of += " of all issuers"
	case *what.Issuer == "":
		of += " of the issuer without a name"
	default:
		of += r.issuer.of()
	}
	done := holdChange{Held: r.hold, Changed: true, Issuer: what.Issuer, TransactionID: r.transaction}
	if r.hold {
		err = store.Erasures.Hold(cmd.Context(), what, r.by)
	} else if err = store.Erasures.Release(cmd.Context(), what, r.by); errors.Is(err, postgres.ErrNotHeldBack) {
		return fmt.Errorf("nothing holds %s", of)
	}
	if err != nil {
		return withoutTables(cfg.Database.Schema, err)
	}
	if r.hold {
		if found, err := store.Erasures.Found(cmd.Context(), what); err != nil {
			cmd.PrintErrf("invoicer: %s is held, and it can't be said whether anything of it is there: %s\n", of, err)
		} else if !found {
			cmd.PrintErrf("invoicer: %s is held, but nothing of it is there yet: is the id right, and the issuer?\n", of)
		}
	}
	if wantsJSON(cmd) {
		return printJSON(cmd, done)
	}
	message := "%s is held: nothing of it is erased until `invoicer erase --release`\n"
	if r.release {
		message = "%s is released\n"
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), message, of)
	return err
}

// A holdChange is what --json prints of a hold. Of a customer it says nothing.
type holdChange struct {
	Held          bool    `json:"held"`
	Changed       bool    `json:"changed"`
	Issuer        *string `json:"issuer"` // null: of all
	TransactionID string  `json:"transaction_id,omitempty"`
}
