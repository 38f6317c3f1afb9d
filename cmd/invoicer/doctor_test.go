package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"invoicer/internal/doctor"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
)

// durablePostgres starts a Postgres that keeps what it confirms, as those in use do.
func durablePostgres(t *testing.T, options ...servers.PostgresOptions) *servers.Server {
	t.Helper()
	server, err := servers.StartPostgres(t.Context(), append(options, servers.PostgresOptions{Durable: true})[0])
	must(t, err)
	t.Cleanup(func() { server.Close() })
	return server
}

// A clinic is a durable Postgres with a migrated database, of which each patient gets a copy.
type clinic struct{ server string }

func newClinic(t *testing.T) clinic {
	t.Helper()
	c := clinic{durablePostgres(t).URL}
	rig.DatabaseOn(t, c.server).DB.Close() // a database that others are connected to isn't copied
	return c
}

// patient returns a site whose database and Redis are of its own, and fit.
func (c clinic) patient(t *testing.T) *site {
	t.Helper()
	name := "db_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	address, err := url.Parse(c.server)
	must(t, err)
	address.Path = "/postgres"
	must(t, runSQL(address.String(), "CREATE DATABASE "+name+" TEMPLATE invoicer"))
	address.Path = "/" + name
	return newSiteOn(t, address.String(), "invoicer", sandboxtest.PrivateRedis(t).URL)
}

type diagnosis struct {
	OK       bool             `json:"ok"`
	Findings []doctor.Finding `json:"findings"`
	Postgres *struct {
		Version string `json:"version"`
	} `json:"postgres"`
	Redis    []doctor.Node   `json:"redis"`
	Workers  *doctor.Workers `json:"workers"`
	Clocks   []doctor.Clock  `json:"clocks"`
	Problems []string        `json:"problems"`
}

// diagnose runs doctor, whose exit code must agree with what it finds.
func (s *site) diagnose(t *testing.T) *diagnosis {
	t.Helper()
	code, stdout, stderr := s.run(t, "", "doctor", "--json")
	d := new(diagnosis)
	if err := json.Unmarshal([]byte(stdout), d); err != nil {
		t.Fatalf("exit code %d, %s%s: %v", code, stdout, stderr, err)
	}
	broken := len(d.of(doctor.Broken, "")) > 0 || len(d.Problems) > 0
	if d.OK == broken || (code == exitOK) == broken || code != exitOK && code != exitFailed {
		t.Errorf("exit code %d, ok is %t: %s%s", code, d.OK, stdout, stderr)
	}
	for _, f := range d.Findings {
		if f.What == "" || f.Remedy == "" || len(f.Promises) == 0 {
			t.Errorf("an incomplete finding: %+v", f)
		}
	}
	return d
}

// of returns the findings of a level and a check, of any check if that is "".
func (d *diagnosis) of(level doctor.Level, check string) (list []doctor.Finding) {
	for _, f := range d.Findings {
		if f.Level == level && (check == "" || f.Check == check) {
			list = append(list, f)
		}
	}
	return list
}

// has makes sure that there is a finding with the setting whose text has the words.
func (d *diagnosis) has(t *testing.T, level doctor.Level, check, setting string, words ...string) {
	t.Helper()
	for _, f := range d.of(level, check) {
		text := f.Server + " " + f.What + " " + f.Remedy
		if f.Setting == setting && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			return
		}
	}
	t.Errorf("no %s finding of %s with the setting %q and %q: %+v; %q", level, check, setting, words, d.Findings, d.Problems)
}

// in runs statements in the schema, past its triggers.
func (s *site) in(t *testing.T, statements string) {
	t.Helper()
	must(t, runSQL(s.URL, "SET search_path = "+s.Schema+"; SET session_replication_role = replica; "+statements))
}

