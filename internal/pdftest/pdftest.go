// Package pdftest looks into PDF files for tests, with qpdf and Poppler.
package pdftest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"invoicer/internal/sandbox/programs"
)

// run runs a program on a file, and returns what it prints. The test is skipped where there is no such program.
func run(t testing.TB, file []byte, program string, args ...string) string {
	t.Helper()
	if _, err := programs.Find(programs.QPDF); err != nil {
		t.Skipf("NOT TESTED: %v", err)
	}
	path := filepath.Join(t.TempDir(), "it.pdf")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	for n := range args {
		args[n] = strings.ReplaceAll(args[n], "FILE", path)
	}
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Check fails the test if qpdf finds a fault in the file.
func Check(t testing.TB, file []byte) {
	t.Helper()
	if out := run(t, file, "qpdf", "--check", "FILE"); strings.Contains(strings.ToLower(out), "warning") {
		t.Errorf("qpdf --check: %s", out)
	}
}

// Text returns the file's text in reading order of its pages, with single blanks, and no-break spaces as blanks.
func Text(t testing.TB, file []byte) string {
	t.Helper()
	return Spaced(run(t, file, "pdftotext", "-layout", "-nopgbrk", "FILE", "-"))
}

// Page returns the text of one page, from 1.
func Page(t testing.TB, file []byte, page int) string {
	t.Helper()
	n := strconv.Itoa(page)
	return Spaced(run(t, file, "pdftotext", "-f", n, "-l", n, "-layout", "-nopgbrk", "FILE", "-"))
}

// Raw returns the file's text in the order in which it was drawn.
func Raw(t testing.TB, file []byte) string {
	t.Helper()
	return Spaced(run(t, file, "pdftotext", "-raw", "-nopgbrk", "FILE", "-"))
}

// Spaced makes all white space of a text single blanks.
func Spaced(s string) string { return strings.Join(strings.Fields(s), " ") }

// Objects are what is in a file, by names such as "obj:3 0 R". A value is as encoding/json reads it; a stream is an object with the
// member stream.
type Objects map[string]any

// Read returns all objects of a file. Streams are without their data.
func Read(t testing.TB, file []byte) Objects {
	t.Helper()
	out := run(t, file, "qpdf", "--json=2", "--json-key=qpdf", "--json-stream-data=none", "FILE")
	var parsed struct {
		QPDF []Objects `json:"qpdf"`
	}
	if err := json.Unmarshal([]byte(out), &parsed); err != nil || len(parsed.QPDF) != 2 {
		t.Fatalf("qpdf --json: %v\n%.500s", err, out)
	}
	return parsed.QPDF[1]
}

// Stream returns the uncompressed data of a stream, by its reference.
func Stream(t testing.TB, file []byte, ref string) string {
	t.Helper()
	number, _, _ := strings.Cut(ref, " ")
	return run(t, file, "qpdf", "--show-object="+number, "--filtered-stream-data", "FILE")
}

// Get follows a path from an object through dictionaries, arrays and references.
func (o Objects) Get(from any, path ...string) any {
	at := o.resolve(from)
	for _, step := range path {
		switch v := at.(type) {
		case map[string]any:
			at = o.resolve(v[step])
		case []any:
			if step != "0" || len(v) == 0 {
				return nil
			}
			at = o.resolve(v[0])
		default:
			return nil
		}
	}
	return at
}

func (o Objects) resolve(v any) any {
	for {
		if ref, ok := v.(string); ok && strings.HasSuffix(ref, " R") {
			v = o["obj:"+ref]
		}
		m, ok := v.(map[string]any)
		if !ok {
			return v
		}
		if inner, has := m["value"]; has && len(m) == 1 {
			v = inner
			continue
		}
		if stream, has := m["stream"]; has && len(m) == 1 {
			s, _ := stream.(map[string]any)
			return s["dict"]
		}
		return v
	}
}

// Trailer returns the file's trailer.
func (o Objects) Trailer() any { return o.resolve(o["trailer"]) }

// Catalog returns the file's root.
func (o Objects) Catalog() any { return o.Get(o.Trailer(), "/Root") }
