package document_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"invoicer/internal/sample"
	"invoicer/internal/validator"
	"invoicer/invoice/document"
	"invoicer/invoice/document/check"
	"invoicer/invoice/document/cii"
	"invoicer/invoice/document/ubl"
)

// random returns so many documents of made-up jobs, always the same.
func random(t testing.TB, count int) (documents []*document.Document) {
	t.Helper()
	g := sample.New(sample.Options{Seed: 19, Elaborate: true, MaxLines: 1000, Currencies: []string{"EUR", "GBP", "JPY", "SEK", "HUF", "USD"}})
	r := rand.New(rand.NewPCG(19, 0))
	refused := 0
	for len(documents) < count {
		job := g.Next()
		if len(job.Lines) > 60 && len(documents)%50 != 0 {
			job.Lines = job.Lines[:1+r.IntN(20)]
		}
		job.CreditsTransactionID = "" // what it credits isn't there
		sample.Complete(r, &job)
		i, err := sample.Stored(&job, fmt.Sprintf("INV-%06d", len(documents)))
		if err != nil {
			if refused++; refused > 10+count/2 {
				t.Fatalf("%d jobs refused, the last one because %v", refused, err)
			}
			continue
		}
		d, err := document.Of(i, document.Facts{})
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, d)
	}
	t.Logf("%d jobs refused", refused)
	return documents
}

// files writes documents in all syntaxes of a profile, and returns the files' names.
func files(t testing.TB, folder string, documents []*document.Document, p document.Profile) (names []string) {
	t.Helper()
	for n, d := range documents {
		for syntax, write := range map[string]func(*document.Document, document.Profile) ([]byte, error){"ubl": ubl.Write, "cii": cii.Write} {
			if syntax == "ubl" && !p.HasUBL() || syntax == "cii" && !p.HasCII() {
				continue
			}
			content, err := write(d, p)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(folder, fmt.Sprintf("%s-%05d-%s.xml", p, n, syntax))
			if err := os.WriteFile(name, content, 0o600); err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
	}
	return names
}

// official returns the official validator, and skips the test where there is none.
func official(t testing.TB) validator.Validator {
	t.Helper()
	v, err := validator.Find()
	if err != nil {
		t.Skip(err)
	}
	return v
}

// judge returns what is wrong with the files.
func judge(t testing.TB, v validator.Validator, names []string, options ...string) []validator.Report {
	t.Helper()
	reports, err := v.Validate(t.Context(), names, options...)
	if errors.Is(err, validator.ErrNone) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return reports
}

// expectValid reports each file that isn't valid.
func expectValid(t testing.TB, reports []validator.Report) {
	t.Helper()
	bad := 0
	for _, r := range reports {
		if r.Fired == 0 {
			t.Errorf("%s: no rule found anything", r.File)
		}
		failures := slices.DeleteFunc(r.Failures, func(f validator.Failure) bool {
			return f.Flag != "fatal" && f.Ruleset != "en16931" // what XRechnung and Peppol only warn of
		})
		if len(failures) == 0 {
			continue
		}
		if bad++; bad > 10 {
			continue
		}
		for n, f := range failures {
			if n < 3 {
				t.Errorf("%s: %s", filepath.Base(r.File), f)
			}
		}
	}
	if bad > 0 {
		t.Errorf("%d of %d files aren't valid", bad, len(reports))
	}
}

// addUp has check read the files: nothing is off in them.
func addUp(t testing.TB, names []string) {
	t.Helper()
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := check.Read(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, finding := range r.Findings {
			t.Errorf("%s: %s", filepath.Base(name), finding)
		}
	}
}

// hasBothPrices reports whether some lines have prices with tax and others without.
func hasBothPrices(d *document.Document) bool {
	with, without := d.Gross != nil, d.Gross == nil
	for n := range d.Lines {
		with, without = with || d.Lines[n].GrossPrice != nil, without || d.Lines[n].GrossPrice == nil
	}
	return with && without
}

func TestRandomDocumentsAreValid(t *testing.T) {
	t.Parallel()
	v := official(t)
	folder := t.TempDir()
	documents := random(t, count)
	names := files(t, folder, documents, document.EN16931)
	expectValid(t, judge(t, v, names))
	aside := t.TempDir()
	for _, d := range documents {
		if !hasBothPrices(d) { // with both, the tax may be off by nearly two of the smallest amount
			addUp(t, files(t, aside, []*document.Document{d}, document.EN16931))
		}
	}

	// A validator that never says no proves nothing.
	content, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(folder, "broken.xml")
	without := strings.Replace(string(content), ">INV-000000<", "><", 1)
	if without == string(content) {
		t.Fatal("nothing is broken")
	}
	if err := os.WriteFile(broken, []byte(without), 0o600); err != nil {
		t.Fatal(err)
	}
	if reports := judge(t, v, []string{broken}); reports[0].OK {
		t.Error("a document without a number is valid")
	}
}

// count is how many random documents are judged.
const count = 500

// fewer are enough where each of them is judged by all profiles.
func fewer() int {
	if testing.Short() {
		return 60
	}
	return count
}
