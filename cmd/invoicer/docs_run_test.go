package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// Pages of which each command is run, on real servers, as the role that is made for it.
var ranPages = []string{"operations.md", "failover.md", "backup.md", "compliance.md", "events.md", "install.md"}

// A rehearsal is an installation in which the documented commands have something to do.
type rehearsal struct {
	installed
	worker      *process
	folder      string // of keys, seals and whatever commands write
	failedJobs  int
	ran         map[string]bool // by the command's path
	loginOfRole map[string]string
	hears       string // the URL of an endpoint that takes events
}

// TestDocumentedCommandsRun runs each command line of the pages for those who operate. Each has to end well: its exit code is 0, and a
// worker or a server of pages starts. A command that a sentence only names has to be run with its arguments somewhere.
func TestDocumentedCommandsRun(t *testing.T) {
	t.Parallel()
	r := rehearse(t)
	var named []string
	done := make(map[string]bool)
	for _, page := range ranPages {
		text, err := os.ReadFile(filepath.Join("../../docs", page))
		must(t, err)
		for _, c := range documentedCommands(string(text)) {
			environ, args := words(c.line)
			cmd, rest, err := (app{}).rootCommand().Find(args[1:])
			if err != nil || len(rest) > 0 && cmd.HasSubCommands() && !cmd.Runnable() {
				continue // which TestDocumentedCommandsAreTaken tells
			}
			path := strings.TrimPrefix(cmd.CommandPath(), "invoicer ")
			if len(rest) == 0 && !c.inBlock {
				named = append(named, path)
				continue
			}
			if key := fmt.Sprint(environ, args); !done[key] && !strings.Contains(documentedScript(t, "Move a series to another database"), c.line) {
				done[key] = true
				r.run(t, page+": "+c.line, path, environ, args[1:])
			}
			r.ran[path] = true
		}
	}
	for _, more := range []string{ // of commands that the pages only name
		"version", "health", "events endpoint secret", "queue list", "list invoices", "migrate up", "migrate status", "roles", "settings list", "issuer list", "issuer open ACME-FR", "history", "cache", "serve", "token list",
		"token make --role read --name ada", "enqueue -", "import -", "status ID", "replay --all --dry-run", "list invoices", "queue resume bulk", "lock show TRANSACTION_ID", "worker quiet NAME --off",
		"series open NEW --format N{number}", "series resume INV", "erase --due --reason r", "export --customer 17850", "restore JOB_ID", "dismiss JOB_ID --reason r", "migrate down", "document get INV-000001 -o -",
	} {
		args := strings.Fields(more)
		cmd, _, err := (app{}).rootCommand().Find(args)
		must(t, err)
		if path := strings.TrimPrefix(cmd.CommandPath(), "invoicer "); slices.Contains(named, path) && !r.ran[path] {
			r.run(t, more, path, nil, args)
			r.ran[path] = true
		}
	}
	for _, path := range named {
		if path == "list" {
			continue // any of its commands
		}
		if cmd, _, err := (app{}).rootCommand().Find(strings.Fields(path)); err == nil && cmd.Runnable() && !r.ran[path] {
			t.Errorf("`invoicer %s` is named in the pages, and isn't run", path)
		}
	}
	if len(done) < 60 {
		t.Errorf("only %d command lines were run", len(done))
	}
	r.of(t, "auditor").must(t, "audit")
}