// Each fault that lets a promise break is found where it was made, and nothing else is broken.
func TestDoctorFindsWhatIsBroken(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	of := func(fault func(*testing.T, *site)) func(*testing.T, *site) *site {
		return func(t *testing.T, s *site) *site {
			fault(t, s)
			return s
		}
	}
	statements := func(text string) func(*testing.T, *site) *site {
		return of(func(t *testing.T, s *site) { s.in(t, text) })
	}
	redis := func(commands string) func(*testing.T, *site) *site {
		return of(func(t *testing.T, s *site) { s.do(t, commands) })
	}
	for name, test := range map[string]struct {
		fault          func(*testing.T, *site) *site
		check, setting string
		words          []string
	}{
		"commits that nobody waits for": {
			fault: of(func(t *testing.T, s *site) {
				s.in(t, "ALTER DATABASE "+s.Text(t, "SELECT current_database()")+" SET synchronous_commit = off")
			}),
			check: "durability", setting: "synchronous_commit", words: []string{"postgres at ", "synchronous_commit is off", "set synchronous_commit to on"},
		},
		"a read-only database": {
			fault: of(func(t *testing.T, s *site) {
				s.in(t, "ALTER DATABASE "+s.Text(t, "SELECT current_database()")+" SET default_transaction_read_only = on")
			}),
			check: "read_only", setting: "default_transaction_read_only", words: []string{"read-only"},
		},
		"a trigger that is switched off": {
			fault: statements("ALTER TABLE invoices DISABLE TRIGGER invoices_immutable"),
			check: "triggers", setting: "invoices_immutable", words: []string{"trigger invoices_immutable of invoices", "is switched off", `ENABLE TRIGGER "invoices_immutable"`},
		},
		"a constraint that is gone": {
			fault: statements("ALTER TABLE invoices DROP CONSTRAINT invoices_kind_check"),
			check: "constraints", setting: "invoices_kind_check", words: []string{"constraint invoices_kind_check of invoices", "is missing", "invoicer audit"},
		},
		"a schema that isn't migrated": {
			fault: func(t *testing.T, s *site) *site { return s.with("INVOICER_DATABASE_SCHEMA=nothing") },
			check: "schema", setting: "database.schema", words: []string{"version 0", "invoicer migrate up"},
		},
		"a table that is gone": {
			fault: statements("ALTER TABLE invoice_links RENAME TO gone"),
			check: "schema", setting: "database.schema", words: []string{"missing in schema", "invoice_links"},
		},
		"a counter that was moved": {
			fault: statements("INSERT INTO invoice_series (series, period, kind, last_number) VALUES ('MOVED', '', 'invoice', 5)"),
			check: "series", setting: "MOVED", words: []string{"series MOVED", "number 5 is missing", "would leave a gap"},
		},
		"a role without rights": {
			fault: func(t *testing.T, s *site) *site {
				limited, role := s.asRole(t)
				s.execute(t, "GRANT USAGE ON SCHEMA invoicer TO "+role)
				return limited
			},
			check: "rights", setting: "GRANT", words: []string{"lacks rights to", "GRANT SELECT, INSERT ON TABLE \"invoicer\".\"invoices\" TO"},
		},
		"a role without any right": {
			fault: func(t *testing.T, s *site) *site {
				role := "nobody_" + s.Schema // of the whole server, which is the test's own
				s.execute(t, "CREATE ROLE "+role+" LOGIN")
				return s.with("INVOICER_DATABASE_URL=" + s.urlOf(t, role))
			},
			check: "rights", setting: "GRANT", words: []string{"the schema itself", `GRANT USAGE ON SCHEMA "invoicer" TO`},
		},
		"a Redis that evicts": {
			fault: redis("CONFIG SET maxmemory-policy allkeys-lru"),
			check: "eviction", setting: "maxmemory-policy", words: []string{"redis at ", "maxmemory-policy is allkeys-lru", "noeviction"},
		},
		"a Redis without memory": {fault: redis("CONFIG SET maxmemory 1"), check: "memory", setting: "maxmemory", words: []string{"raise maxmemory"}},
		"a Redis user without a command": {
			fault: func(t *testing.T, s *site) *site {
				s.do(t, "ACL SETUSER app on >pw ~* &* +@all -zadd")
				return s.asRedisUser(t, "app")
			},
			check: "rights", setting: "ACL", words: []string{"user app may not run zadd", "ACL SETUSER app"},
		},
		"a read-only replica": {
			fault: redis("REPLICAOF 127.0.0.1 1"), check: "read_only", setting: "replicaof", words: []string{"read-only replica"},
		},
		"a queue of another installation": {
			fault: of(func(t *testing.T, s *site) {
				other := newSiteOn(t, s.URL, "other", s.redisURL).on(s.queue)
				other.must(t, "migrate", "up")
				other.start(t, "worker").await(t, "worker started")
			}),
			check: "owner", setting: "worker.queues", words: []string{"schema other", "invoicer queue take"},
		},
		"no Redis": {
			fault: func(t *testing.T, s *site) *site { return s.with("INVOICER_REDIS_URL=redis://127.0.0.1:1/0") },
			check: "reachable", setting: "redis.url", words: []string{"redis at 127.0.0.1:1", "connection refused"},
		},
		"no Postgres": {
			fault: func(t *testing.T, s *site) *site { return s.with("INVOICER_DATABASE_URL=postgres://127.0.0.1:1/x") },
			check: "reachable", setting: "database.url", words: []string{"postgres at 127.0.0.1:1", "connection refused"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := test.fault(t, c.patient(t)).diagnose(t)
			d.has(t, doctor.Broken, test.check, test.setting, test.words...)
			if broken := d.of(doctor.Broken, ""); len(broken) != len(d.of(doctor.Broken, test.check)) || len(d.Problems) > 0 {
				t.Errorf("more is broken: %+v, %q", broken, d.Problems)
			}
			if (d.Postgres == nil) != (name == "no Postgres") || (len(d.Redis) == 0) != (name == "no Redis") {
				t.Errorf("a server that answers isn't looked at: %+v", d)
			}
		})
	}
}

