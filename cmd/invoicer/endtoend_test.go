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

// The whole way, by the commands as people type them: a file, asked for three times over, two worker processes, audit.
func TestEndToEnd(t *testing.T) {
	t.Parallel()
	t.Run("a real day", func(t *testing.T) {
		t.Parallel()
		folder := os.Getenv("INVOICER_TEST_DATA")
		if folder == "" {
			t.Skip("INVOICER_TEST_DATA names no folder with online_retail_sample_2010-12-01.jsonl")
		}
		s := asThreeTimes(t, filepath.Join(folder, "online_retail_sample_2010-12-01.jsonl"), 143)
		if got := s.Text(t, "SELECT sum(total_minor) || ' ' || (SELECT count(*) FROM invoice_lines) FROM invoices"); got != "5863556 3108" {
			t.Errorf("sum and lines: %s, want 5863556 3108", got)
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
		s := asThreeTimes(t, file, transactions)
		for key, want := range sums {
			kind, currency, _ := strings.Cut(key, " ")
			if got := s.Count(t, "SELECT sum(total_minor) FROM invoices WHERE kind = $1 AND currency = $2", kind, currency); int64(got) != want {
				t.Errorf("%s: %d, want %d (seed %d)", key, got, want, seed)
			}
		}
	})
}

func asThreeTimes(t *testing.T, file string, transactions int) *site {
	t.Helper()
	s := sharedSite(t)
	s.start(t, "worker")
	s.start(t, "worker")
	if code, _, stderr := s.run(t, "", "enqueue", file, "--copies", "3", "--queue", s.queue); code != 0 {
		t.Fatalf("enqueue: exit code %d, %s", code, stderr)
	}
	s.awaitEnds(t, 3*transactions)
	if invoices, duplicates := s.Count(t, "SELECT count(*) FROM invoices"), s.Count(t, "SELECT count(*) FROM duplicate_attempts"); invoices != transactions || duplicates != 2*transactions {
		t.Errorf("%d invoices and %d duplicates of %d transactions", invoices, duplicates, transactions)
	}
	if code, stdout, _ := s.run(t, "", "audit"); code != 0 {
		t.Errorf("audit: exit code %d, %s", code, stdout)
	}
	return s
}

func TestDemo(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandboxtest.PrivateRedis(t).URL) // its queue has one name
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
