package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/report"
	"invoicer/internal/term"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/web/access"
)

func (a app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "token",
		Short:   "Make, list or revoke the tokens that open the pages",
		GroupID: groupSetup,
		Long: `Beyond loopback, nothing but health checks is served without a token, or an OpenID provider in http.oidc. People sign
in with one, and programs send it as 'Authorization: Bearer TOKEN'. Making or revoking one counts within 5 seconds, without a
restart.`,
	}
	cmd.AddCommand(a.tokenMakeCommand(), a.tokenListCommand(), a.tokenRevokeCommand())
	return cmd
}

// A tokenMaking is one run of `invoicer token make`.
type tokenMaking struct {
	token   postgres.NewToken
	issuers issuersFlag
	expires string
	wait    time.Duration
}

func (a app) tokenMakeCommand() *cobra.Command {
	var m tokenMaking
	cmd := &cobra.Command{
		Use:   "make --role ROLE --name NAME",
		Short: "Make a token, and print it once",
		Args:  noArgs,
		Long: `Makes a token, and prints it alone on standard output. It can't be shown again: only its hash is kept.

The role read opens all pages and the metrics, operate also allows changes, and enqueue allows to hand jobs in but opens no page.
--role may be repeated. To replace a token without a gap, make one with another name, hand it out, and revoke the old one.

With --issuer, which may be repeated, the token opens only pages that keep to these issuers: their invoices, failed jobs,
transactions and series. It opens neither the metrics nor what is about all issuers.`,
		Example: `  invoicer token make --role read --name prometheus > /etc/prometheus/invoicer
  invoicer token make --role operate --name ada --expires 90d
  invoicer token make --role read --name paris --issuer ACME-FR
  invoicer token make --role enqueue --name shop-2026 --producer checkout`,
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&m.token.Roles, "role", nil, "a `role`: "+roleNames())
	flags.StringVar(&m.token.Name, "name", "", "the token's `name`, which logs and records show")
	flags.StringVar(&m.token.Producer, "producer", "", "the only `producer` that jobs handed in with it may name")
	flags.Var(&m.issuers, "issuer", "an issuer whose data alone it shows, or none for the one without a name (its `code`)")
	flags.StringVar(&m.expires, "expires", "", "the `duration` after which it is void, such as 12h or 90d (default never)")
	addByFlag(cmd, &m.token.By)
	addWaitFlag(cmd, &m.wait)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := m.check(cmd); err != nil {
			return err
		}
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		return m.run(cmd, cfg)
	}
	return cmd
}

func roleNames() string {
	var names []string
	for _, role := range access.Roles() {
		names = append(names, string(role))
	}
	return strings.Join(names, ", ")
}

// mostTokenIssuers is how many issuers a token may be limited to, as the database has it.
const mostTokenIssuers = 100

// The limits of --expires.
const (
	shortestToken = time.Second
	longestToken  = 3650 * 24 * time.Hour
)

func (m *tokenMaking) check(cmd *cobra.Command) error {
	var problems []error
	if len(m.token.Roles) == 0 {
		problems = append(problems, errors.New("--role is missing: give one of "+roleNames()))
	}
	for _, role := range m.token.Roles {
		if !slices.Contains(access.Roles(), access.Role(role)) {
			problems = append(problems, fmt.Errorf("--role %q: is none of %s", role, roleNames()))
		}
	}
	slices.Sort(m.token.Roles)
	m.token.Roles = slices.Compact(m.token.Roles)
	switch {
	case !cmd.Flags().Changed("name"):
		problems = append(problems, errors.New("--name is missing: give the token a name that says who has it"))
	case !access.IsName(m.token.Name):
		problems = append(problems, fmt.Errorf("--name %q: %s", m.token.Name, access.NameRule))
	}
	if cmd.Flags().Changed("producer") && m.token.Producer == "" {
		problems = append(problems, errors.New(`--producer "": give a name, or leave the flag out`))
	} else if message := problemOf(&invoice.Job{Producer: m.token.Producer}, "producer"); message != "" {
		problems = append(problems, fmt.Errorf("--producer %q: %s", m.token.Producer, message))
	}
	if len(m.issuers) > mostTokenIssuers {
		problems = append(problems, fmt.Errorf("--issuer: %d are named, at most %d may be: leave it out for a token of all issuers", len(m.issuers), mostTokenIssuers))
	}
	if cmd.Flags().Changed("expires") {
		var err error
		m.token.Lifetime, err = config.ParseDuration(m.expires)
		if err == nil && (m.token.Lifetime < shortestToken || m.token.Lifetime > longestToken) {
			err = fmt.Errorf("is out of range; allowed: %s to %s", config.FormatDuration(shortestToken), config.FormatDuration(longestToken))
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("--expires %q %w", m.expires, err))
		}
	}
	if err := checkActor(cmd, &m.token.By); err != nil {
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		return exitError{exitUsage, errors.Join(problems...)}
	}
	return nil
}

