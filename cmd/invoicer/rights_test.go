package main

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"invoicer/internal/sandbox/sandboxtest"
)

// as returns the site for a role of its own, which may do nothing yet.
func (s *site) as(t *testing.T) (limited *site, role string) {
	t.Helper()
	role = "role_" + s.Schema
	s.change(t, "CREATE ROLE "+role+" LOGIN")
	t.Cleanup(func() {
		for _, statement := range []string{"DROP OWNED BY " + role, "DROP ROLE " + role} {
			if _, err := s.DB.ExecContext(context.WithoutCancel(t.Context()), statement); err != nil {
				t.Error(err)
			}
		}
	})
	address, err := url.Parse(s.URL)
	must(t, err)
	query := address.Query()
	query.Set("role", role)
	address.RawQuery = query.Encode()
	return s.with("INVOICER_DATABASE_URL=" + address.String()), role
}

// Whatever is missing, one message names all of it, in statements that can be run as they are; then the command works.
func TestRightsThatAreMissing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args  []string
		stdin string
		fails bool // for another reason, once it may
	}{
		"status":                  {args: []string{"status", "T1"}},
		"status of a job":         {args: []string{"status", "--job", "bad"}},
		"audit":                   {args: []string{"audit"}},
		"dry run of replay":       {args: []string{"replay", "--all", "--dry-run"}},
		"replay":                  {args: []string{"replay", "--all"}},
		"replay in order":         {args: []string{"replay", "--job", "bad", "--order", "issued_at"}},
		"import":                  {args: []string{"import", "-"}, stdin: `{"transaction_id":"T7","invoice_number":"OLD-7"}`},
		"races":                   {args: []string{"races"}},
		"cache":                   {args: []string{"cache"}},
		"replay history":          {args: []string{"replay", "history"}},
		"dismiss":                 {args: []string{"dismiss", "bad", "--reason", "r"}},
		"restore":                 {args: []string{"restore", "gone"}},
		"queue take":              {args: []string{"queue", "take", "nobodys", "--yes"}},
		"prune":                   {args: []string{"prune"}},
		"erase":                   {args: []string{"erase", "--customer", "C1", "--reason", "r"}},
		"hold":                    {args: []string{"erase", "--hold", "--customer", "C1", "--reason", "r"}},
		"export":                  {args: []string{"export", "--customer", "C1"}},
		"dry run of prune":        {args: []string{"prune", "--dry-run"}},
		"enqueue":                 {args: []string{"enqueue", "-", "--durable"}, stdin: payloadOf("T2", "GBP")},
		"token make":              {args: []string{"token", "make", "--role", "read", "--name", "a"}},
		"token list":              {args: []string{"token", "list"}},
		"token revoke":            {args: []string{"token", "revoke", "there"}},
		"series list":             {args: []string{"series", "list"}},
		"series show":             {args: []string{"series", "show", "INV"}},
		"series open":             {args: []string{"series", "open", "NEW", "--format", "N{number}"}},
		"series set":              {args: []string{"series", "set", "INV", "--format", "I{number}"}},
		"series pause":            {args: []string{"series", "pause", "INV"}},
		"migrate status":          {args: []string{"migrate", "status"}},
		"the owner's own command": {args: []string{"migrate", "down", "--force"}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sharedSite(t)
			s.start(t, "worker")
			s.enqueue(t, "T1", "T1")
			s.awaitEnds(t, 2)
			s.fail(t, "bad", "T9", "failed", "planted", "p", s.queue, payloadOf("T9", "GBP"), "1h")
			s.fail(t, "other", "T1", "conflict", "planted", "p", s.queue, payloadOf("T1", "EUR"), "1h")
			s.fail(t, "gone", "T8", "failed", "planted", "p", s.queue, payloadOf("T8", "GBP"), "1h")
			s.must(t, "dismiss", "gone", "--reason", "r")
			s.must(t, "token", "make", "--role", "read", "--name", "there")
			limited, role := s.as(t)

			code, _, stderr := limited.run(t, test.stdin, test.args...)
			told := fmt.Sprintf("role %s lacks rights in schema %s that `invoicer", role, s.Schema)
			if code != exitFailed || !strings.Contains(stderr, told) || strings.Contains(stderr, "SQLSTATE") || strings.Contains(stderr, "migrate up") {
				t.Fatalf("exit code %d, %s; want %q", code, stderr, told)
			}
			grants := regexp.MustCompile(`GRANT [^;]*;`).FindAllString(stderr, -1)
			if len(grants) == 0 {
				t.Fatalf("it says nothing to grant: %s", stderr)
			}
			for _, grant := range grants {
				s.change(t, grant)
			}
			code, stdout, stderr := limited.run(t, test.stdin, test.args...)
			if test.fails {
				if code != exitFailed || !strings.Contains(stderr, "who owns schema "+s.Schema) || strings.Contains(stderr, "SQLSTATE") {
					t.Errorf("exit code %d, %s", code, stderr)
				}
			} else if code != exitOK {
				t.Errorf("after %q: exit code %d, %s%s", grants, code, stdout, stderr)
			}
		})
	}
}

