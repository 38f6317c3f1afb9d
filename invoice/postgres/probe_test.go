package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice/postgres"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault string // %s is the schema
		code  string
		words []string
	}{
		"all is well":                    {},
		"a read-only database":           {fault: "ALTER ROLE postgres SET default_transaction_read_only = on", code: "25006", words: []string{"default_transaction_read_only"}},
		"a schema that is gone":          {fault: "ALTER SCHEMA %s RENAME TO elsewhere", code: "3F000", words: []string{"no schema", "migrate up"}},
		"a table that is gone":           {fault: "ALTER TABLE %s.invoice_lines RENAME TO elsewhere", code: "42P01", words: []string{"invoice_lines", "migrate up"}},
		"a function that is gone":        {fault: "ALTER FUNCTION %s.record_ends_with_differences RENAME TO elsewhere", code: "42P01", words: []string{"record_ends_with_differences"}},
		"a view in the place of a table": {fault: "ALTER TABLE %[1]s.invoice_taxes RENAME TO t; CREATE VIEW %[1]s.invoice_taxes AS SELECT * FROM %[1]s.t"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := rig.DatabaseOn(t, sandboxtest.PrivatePostgres(t).URL)
			if c.fault != "" {
				d.Exec(t, strings.NewReplacer("%[1]s", d.Schema, "%s", d.Schema).Replace(c.fault))
			}
			store := openStore(t, d.URL)
			expectUnfit(t, store.Probe(t.Context()), c.code, c.words...)
			if c.code == "" {
				expectUnfit(t, store.ProbeCommit(t.Context()), "")
			}
		})
	}
}

func openStore(t *testing.T, url string) *postgres.DB {
	t.Helper()
	store, err := postgres.Open(postgres.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func expectUnfit(t *testing.T, err error, code string, words ...string) {
	t.Helper()
	var unfit *postgres.UnfitError
	switch {
	case code == "" && err == nil:
	case code == "" || !errors.As(err, &unfit) || unfit.Code != code:
		t.Errorf("found %v, want %q", err, code)
	default:
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%v lacks %q", err, word)
			}
		}
	}
}

// A commit that no standby confirms is noticed in the time that it is given, also one whose wait was cancelled, which the
// server answers with success.
func TestProbeOfACommitThatIsNotConfirmed(t *testing.T) {
	t.Parallel()
	d := rig.DatabaseOn(t, sandboxtest.PrivatePostgres(t).URL)
	store := openStore(t, d.URL)
	d.Exec(t, "ALTER SYSTEM SET synchronous_standby_names = 'gone'")
	d.Exec(t, "SELECT pg_reload_conf()")
	var err error
	rig.Eventually(t, "a server that has read its settings and waits for a standby", func() bool {
		brief, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		err = store.ProbeCommit(brief)
		return err != nil
	})
	expectUnfit(t, err, postgres.Unconfirmed, "synchronous_standby_names")
	cancelled := make(chan error, 1)
	go func() { cancelled <- store.ProbeCommit(t.Context()) }()
	for waits := true; waits; {
		select {
		case err := <-cancelled:
			expectUnfit(t, err, postgres.Unconfirmed)
			waits = false
		default:
			d.Exec(t, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
		}
	}
}
