package seals_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"invoicer/internal/seals"
)

// A folder that a release made which knew no issuers is read as it was, and what is sealed without issuers is sealed byte for byte
// as then.
func TestWithoutIssuers(t *testing.T) {
	t.Parallel()
	const golden = "testdata/without-issuers"
	f := open(t, golden, nil)
	if diff := cmp.Diff([]string{"1 FR-1 T-FR-1", "1 INV-1 T-INV-1", "2 INV-2 T-INV-2"}, entries(t, f)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if head := f.Heads()[slotOf("INV")]; head.Number != 2 || head.Chain != "link 2 of INV" || len(f.Heads()) != 2 {
		t.Errorf("heads %v", f.Heads())
	}

	dir := t.TempDir()
	seal(t, dir, theSigner, nil, "FR", "INV")
	seal(t, dir, theSigner, nil, "INV")
	if diff := cmp.Diff(files(t, golden), files(t, dir)); diff != "" {
		t.Errorf("the folder (-want +got):\n%s", diff)
	}
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[name.Name()] = string(text)
	}
	return all
}

// Series of the same name are apart by their issuers, and a release that knows no issuers refuses to read them.
func TestIssuers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	seal(t, dir, theSigner, nil, "INV", "ACME-DE/INV", "ACME-FR/INV")
	seal(t, dir, theSigner, nil, "ACME-DE/INV")
	seal(t, dir, theSigner, nil, "INV")
	f := open(t, dir, nil)
	want := []string{
		"1 INV-1 T-INV-1", "3 INV-2 T-INV-2", "1 ACME-DE/INV-1 T-ACME-DE/INV-1", "2 ACME-DE/INV-2 T-ACME-DE/INV-2",
		"1 ACME-FR/INV-1 T-ACME-FR/INV-1",
	}
	if diff := cmp.Diff(want, entries(t, f)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	heads := make(map[seals.Slot]int64)
	for slot, head := range f.Heads() {
		heads[slot] = head.Number
	}
	if diff := cmp.Diff(map[seals.Slot]int64{slotOf("INV"): 2, slotOf("ACME-DE/INV"): 2, slotOf("ACME-FR/INV"): 1}, heads); diff != "" {
		t.Errorf("heads (-want +got):\n%s", diff)
	}
	for i, want := range []int{2, 2, 1} {
		if f.Seals()[i].Format != want {
			t.Errorf("seal %d has format %d, want %d", i+1, f.Seals()[i].Format, want)
		}
	}
	edited := files(t, dir)["000003.seal"]
	if !strings.HasPrefix(edited, `{"format":1,`) {
		t.Errorf("seal 3 is %s", edited)
	}
}