func rehearse(t *testing.T) *rehearsal {
	t.Helper()
	r := &rehearsal{folder: t.TempDir(), ran: make(map[string]bool), loginOfRole: map[string]string{
		"invoicer_migrator": "deploy", "invoicer_worker": "worker", "invoicer_api": "serve", "invoicer_producer": "shop", "invoicer_operator": "operator", "invoicer_reader": "auditor",
	}}
	r.installed = installOn(t, durablePostgres(t).URL, sandboxtest.PrivateRedis(t).URL)
	r.queue = "default"
	r.site = r.with("INVOICER_WORKER_QUEUES=critical=6,default=3,bulk=1", "INVOICER_ALLOW_UNSAFE=false", "INVOICER_RETENTION_INVOICES=*=3650d", "INVOICER_EVENTS_ALLOW=127.0.0.1")
	hears := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(hears.Close)
	r.hears = hears.URL
	r.of(t, "deploy").must(t, "issuer", "open", "ACME-DE")
	r.worker = r.of(t, "worker").start(t, "worker")
	r.worker.await(t, "worker started")
	job := strings.Replace(payloadOf("536365", "GBP"), "{", `{"customer_id":"17850","producer":"checkout",`, 1)
	if code, _, stderr := r.of(t, "shop").run(t, job, "enqueue", "-", "--durable"); code != exitOK {
		t.Fatal(stderr)
	}
	r.awaitCount(t, 1, "SELECT count(*) FROM invoices")
	if code, _, stderr := r.of(t, "shop").run(t, payloadOf("another", "GBP"), "enqueue", "-", "--durable"); code != exitOK {
		t.Fatal(stderr)
	}
	r.awaitCount(t, 2, "SELECT count(*) FROM invoices")
	r.fail(t, "full", "T1", "failed", "disk full", "checkout", r.queue, payloadOf("T1", "GBP"), "1h")

	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	open, err := x509.MarshalPKIXPublicKey(public)
	must(t, err)
	must(t, os.WriteFile(r.in("seal-key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	must(t, os.WriteFile(r.in("seal-public.pem"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: open}), 0o600))
	must(t, os.Mkdir(r.in("seals"), 0o700))
	r.of(t, "auditor").must(t, "seal", "--key", r.in("seal-key.pem"), "--to", r.in("seals"))
	return r
}

func (r *rehearsal) in(name string) string { return filepath.Join(r.folder, name) }

// run runs a command, and reports it if it doesn't end well.
func (r *rehearsal) run(t *testing.T, told, path string, environ, args []string) {
	t.Helper()
	login := "auditor"
	for _, role := range slices.Backward((app{}).databaseRoles("invoicer")) {
		if slices.Contains(role.Commands, path) {
			login = r.loginOfRole[role.Role] // the one that may least comes last, and so first
			break
		}
	}
	s := r.of(t, login)
	for _, variable := range environ {
		if !strings.HasPrefix(variable, "INVOICER_DATABASE_URL=") { // that names the role, which is known
			s = s.with(variable)
		}
	}
	args, s = r.prepare(t, path, args, s)
	if path == "worker" || path == "serve" {
		p := s.start(t, args...)
		p.await(t, map[string]string{"worker": "worker started", "serve": "pages are served"}[path])
		p.signal(t, syscall.SIGTERM)
		if code := p.exit(t); code != exitOK {
			t.Errorf("%s: exit code %d: %s", told, code, p.stderr())
		}
		return
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), args, s.environ, strings.NewReader(""), &stdout, &stderr); code != exitOK {
		t.Errorf("%s, as %s: exit code %d: %s%s", told, login, code, &stdout, &stderr)
	}
}

// prepare puts real names into the place of those of the pages, and makes what the command needs.
func (r *rehearsal) prepare(t *testing.T, path string, args []string, s *site) ([]string, *site) {
	t.Helper()
	name := "checkout"
	switch path {
	case "worker quiet":
		name = r.workerName(t)
	case "queue take":
		name = "nobodys"
	case "queue pause", "queue resume":
		name = "bulk"
	}
	args = slices.Clone(args)
	for i, arg := range args {
		switch arg {
		case "name":
			args[i] = name
		case "ID":
			args[i] = "536365"
		case "SERIES":
			args[i] = "INV"
		case "TRANSACTION_ID":
			args[i] = "T-locked"
			key := "invoicer:" + r.Text(t, "SELECT id::text FROM database_identity") + ":lock:{T-locked}"
			must(t, r.rdb.Set(t.Context(), key, `{"holder":"nobody","worker":"nowhere","token":"x"}`, time.Minute).Err())
		case "JOB_ID":
			r.failedJobs++
			args[i] = fmt.Sprintf("job-%d", r.failedJobs)
			r.fail(t, args[i], "T-"+args[i], "failed", "planted", "checkout", r.queue, payloadOf("T-"+args[i], "GBP"), "1h")
			if path == "restore" {
				r.of(t, "operator").must(t, "dismiss", args[i], "--reason", "r")
			}
		case "/mnt/seals", "FOLDER":
			args[i] = r.in("seals")
		case "/secure/seal-key.pem", "seal-public.pem":
			args[i] = r.in(filepath.Base(arg))
		}
	}
	for i, arg := range args {
		if args[max(i-1, 0)] == "--against" && strings.HasPrefix(arg, "postgres://") { // the old server is this one
			for _, variable := range s.environ {
				if address, ok := strings.CutPrefix(variable, "INVOICER_DATABASE_URL="); ok {
					args[i] = address
				}
			}
		}
	}
	switch path {
	case "series recover": // as if a lost database had given out the next number
		memory := "invoicer:" + r.Text(t, "SELECT id::text FROM database_identity") + ":given"
		fields, err := r.rdb.HKeys(t.Context(), memory).Result()
		must(t, err)
		for _, field := range fields {
			if strings.HasPrefix(field, "timeline") {
				continue
			}
			must(t, r.rdb.HIncrBy(t.Context(), memory, field, 1).Err())
		}
		args = append(args, "--yes")
	case "series resume":
		r.of(t, "operator").run(t, "", "series", "pause", args[2]) // unless it is paused
	case "lock free", "queue take": // they ask at a terminal, and elsewhere for this
		args = append(args, "--yes")
	case "series close":
		if _, _, stderr := r.of(t, "operator").run(t, "", "series", "open", args[2], "--format", args[2]+"/{number}"); stderr != "" {
			t.Error(stderr)
		}
	case "document get":
		args[2] = "INV-000002" // another page has the first one's data erased
	case "handover cancel":
		args[2] = "INV-000002"
		r.Exec(t, "INSERT INTO handovers (invoice_id, channel) SELECT id, 'mail' FROM invoices WHERE invoice_number = $1", args[2])
	case "events endpoint add":
		r.of(t, "operator").run(t, "", "events", "endpoint", "remove", args[3])
	case "events endpoint test", "events endpoint enable", "events endpoint disable", "events endpoint rotate", "events endpoint remove":
		r.of(t, "operator").run(t, "", "events", "endpoint", "remove", args[3])
		r.of(t, "operator").must(t, "events", "endpoint", "add", args[3], "--url", r.hears, "--type", "invoice.created")
	case "health": // of a process whose port is a free one
		args = append(args, "--http-addr", strings.Trim(strings.TrimPrefix(r.worker.pages(t), "http://"), "/"))
	case "roles":
		if slices.Contains(args, "--apply") {
			s = r.of(t, "deploy")
		}
	case "migrate up", "migrate down": // there is nothing to lose
		s = newSiteOn(t, r.URL, "spare", r.redisURL)
		s.must(t, "migrate", "up")
	}
	return args, s
}

// workerName is that of the worker that runs.
func (r *rehearsal) workerName(t *testing.T) (name string) {
	t.Helper()
	rig.Within(t, 10*time.Second, func() error {
		var workers struct {
			Workers []struct {
				Name string `json:"name"`
			} `json:"workers"`
		}
		told := r.of(t, "auditor").must(t, "workers", "--json")
		if err := json.Unmarshal([]byte(told), &workers); err != nil {
			return err
		}
		if len(workers.Workers) == 0 {
			return fmt.Errorf("a worker in %s", told)
		}
		name = workers.Workers[0].Name
		return nil
	})
	return name
}
