package main

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A year's documents are written as one file, which is there whole or not at all, with an index that says what each is and what there isn't.
func TestDocumentsOfAYear(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	w := s.start(t, "worker")
	w.await(t, "worker started")
	var jobs strings.Builder
	for _, one := range []struct{ id, day, name string }{
		{"T1", "2025-01-01T00:30:00Z", "Ada"}, {"T2", "2024-12-31T23:30:00Z", "Bob"}, {"T3", "2025-12-31T23:59:59Z", "株式会社"}, {"T4", "2026-01-01T00:00:00Z", "Eve"},
	} {
		jobs.WriteString(`{"transaction_id":"` + one.id + `","issued_at":"` + one.day + `","currency":"EUR","customer_name":"` + one.name + `","lines":[{"quantity":1,"unit_price":"2.50"}]}` + "\n")
	}
	if code, _, stderr := s.run(t, jobs.String(), "enqueue", "-", "--queue", s.queue, "--durable"); code != exitOK {
		t.Fatal(stderr)
	}
	s.awaitEnds(t, 4)
	numbers := make(map[string]string)
	for _, id := range []string{"T1", "T2", "T3", "T4"} {
		numbers[id] = s.Text(t, "SELECT invoice_number FROM invoices WHERE transaction_id = $1", id)
	}
	folder := t.TempDir()
	export := func(name string, args ...string) (code int, stderr string, content []byte) {
		t.Helper()
		file := filepath.Join(folder, name)
		code, _, stderr = s.run(t, "", append([]string{"document", "export", "-o", file}, args...)...)
		content, _ = os.ReadFile(file)
		return code, stderr, content
	}
	files := func(content []byte) (names []string) {
		t.Helper()
		z, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
		must(t, err)
		for _, f := range z.File {
			names = append(names, f.Name)
		}
		return names
	}
	code, stderr, first := export("2025.zip", "--year", "2025", "--format", "pdf,ubl")
	if code != 1 || !strings.Contains(stderr, "not every document can be made") || !strings.Contains(stderr, numbers["T3"]) || strings.Contains(stderr, numbers["T1"]) {
		t.Errorf("%d %s", code, stderr)
	}
	want := "pdf/" + numbers["T1"] + ".pdf ubl/" + numbers["T1"] + ".xml ubl/" + numbers["T3"] + ".xml index.json index.csv"
	if numbers["T3"] < numbers["T1"] {
		want = "ubl/" + numbers["T3"] + ".xml pdf/" + numbers["T1"] + ".pdf ubl/" + numbers["T1"] + ".xml index.json index.csv"
	}
	if got := strings.Join(files(first), " "); got != want {
		t.Errorf("there are %s, want %s", got, want)
	}
	z, err := zip.NewReader(bytes.NewReader(first), int64(len(first)))
	must(t, err)
	index, err := z.Open("index.csv")
	must(t, err)
	rows, err := csv.NewReader(index).ReadAll()
	must(t, err)
	for _, row := range rows[1:] {
		kept := s.Text(t, "SELECT coalesce((SELECT encode(sha256, 'hex') || ' ' || size FROM documents JOIN invoices ON invoices.id = invoice_id WHERE invoice_number = $1 AND format = $2), ' 0')", row[0], row[6])
		if kept != row[8]+" "+row[9] || row[4] != "EUR" || row[5] != "2.50" || (row[10] == "") == (row[7] == "") {
			t.Errorf("%v, kept is %s", row, kept)
		}
	}
	if _, _, second := export("again.zip", "--year", "2025", "--format", "pdf,ubl"); !bytes.Equal(first, second) {
		t.Error("other bytes the second time")
	}
	if code, stderr, one := export("day.zip", "--from", "2026-01-01", "--to", "2026-01-01"); code != exitOK || len(files(one)) != 3 || !strings.Contains(stderr, "invoices: 1, files: 1") {
		t.Errorf("of a day: %d %s", code, stderr)
	}
	if code, _, one := export("none.zip", "--year", "2025", "--series", "NONE"); code != exitOK || len(files(one)) != 2 {
		t.Errorf("of no series: %d", code)
	}
	code, stdout, stderr := s.run(t, "", "document", "export", "--year", "2024", "-o", "-")
	if code != exitOK || len(files([]byte(stdout))) != 3 {
		t.Errorf("to the standard output: %d %s", code, stderr)
	}
	for _, c := range []struct {
		args  []string
		wants []string
	}{
		{[]string{"-o", "x"}, []string{"--year is missing"}},
		{[]string{"--year", "2026"}, []string{"-o is missing"}},
		{[]string{"--year", "26", "--format", "docx", "-o", "x"}, []string{"--year 26", "--format docx"}},
		{[]string{"--year", "2026", "--from", "2026-02-30", "-o", "x"}, []string{"leave one of them out", `--from "2026-02-30"`}},
		{[]string{"--from", "2026-02-01", "--to", "2026-01-01", "-o", "x"}, []string{"is before"}},
	} {
		code, _, stderr := s.run(t, "", append([]string{"document", "export"}, c.args...)...)
		if code != exitUsage {
			t.Errorf("%v: exit code %d", c.args, code)
		}
		for _, part := range c.wants {
			if !strings.Contains(stderr, part) {
				t.Errorf("%v: it doesn't say %s: %s", c.args, part, stderr)
			}
		}
	}
	// What fails leaves what was there, and nothing else.
	s.change(t, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = 'disk_full'; END $$")
	s.change(t, "CREATE TRIGGER a_refuse BEFORE INSERT ON documents FOR EACH ROW EXECUTE FUNCTION refuse()")
	if code, _, after := export("2025.zip", "--year", "2025", "--format", "cii"); code != 1 || !bytes.Equal(after, first) {
		t.Errorf("one that fails: %d", code)
	}
	left, err := os.ReadDir(folder)
	must(t, err)
	for _, f := range left {
		if !strings.HasSuffix(f.Name(), ".zip") {
			t.Errorf("%s is left", f.Name())
		}
	}
}