func (m *tokenMaking) run(cmd *cobra.Command, cfg *config.Config) error {
	store, err := openStore(cmd.Context(), cfg, waiter(cmd, m.wait))
	if err != nil {
		return err
	}
	defer store.Close()
	if m.token.Issuers, err = m.issuers.opened(cmd.Context(), store.Issuers); err != nil {
		return withoutTables(cfg.Database.Schema, err)
	}
	secret := access.NewSecret()
	m.token.Hash = access.HashOf(secret, m.token.Issuers != nil)
	var exists *postgres.TokenExistsError
	switch err := store.Tokens.Make(cmd.Context(), m.token); {
	case errors.As(err, &exists) && exists.Expired:
		return fmt.Errorf("there is an expired token %s: `invoicer token revoke %[1]s` frees its name", exists.Name)
	case errors.As(err, &exists):
		return fmt.Errorf("there is a token %s already: choose another name, or revoke it first with `invoicer token revoke %[1]s`", exists.Name)
	case err != nil:
		return withoutTables(cfg.Database.Schema, err)
	}
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), secret); err != nil {
		return fmt.Errorf("token %s was made, but couldn't be printed (%w): run `invoicer token revoke %[1]s`, and make another one",
			m.token.Name, err)
	}
	return nil
}

func (a app) tokenListCommand() *cobra.Command {
	var limit int
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the tokens, who made and who revoked them",
		Args:  noArgs,
		Long: `Shows the tokens, with who made and who revoked them: first those that are not revoked, then the others, each the newest
first. The tokens themselves are not known.`,
		Example: `  invoicer token list
  invoicer token list --json | jq '.[] | select(.revoked_at == null)'`,
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "show at most this many")
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
		list, err := store.Tokens.List(cmd.Context(), limit+1) // one more, to know whether there are more
		if err != nil {
			return withoutTables(cfg.Database.Schema, err)
		}
		more := len(list) > limit
		list = list[:min(len(list), limit)]
		err = printAnswer(cmd, list, func() sheet { return tokenSheet(list) }, func(out io.Writer) { writeTokens(out, list) })
		if more {
			cmd.PrintErrf("invoicer: only %d are shown; --limit shows more\n", limit)
		}
		return err
	}
	return cmd
}

func writeTokens(out io.Writer, list []report.Token) {
	rows := make([][]string, len(list))
	for i, t := range list {
		state, expires := "active", "never"
		if t.ExpiresAt != nil {
			expires = t.ExpiresAt.UTC().Format(time.DateTime)
		}
		switch {
		case t.RevokedAt != nil:
			state = "revoked " + t.RevokedAt.UTC().Format(time.DateTime) + " by " + *t.RevokedBy
		case t.Expired:
			state = "expired"
		}
		rows[i] = []string{t.Name, strings.Join(t.Roles, ","), access.Issuers(t.Issuers).String(), orDash(t.Producer), state, expires, t.CreatedAt.UTC().Format(time.DateTime), t.CreatedBy}
	}
	term.WriteTable(out, []string{"name", "roles", "issuers", "producer", "state", "expires (UTC)", "made (UTC)", "by"}, rows)
}

func tokenSheet(list []report.Token) sheet {
	s := sheet{columns: []string{"name", "roles", "producer", "created_at", "created_by", "expires_at", "expired", "revoked_at", "revoked_by", "issuers"}}
	for _, t := range list {
		s.rows = append(s.rows, []string{
			t.Name, strings.Join(t.Roles, ","), orDash(t.Producer), instant(t.CreatedAt), t.CreatedBy, instantOrNone(t.ExpiresAt),
			strconv.FormatBool(t.Expired), instantOrNone(t.RevokedAt), orDash(t.RevokedBy),
			access.Issuers(t.Issuers).String(),
		})
	}
	return s
}

func (a app) tokenRevokeCommand() *cobra.Command {
	var by string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "revoke NAME",
		Short: "Make a token void",
		Args:  oneArg("the token's name"),
		Long: `Makes a token void within 5 seconds, with the sessions of those who have signed in with it. It stays on record, and its name
may be used again.`,
		Example: `  invoicer token revoke shop-2025`,
	}
	addByFlag(cmd, &by)
	addWaitFlag(cmd, &wait)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !access.IsName(args[0]) {
			return usageErrorf("%q is not a token's name: %s", args[0], access.NameRule)
		}
		if err := checkActor(cmd, &by); err != nil {
			return exitError{exitUsage, err}
		}
		cfg, store, err := a.configuredStore(cmd, wait)
		if err != nil {
			return err
		}
		defer store.Close()
		switch err := store.Tokens.Revoke(cmd.Context(), args[0], by); {
		case errors.Is(err, postgres.ErrNoToken):
			return fmt.Errorf("there is no token %s that could be revoked: `invoicer token list` shows them", args[0])
		case err != nil:
			return withoutTables(cfg.Database.Schema, err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "token %s is revoked\n", args[0])
		return err
	}
	return cmd
}
