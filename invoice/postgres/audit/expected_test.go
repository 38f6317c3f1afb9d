package audit

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/rig"
	"invoicer/migrations"
)

var update = flag.Bool("update", false, "write expected.tsv from a freshly migrated schema")

// TestExpected makes sure that a migration that adds or changes a constraint, column, trigger or function also tells the
// audit about it.
func TestExpected(t *testing.T) {
	t.Parallel()
	d := rig.NewMigratedDatabase(t)
	conn, err := pgx.Connect(t.Context(), d.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SET LOCAL search_path = "+d.Schema); err != nil {
		t.Fatal(err)
	}
	guards, err := readGuards(t.Context(), tx, d.Schema)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	migrator, err := migrations.New(d.URL, d.Schema)
	if err != nil {
		t.Fatal(err)
	}
	all, err := migrator.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var fresh strings.Builder
	fmt.Fprintln(&fresh, all[len(all)-1].Version)
	before := make(map[string]string)
	for _, g := range guards {
		if g.Fault != "" {
			t.Errorf("%s %s", g.key(), g.Fault)
		}
		fresh.WriteString(strings.Join([]string{g.Kind, g.Table, g.Name, g.Definition}, "\t") + "\n")
		before[g.key()] = g.Definition
	}
	for _, g := range separatedGuards(t, conn, d, migrator) {
		was, ok := before[g.key()]
		switch {
		case !ok || g.Fault != "":
			t.Errorf("%s appears when the first issuer is opened, or is wrong: %s", g.key(), g.Fault)
		case was != g.Definition:
			fresh.WriteString(strings.Join([]string{separated, g.Table, g.Name, g.Definition}, "\t") + "\n")
		}
		delete(before, g.key())
	}
	for gone := range before {
		t.Errorf("%s is gone when the first issuer is opened", gone)
	}
	if *update {
		if err := os.WriteFile("expected.tsv", []byte(fresh.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if fresh.String() != expected {
		t.Errorf("expected.tsv is not what the migrations make: run go test ./invoice/postgres/audit -run TestExpected -update\n%s", fresh.String())
	}
}

// separatedGuards returns the guards as they are once the first issuer can be opened.
func separatedGuards(t *testing.T, conn *pgx.Conn, d *rig.Database, migrator *migrations.Migrator) []guard {
	t.Helper()
	if err := migrator.SeparateIssuers(t.Context(), func(string) {}); err != nil {
		t.Fatal(err)
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SET LOCAL search_path = "+d.Schema); err != nil {
		t.Fatal(err)
	}
	guards, err := readGuards(t.Context(), tx, d.Schema)
	if err != nil {
		t.Fatal(err)
	}
	return guards
}
