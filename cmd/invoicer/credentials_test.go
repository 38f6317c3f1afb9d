package main

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// asRedisUser has the program use other credentials.
func (s *site) asRedisUser(t *testing.T, name string) *site {
	t.Helper()
	options, err := redis.ParseURL(s.redisURL)
	if err != nil {
		t.Fatal(err)
	}
	return s.with("INVOICER_REDIS_URL=unix://" + name + ":pw@" + options.Addr)
}

// asRole has the program connect as a role that has no rights yet.
func (s *site) asRole(t *testing.T) (changed *site, role string) {
	t.Helper()
	role = "r_" + s.Schema
	s.execute(t, "CREATE ROLE "+role+" LOGIN")
	t.Cleanup(func() {
		s.execute(t, "DROP OWNED BY "+role)
		s.execute(t, "DROP ROLE "+role)
	})
	url := strings.Replace(s.URL, "user=postgres", "user="+role, 1)
	url = strings.Replace(url, "postgres://postgres@", "postgres://"+role+"@", 1)
	if url == s.URL {
		t.Fatalf("no user is in %s", url)
	}
	return s.with("INVOICER_DATABASE_URL=" + url), role
}
