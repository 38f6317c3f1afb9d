package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/doctor"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/programs"
	"invoicer/internal/sandbox/sandboxtest"
)

// What docs/operations.md says to type for a standby does what it is to: the copy follows under its name, commits wait, and doctor is content.
func TestDocumentedStandby(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/operations.md")
	must(t, err)
	_, section, found := strings.Cut(string(text), "\n## A standby\n")
	section, _, _ = strings.Cut(section, "\n## ")
	sql := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(section, -1)
	if !found || len(sql) != 2 {
		t.Fatal("docs/operations.md doesn't say how to set up a standby")
	}
	r := sandboxtest.Replicated(t)
	d := rig.DatabaseOn(t, r.Primary.URL)
	for _, statement := range []string{"ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"} {
		d.Exec(t, statement)
	}
	must(t, runSQL(r.Primary.URL, sql[0][1]))

	config, err := pgx.ParseConfig(r.Primary.URL)
	must(t, err)
	program, err := programs.Find(programs.Postgres)
	must(t, err)
	copied := filepath.Join(t.TempDir(), "data")
	script, _, _ := strings.Cut(documentedScript(t, "A standby"), "systemctl")
	script = strings.NewReplacer("host=db1", fmt.Sprintf("host=%s port=%d", config.Host, config.Port), "/var/lib/postgresql/data", copied).Replace(script)
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program[programs.Postgres])+":"+os.Getenv("PATH"))
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	conf, err := os.ReadFile(filepath.Join(copied, "postgresql.auto.conf"))
	must(t, err)
	if _, err := os.Stat(filepath.Join(copied, "standby.signal")); err != nil || !strings.Contains(string(conf), "application_name=standby1") {
		t.Errorf("the copy is no standby of that name: %v, %s", err, conf)
	}

	for _, statement := range strings.Split(strings.TrimSpace(sql[1][1]), ";") { // ALTER SYSTEM stands alone
		if statement, _, _ = strings.Cut(statement, "--"); strings.TrimSpace(statement) != "" {
			must(t, runSQL(r.Primary.URL, statement))
		}
	}
	rig.Eventually(t, "both standbys to be counted", func() bool {
		return d.Count(t, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'") == 2
	})
	site := newSiteOn(t, r.Primary.URL, d.Schema, sandboxtest.PrivateRedis(t).URL)
	if told := site.diagnose(t); len(told.of(doctor.Warning, "standby"))+len(told.of(doctor.Broken, "commits")) > 0 {
		t.Errorf("doctor says %+v", told.Findings)
	}
}