// A role that only accepts jobs needs nothing but the grants in docs/operations.md.
func TestAcceptingNeedsNoTable(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	limited, role := s.as(t)
	enqueue := func() (int, string) {
		code, _, stderr := limited.run(t, payloadOf("T1", "GBP"), "enqueue", "-", "--durable", "--queue", s.queue)
		return code, stderr
	}
	s.change(t, fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s", s.Schema, role))
	if code, stderr := enqueue(); code != exitFailed || !strings.Contains(stderr, fmt.Sprintf("GRANT EXECUTE ON FUNCTION %s.accept(text, text, uuid, boolean) TO %s;", s.Schema, role)) {
		t.Errorf("with USAGE: exit code %d, %s", code, stderr)
	}
	s.change(t, fmt.Sprintf("GRANT EXECUTE ON FUNCTION %s.accept(text, text, uuid, boolean) TO %s", s.Schema, role))
	if code, stderr := enqueue(); code != exitOK {
		t.Errorf("with EXECUTE: exit code %d, %s", code, stderr)
	}
	if n := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE transaction_id = 'T1'"); n != 1 {
		t.Errorf("%d jobs are accepted", n)
	}
	s.change(t, fmt.Sprintf("REVOKE EXECUTE ON FUNCTION %s.refuse_unknown_queue FROM PUBLIC", s.Schema))
	if code, stderr := enqueue(); code != exitFailed || !strings.Contains(stderr, fmt.Sprintf(": GRANT EXECUTE ON FUNCTION %s.refuse_unknown_queue(text) TO %s;", s.Schema, role)) {
		t.Errorf("without what is everybody's: exit code %d, %s", code, stderr)
	}

	empty := newSiteWithout(t)
	if code, _, stderr := empty.run(t, payloadOf("T1", "GBP"), "enqueue", "-", "--durable"); code != exitFailed || !strings.Contains(stderr, "run `invoicer migrate up`") {
		t.Errorf("without a schema: exit code %d, %s", code, stderr)
	}
}

// newSiteWithout has a schema with nothing in it.
func newSiteWithout(t *testing.T) *site {
	t.Helper()
	database, schema := sandboxtest.Schema(t)
	return newSiteOn(t, database, schema, sandboxtest.Redis(t))
}

func TestMigrateNeedsNoRightToCreateSchemas(t *testing.T) {
	t.Parallel()
	s := newSiteWithout(t)
	limited, role := s.as(t)
	code, _, stderr := limited.run(t, "", "migrate", "up")
	want := fmt.Sprintf("GRANT USAGE, CREATE ON SCHEMA %s TO %s;", s.Schema, role)
	if code != exitFailed || !strings.Contains(stderr, want) {
		t.Fatalf("exit code %d, %s; want %s", code, stderr, want)
	}
	s.change(t, want)
	limited.must(t, "migrate", "up")

	nowhere := limited.with("INVOICER_DATABASE_SCHEMA=" + s.Schema + "_other")
	if code, _, stderr := nowhere.run(t, "", "migrate", "up"); code != exitFailed || !strings.Contains(stderr, "GRANT CREATE ON DATABASE ") {
		t.Errorf("without a schema: exit code %d, %s", code, stderr)
	}
}
