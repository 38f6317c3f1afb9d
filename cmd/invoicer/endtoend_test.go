package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"invoicer/internal/sample"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
)

// The whole way, by the commands as people type them: a file, asked for three times over, two worker processes, audit. By HTTP it comes to
// the same.
func TestEndToEnd(t *testing.T) {
	t.Parallel()
	t.Run("a real day", func(t *testing.T) {
		t.Parallel()
		folder := os.Getenv("INVOICER_TEST_DATA")
		if folder == "" {
			t.Skip("INVOICER_TEST_DATA names no folder with online_retail_sample_2010-12-01.jsonl")
		}
		for way, s := range bothWays(t, filepath.Join(folder, "online_retail_sample_2010-12-01.jsonl"), 143) {
			if got := s.Text(t, "SELECT sum(total_minor) || ' ' || (SELECT count(*) FROM invoice_lines) FROM invoices"); got != "5863556 3108" {
				t.Errorf("%s: sum and lines: %s, want 5863556 3108", way, got)
			}
		}
	})
	t.Run("made up", func(t *testing.T) {
		t.Parallel()
		const transactions, seed = 400, 20101201
		file := filepath.Join(t.TempDir(), "made-up.jsonl")
		var lines []byte
		sums := map[string]int64{}
		g := sample.New(sample.Options{Seed: seed, Elaborate: true, Terms: true, Currencies: []string{"GBP", "JPY", "BHD"}})
		for range transactions {
			j := g.Next()
			document, err := j.Calculate()
			if err != nil {
				t.Fatal(err)
			}
			sums[string(document.Kind)+" "+j.Currency] += document.Total
			payload, err := j.Encode()
			if err != nil {
				t.Fatal(err)
			}
			lines = append(append(lines, payload...), '\n')
		}
		if err := os.WriteFile(file, lines, 0o600); err != nil {
			t.Fatal(err)
		}
		for way, s := range bothWays(t, file, transactions) {
			for key, want := range sums {
				kind, currency, _ := strings.Cut(key, " ")
				if got := s.Count(t, "SELECT sum(total_minor) FROM invoices WHERE kind = $1 AND currency = $2", kind, currency); int64(got) != want {
					t.Errorf("%s: %s: %d, want %d (seed %d)", way, key, got, want, seed)
				}
			}
		}
	})
}

// bothWays has a file asked for three times over by the command, through Redis, and by HTTP. Both come to the same documents.
func bothWays(t *testing.T, file string, transactions int) map[string]*site {
	t.Helper()
	sites := map[string]*site{"redis": sharedSite(t), "http": sharedSite(t)}
	made := make(map[string]string)
	for way, s := range sites {
		workers := []*process{s.start(t, "worker"), s.start(t, "worker")}
		if way == "http" {
			s.postThreeTimes(t, file, transactions, workers)
		} else if code, _, stderr := s.run(t, "", "enqueue", file, "--copies", "3", "--queue", s.queue); code != 0 {
			t.Fatalf("enqueue: exit code %d, %s", code, stderr)
		}
		s.judgeThreeTimes(t, transactions)
		made[way] = s.Text(t, `SELECT md5(string_agg(concat_ws(' ', transaction_id, kind, series, fingerprint, currency, subtotal_minor, tax_minor, total_minor,
    (SELECT string_agg(concat_ws(' ', position, sku, quantity, unit_price, net_minor), ',' ORDER BY position) FROM invoice_lines WHERE invoice_id = i.id)), E'\n' ORDER BY transaction_id COLLATE "C"))
FROM invoices i`)
	}
	if made["redis"] != made["http"] {
		t.Error("the documents made by HTTP are other ones than those through Redis")
	}
	return sites
}

// judgeThreeTimes awaits the ends of three jobs for each transaction, and of those of which a client wasn't told that they were accepted.
func (s *site) judgeThreeTimes(t *testing.T, transactions int) {
	t.Helper()
	jobs := max(3*transactions, s.Count(t, "SELECT count(*) FROM invoice_jobs"))
	s.awaitEnds(t, jobs)
	if invoices, duplicates := s.Count(t, "SELECT count(*) FROM invoices"), s.Count(t, "SELECT count(*) FROM duplicate_attempts"); invoices != transactions || duplicates != jobs-transactions {
		t.Errorf("%d invoices and %d duplicates of %d transactions", invoices, duplicates, transactions)
	}
	if code, stdout, _ := s.run(t, "", "audit"); code != 0 {
		t.Errorf("audit: exit code %d, %s", code, stdout)
	}
}

func TestDemo(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandboxtest.PrivateRedis(t).URL) // its queue has one name
	s.leavesRoles(t)
	code, stdout, stderr := s.run(t, "", "demo", "--transactions", "60", "--copies", "3")
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	for _, want := range []string{"3 producers ask for the invoices of the same\n60 transactions", "created", "duplicate", "conflict", "invalid", "The audit"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("it doesn't tell of %q:\n%s", want, stdout)
		}
	}
	if invoices, duplicates, failed := s.Count(t, "SELECT count(*) FROM invoices"), s.Count(t, "SELECT count(*) FROM duplicate_attempts"), s.Count(t, "SELECT count(*) FROM invoice_jobs"); invoices != 60 || duplicates != 120 || failed != 5 {
		t.Errorf("%d invoices, %d duplicates, %d failed", invoices, duplicates, failed)
	}
	if code, _, stderr := s.run(t, "", "demo"); code != 1 || !strings.Contains(stderr, "--force") {
		t.Errorf("over somebody's invoices: exit code %d, %s", code, stderr)
	}
	code, stdout, stderr = s.run(t, `{"transaction_id":"X1","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":"2.55"}]}`,
		"demo", "--force", "--json", "--input", "-", "--copies", "2")
	var told struct {
		Jobs     int
		Outcomes map[invoice.Outcome]int
		Audit    struct{ OK bool }
	}
	if err := json.Unmarshal([]byte(stdout), &told); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v, %s%s", code, err, stdout, stderr)
	}
	if told.Jobs != 2 || told.Outcomes[invoice.Created] != 1 || told.Outcomes[invoice.Duplicate] != 1 || !told.Audit.OK {
		t.Errorf("told %+v", told)
	}
}
