package main

import (
	"net/url"
	"strings"
	"testing"

	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
)

func TestMigrateWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	postgres, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{TCP: true})
	must(t, err)
	t.Cleanup(func() { must(t, postgres.Close()) })
	address, err := url.Parse(postgres.URL)
	must(t, err)
	must(t, postgres.Kill())

	s := &site{environ: []string{"INVOICER_DATABASE_URL=" + postgres.URL}}
	p := s.start(t, "migrate", "up", "--wait", "1m")
	p.await(t, "invoicer: waiting up to 1m0s for postgres at "+address.Host+"/invoicer: connect: connection refused")
	must(t, postgres.Restart(t.Context()))
	if code := p.exit(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	p.await(t, "answers after")
	if got := p.stdout.String(); !strings.HasPrefix(got, "applied 00001_invoices.sql\n") {
		t.Errorf("stdout %q", got)
	}
}

func TestMigrateMistakes(t *testing.T) {
	t.Parallel()
	database, err := url.Parse(sandboxtest.Database(t))
	must(t, err)
	missing := *database
	missing.Path = "/nowhere"
	for address, says := range map[string]string{
		missing.String():                    `database "nowhere" does not exist: create it first, by createdb or by CREATE DATABASE in psql`,
		"postgres://u:sesame@127.0.0.1:1/x": "postgres at 127.0.0.1:1/x does not answer (waited for 1ms): connect: connection refused",
	} {
		for _, step := range []string{"up", "down", "status"} {
			code, out, errs := runCommand(t, []string{"INVOICER_DATABASE_URL=" + address}, "migrate", step, "--wait", "1ms")
			if code != exitFailed || out != "" || !strings.HasSuffix(errs, says+"\n") || strings.Contains(errs, "sesame") {
				t.Errorf("%s %s: exit code %d, stdout %q, stderr %q, want %q", address, step, code, out, errs, says)
			}
		}
	}
}