// Servers that are fit are told to be, by facts of each; what is only unwise is a warning.
func TestDoctorOfServersThatAreFit(t *testing.T) {
	t.Parallel()
	s := newClinic(t).patient(t)
	d := s.diagnose(t)
	if !d.OK || d.Postgres.Version == "" || len(d.Redis) != 1 || d.Redis[0].Version == "" || d.Redis[0].Policy != "noeviction" || len(d.Clocks) != 2 || d.Workers.Queues != 1 {
		t.Errorf("looked at: %+v", d)
	}
	d.has(t, doctor.Warning, "role", "postgres", "is a superuser")
	d.has(t, doctor.Warning, "standby", "synchronous_standby_names", "it has no standby")
	d.has(t, doctor.Warning, "persistence", "appendonly", "keeps nothing on disk")
	d.has(t, doctor.Warning, "replica", "replicaof", "it has no replica")
	d.has(t, doctor.Warning, "consumers", "worker.queues", "no worker consumes queue "+s.queue)

	code, stdout, stderr := s.run(t, "", "doctor")
	for _, want := range []string{"WARNING  standby", "endangers: 2 none lost, 3 gapless", "to mend: ", ": Postgres ", ": Redis ", "round trip", "\n0 broken, "} {
		if code != exitOK || !strings.Contains(stdout, want) || stderr != "" {
			t.Errorf("exit code %d, without %q: %s%s", code, want, stdout, stderr)
		}
	}

	// A role with nothing but a worker's rights, which the doctor names, is no finding; a worker and persistence mend others.
	limited, role := s.asRole(t)
	for range 3 {
		for _, f := range limited.diagnose(t).of(doctor.Broken, "rights") {
			for _, grant := range regexp.MustCompile(`GRANT [^;]*;`).FindAllString(f.Remedy, -1) {
				s.execute(t, grant)
			}
		}
	}
	s.do(t, "CONFIG SET appendonly yes")
	limited.start(t, "worker").await(t, "worker started")
	limited.with("INVOICER_WORKER_MAX_RETRY=3").start(t, "worker").await(t, "worker started")
	d = limited.diagnose(t)
	for _, check := range []string{"role", "rights", "persistence", "consumers", "versions"} {
		if found := append(d.of(doctor.Warning, check), d.of(doctor.Broken, check)...); len(found) > 0 {
			t.Errorf("%+v", found)
		}
	}
	if !d.OK || d.Workers.Workers != 2 {
		t.Errorf("%+v", d)
	}
	d.has(t, doctor.Warning, "settings", "worker.max_retry", "workers differ")
	s.execute(t, "GRANT DELETE ON invoicer.invoice_lines TO "+role)
	limited.diagnose(t).has(t, doctor.Warning, "role", role, "DELETE on invoice_lines")
}

// A Cluster is looked at as a whole, and each of its masters.
func TestDoctorOfACluster(t *testing.T) {
	t.Parallel()
	server, err := servers.StartRedis(t.Context(), servers.RedisOptions{TCP: true, Settings: map[string]string{"cluster-enabled": "yes"}})
	must(t, err)
	t.Cleanup(func() { server.Close() })
	node := newSite(t, server.URL)
	node.do(t, "CLUSTER ADDSLOTSRANGE 0 16382")
	s := node.with("INVOICER_REDIS_URL=" + strings.TrimSuffix(strings.Replace(server.URL, "redis://", "redis-cluster://", 1), "/0"))
	s.diagnose(t).has(t, doctor.Broken, "cluster", "cluster_slots_ok", "16383 of 16384 slots")
	node.do(t, "CLUSTER ADDSLOTS 16383")
	rig.Eventually(t, "the Cluster to be whole", func() bool {
		info, err := node.rdb.ClusterInfo(t.Context()).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	})
	node.do(t, "CONFIG SET maxmemory-policy volatile-ttl")
	d := s.diagnose(t)
	d.has(t, doctor.Broken, "eviction", "maxmemory-policy", "redis at ", "volatile-ttl")
	if len(d.of(doctor.Broken, "cluster")) > 0 || len(d.of(doctor.Broken, "eviction")) != 1 {
		t.Errorf("%+v", d.Findings)
	}
}

// The documentation explains each check, and no other.
func TestDoctorIsDocumented(t *testing.T) {
	t.Parallel()
	operations, err := os.ReadFile("../../docs/operations.md")
	must(t, err)
	_, part, _ := strings.Cut(string(operations), "\n## Is it fit: invoicer doctor\n")
	part, _, _ = strings.Cut(part, "\n## ")
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(part, -1) {
		documented = append(documented, row[1])
	}
	var checks []string
	for _, c := range doctor.Checks() {
		checks = append(checks, c.Name)
	}
	if fmt.Sprint(documented) != fmt.Sprint(checks) {
		t.Errorf("the documentation has %v, and there are %v", documented, checks)
	}
}
