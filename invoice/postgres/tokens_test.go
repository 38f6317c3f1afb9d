package postgres_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"invoicer/invoice/postgres"
)

func token(name string, change ...func(*postgres.NewToken)) postgres.NewToken {
	t := postgres.NewToken{Name: name, Hash: sha256.Sum256([]byte("secret of " + name)), Roles: []string{"read"}, By: "ada@shop"}
	for _, f := range change {
		f(&t)
	}
	return t
}

func (b *site) makeToken(t *testing.T, token postgres.NewToken) {
	t.Helper()
	if err := b.store.Tokens.Make(t.Context(), token); err != nil {
		t.Fatal(err)
	}
}

// activeNames are the names of the tokens that are valid, sorted.
func (b *site) activeNames(t *testing.T) string {
	t.Helper()
	active, err := b.store.Tokens.Active(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range active {
		names = append(names, a.Name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func TestTokenIsActiveUntilItIsRevokedOrExpires(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.makeToken(t, token("prometheus"))
	b.makeToken(t, token("shop", func(n *postgres.NewToken) {
		n.Roles, n.Issuers, n.Producer, n.Lifetime = []string{"operate", "enqueue"}, []string{"", "ACME-DE"}, "checkout", time.Hour
	}))
	b.makeToken(t, token("nameless", func(n *postgres.NewToken) { n.Issuers = []string{""} }))
	b.makeToken(t, token("short", func(n *postgres.NewToken) { n.Lifetime = time.Microsecond }))
	active, err := b.store.Tokens.Active(t.Context())
	if err != nil || len(active) != 3 {
		t.Fatalf("%d tokens are active, error %v; want 3", len(active), err)
	}
	for _, a := range active {
		if a.Hash != sha256.Sum256([]byte("secret of "+a.Name)) {
			t.Errorf("%s: hash %x", a.Name, a.Hash)
		}
		if a.Name == "shop" && (!a.Expires || a.Left < 59*time.Minute || a.Left > time.Hour || !slices.Equal(a.Roles, []string{"operate", "enqueue"}) || !slices.Equal(a.Issuers, []string{"", "ACME-DE"}) || a.Producer != "checkout") {
			t.Errorf("%+v", a)
		}
		if a.Name == "nameless" && !slices.Equal(a.Issuers, []string{""}) {
			t.Errorf("%+v", a)
		}
		if a.Name == "prometheus" && (a.Issuers != nil || a.Expires || a.Producer != "" || !slices.Equal(a.Roles, []string{"read"})) {
			t.Errorf("%+v", a)
		}
	}
	if err := b.store.Tokens.Revoke(t.Context(), "shop", "bob"); err != nil {
		t.Error(err)
	}
	if got := b.activeNames(t); got != "nameless prometheus" {
		t.Errorf("active after the revocation: %s", got)
	}
	for _, name := range []string{"shop", "nobody", ""} {
		if err := b.store.Tokens.Revoke(t.Context(), name, "bob"); !errors.Is(err, postgres.ErrNoToken) {
			t.Errorf("revoking %q: %v", name, err)
		}
	}
	list, err := b.store.Tokens.List(t.Context(), 9)
	if err != nil || len(list) != 4 {
		t.Fatalf("%d tokens are listed, error %v", len(list), err)
	}
	if list[0].Name != "short" || !list[0].Expired || list[1].Name != "nameless" || list[2].Name != "prometheus" || list[2].Expired || list[3].Name != "shop" {
		t.Errorf("listed: %+v", list)
	}
	if l := list[3]; l.RevokedAt == nil || *l.RevokedBy != "bob" || *l.RevokedByRole == "" || l.CreatedBy != "ada@shop" || l.CreatedByRole == "" || *l.Producer != "checkout" {
		t.Errorf("revoked: %+v", l)
	}
	if list[2].Issuers != nil || !slices.Equal(list[1].Issuers, []string{""}) || !slices.Equal(list[3].Issuers, []string{"", "ACME-DE"}) {
		t.Errorf("issuers: %q, %q and %q", list[2].Issuers, list[1].Issuers, list[3].Issuers)
	}
}

func TestTokensHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.makeToken(t, token("a"))
	b.makeToken(t, token("a")) // the very same, after a lost reply
	other := token("a", func(n *postgres.NewToken) { n.Hash[0]++ })
	var exists *postgres.TokenExistsError
	if err := b.store.Tokens.Make(t.Context(), other); !errors.As(err, &exists) || exists.Expired {
		t.Errorf("a second token of the name: %v", err)
	}
	if err := b.store.Tokens.Revoke(t.Context(), "a", "bob"); err != nil {
		t.Error(err)
	}
	b.makeToken(t, other)
	b.makeToken(t, token("b", func(n *postgres.NewToken) { n.Lifetime = time.Microsecond }))
	if err := b.store.Tokens.Make(t.Context(), token("b", func(n *postgres.NewToken) { n.Hash[0]++ })); !errors.As(err, &exists) || !exists.Expired {
		t.Errorf("a second token of an expired one's name: %v", err)
	}
	if n := b.Count(t, "SELECT count(*) FROM tokens"); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
}

func TestOneOfManyMakesAToken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var all sync.WaitGroup
	results := make(chan error, 8)
	for i := range cap(results) {
		all.Go(func() {
			results <- b.store.Tokens.Make(context.WithoutCancel(t.Context()), token("a", func(n *postgres.NewToken) { n.Hash[0] = byte(i) }))
		})
	}
	all.Wait()
	close(results)
	var made int
	for err := range results {
		var exists *postgres.TokenExistsError
		if err == nil {
			made++
		} else if !errors.As(err, &exists) {
			t.Error(err)
		}
	}
	if made != 1 || b.activeNames(t) != "a" {
		t.Errorf("%d made it, active %s", made, b.activeNames(t))
	}
}

// The database refuses to change or delete a token's record, even for somebody with psql and every privilege.
func TestDatabaseKeepsTokens(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.makeToken(t, token("a"))
	b.makeToken(t, token("gone"))
	b.makeToken(t, token("some", func(n *postgres.NewToken) { n.Issuers = []string{"A"} }))
	if err := b.store.Tokens.Revoke(t.Context(), "gone", "bob"); err != nil {
		t.Fatal(err)
	}
	const hash = "decode(repeat('ab', 32), 'hex')"
	insert := func(name, hash, roles string) string {
		return "INSERT INTO tokens (name, hash, roles, created_by) VALUES ('" + name + "', " + hash + ", " + roles + ", 'x')"
	}
	of := func(issuers string) string {
		return "INSERT INTO tokens (name, hash, roles, created_by, issuers) VALUES ('b', " + hash + ", '{read}', 'x', " + issuers + ")"
	}
	for _, c := range []struct{ name, statement, code, constraint string }{
		{"deletion", "DELETE FROM tokens WHERE name = 'gone'", "23000", "tokens_kept"},
		{"truncation", "TRUNCATE tokens", "23000", "tokens_kept"},
		{"another hash", "UPDATE tokens SET hash = " + hash + " WHERE name = 'a'", "23000", "tokens_kept"},
		{"another hash while it is revoked", "UPDATE tokens SET revoked_at = now(), revoked_by = 'x', hash = " + hash + " WHERE name = 'a'", "23000", "tokens_kept"},
		{"all issuers", "UPDATE tokens SET issuers = NULL WHERE name = 'some'", "23000", "tokens_kept"},
		{"other issuers while it is revoked", "UPDATE tokens SET revoked_at = now(), revoked_by = 'x', issuers = '{B}' WHERE name = 'some'", "23000", "tokens_kept"},
		{"more roles", "UPDATE tokens SET roles = '{operate}' WHERE name = 'a'", "23000", "tokens_kept"},
		{"a longer life", "UPDATE tokens SET expires_at = NULL", "23000", "tokens_kept"},
		{"unrevoking", "UPDATE tokens SET revoked_at = NULL, revoked_by = NULL WHERE name = 'gone'", "23000", "tokens_kept"},
		{"revoking twice", "UPDATE tokens SET revoked_at = now(), revoked_by = 'other' WHERE name = 'gone'", "23000", "tokens_kept"},
		{"revoking by nobody", "UPDATE tokens SET revoked_at = now() WHERE name = 'a'", "23514", "tokens_revoked_by_check"},
		{"the same name", insert("a", hash, "'{read}'"), "23505", "tokens_name_key"},
		{"the same hash", insert("b", "(SELECT hash FROM tokens WHERE name = 'gone')", "'{read}'"), "23505", "tokens_hash_key"},
		{"a short hash", insert("b", "'\\x00'", "'{read}'"), "23514", "tokens_hash_check"},
		{"a name with a space", insert("a b", hash, "'{read}'"), "23514", "tokens_name_check"},
		{"no name", insert("", hash, "'{read}'"), "23514", "tokens_name_check"},
		{"the name of visitors without a token", insert("local", hash, "'{read}'"), "23514", "tokens_name_local_check"},
		{"no role", insert("b", hash, "'{}'"), "23514", "tokens_some_role_check"},
		{"an unknown role", insert("b", hash, "'{read,admin}'"), "23514", "tokens_roles_check"},
		{"a role of NULL", insert("b", hash, "'{NULL}'"), "23514", "tokens_roles_check"},
		{"no issuer", of("'{}'"), "23514", "tokens_issuers_check"},
		{"too many issuers", of("array_fill('A'::text, ARRAY[101])"), "23514", "tokens_issuers_check"},
		{"an issuer of NULL", of("'{NULL}'"), "23514", "tokens_issuers_check"},
		{"an issuer and NULL", of("'{A,NULL}'"), "23514", "tokens_issuers_check"},
		{"no code of an issuer", of("'{acme}'"), "23514", "tokens_issuers_check"},
		{"a long issuer", of("ARRAY[repeat('A', 33)]"), "23514", "tokens_issuers_check"},
		{"two issuers in one", of("'{\"A,B\"}'"), "23514", "tokens_issuers_check"},
		{"two issuers in one, as they are compared", of("'{A/B}'"), "23514", "tokens_issuers_check"},
	} {
		_, err := b.DB.ExecContext(t.Context(), c.statement)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != c.code || pg.ConstraintName != c.constraint {
			t.Errorf("%s: %v; want %s of %s", c.name, err, c.code, c.constraint)
		}
	}
	b.Exec(t, "INSERT INTO tokens (name, hash, roles, created_by, created_by_role) VALUES ('forged', "+hash+", '{read}', 'x', 'somebody else')")
	if role := b.Text(t, "SELECT created_by_role FROM tokens WHERE name = 'forged'"); role == "somebody else" {
		t.Error("the database's word for who made a token can be forged")
	}
}
