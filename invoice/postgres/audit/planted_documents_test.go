package audit_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"invoicer/internal/objects"
	"invoicer/invoice/postgres/audit"
)

// A document isn't what was handed out.
func TestHandedOut(t *testing.T) {
	t.Parallel()
	const made = `INSERT INTO documents (invoice_id, format, language, copy, content, size, sha256, renderer, rules) VALUES (1, 'ubl', '', false, 'a name', 6, sha256('a name'), 'v1', 'en16931');`
	const row = "id=1 invoice_number=INV-000001 invoice_id=1 format=ubl language="
	found := func(what string) map[string][]string {
		return map[string][]string{"documents": {"documents: " + what + ": " + row}}
	}
	testPlantedIn(t, setup, []planted{
		{name: "other bytes", sql: made + "UPDATE documents SET content = 'A name'", want: found("its bytes are not those that were handed out")},
		{name: "another hash", sql: made + "UPDATE documents SET sha256 = sha256('x')", want: found("its bytes are not those that were handed out")},
		{name: "bytes that are gone", sql: made + "UPDATE documents SET content = NULL, erased_at = now()", want: found("its bytes are gone, and its invoice was not erased")},
	})
	testPlantedIn(t, erased, []planted{
		{name: "bytes of an erased invoice", sql: made, want: found("its invoice was erased, and its bytes are kept")},
	})
}

// Bytes outside of the database are hashed, and an object that is missing or changed is named with its invoice and place; what isn't looked at is
// counted.
func TestHandedOutOfAFolder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	folder := t.TempDir()
	keeper, err := objects.New(objects.Options{Store: "folder:" + folder})
	if err != nil {
		t.Fatal(err)
	}
	var places []string
	plant := func(language, content, place string) {
		b.unguarded(t, fmt.Sprintf(`INSERT INTO documents (invoice_id, format, language, copy, place, size, sha256, renderer, rules) VALUES (1, 'pdf', '%s', true, '%s', %d, sha256('%s'), '', '')`, language, place, len(content), content))
	}
	for n, content := range []string{"whole", "altered", "gone", "cut"} {
		place := keeper.Place(1, sha256.Sum256([]byte(content)))
		if err := keeper.Put(t.Context(), place, []byte(content), func(context.Context, string) (bool, error) { return false, nil }); err != nil {
			t.Fatal(err)
		}
		plant([]string{"de", "en", "es", "fr"}[n], content, place)
		places = append(places, place)
	}
	path := func(n int) string { return strings.TrimPrefix(places[n], "folder:") }
	if err := errors.Join(os.WriteFile(path(1), []byte("Altered"), 0o600), os.Remove(path(2)), os.Truncate(path(3), 2)); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("in a bucket"))
	plant("it", "in a bucket", fmt.Sprintf("s3://bucket/%x/1-%x", sum[:1], sum))
	b.exec(t, "INSERT INTO document_leftovers (place, invoice_id, state, written_until, due_at, since) VALUES ('folder:/away', 1, 'erased', now(), now(), '2026-01-02')")
	run := func(with audit.Objects) *audit.Report {
		report, err := audit.Run(t.Context(), audit.Options{URL: b.URL, Schema: b.Schema, Objects: with})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	report := run(unset{keeper})
	got := strings.Join(broken(report)["documents"], "\n")
	for _, want := range []string{
		"documents: its bytes are not those that were handed out: id=2 invoice_number=INV-000001 invoice_id=1 format=pdf language=en place=" + places[1],
		"documents: its bytes can't be read: " + places[2] + ": there is no such object: id=3 invoice_number=INV-000001",
		"documents: its bytes are not those that were handed out: id=4",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("it doesn't find\n%s\nin\n%s", want, got)
		}
	}
	if o := report.Objects; strings.Count(got, "\n") != 2 || o.Hashed != 4 || o.Unhashed != 1 || o.Leftovers != 1 || o.LeftoversSince.Year() != 2026 {
		t.Errorf("%+v, and found\n%s", o, got)
	}
	if report := run(nil); !report.OK() && len(broken(report)["documents"]) > 0 || report.Objects.Hashed != 0 || report.Objects.Unhashed != 5 {
		t.Errorf("told of no objects: %+v, %v", report.Objects, broken(report))
	}
}

// unset says of a bucket, as the command does, that nobody has said how it is reached.
type unset struct{ *objects.Keeper }

func (u unset) Open(ctx context.Context, place string) (io.ReadCloser, error) {
	from, err := u.Keeper.Open(ctx, place)
	if errors.Is(err, objects.ErrUnset) {
		err = errors.Join(audit.ErrUnset, err)
	}
	return from, err
}
