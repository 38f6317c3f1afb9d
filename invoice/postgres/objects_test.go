package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"invoicer/internal/fault"
	"invoicer/internal/objects"
	"invoicer/invoice/document"
	"invoicer/invoice/postgres"
)

// outside has documents be kept in a folder, and returns it.
func outside(t *testing.T) (folder string, keeper *objects.Keeper, change func(*postgres.Options)) {
	t.Helper()
	folder = t.TempDir()
	keeper, err := objects.New(objects.Options{Store: "folder:" + folder})
	if err != nil {
		t.Fatal(err)
	}
	return folder, keeper, func(o *postgres.Options) { o.Objects = keeper }
}

// objectsIn returns the paths of a folder's objects, and of what was left of writing some.
func objectsIn(t *testing.T, folder string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && filepath.Dir(path) != folder {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// sweep deletes what is to be deleted, as if what is due within so long were due now.
func (b *site) sweep(t *testing.T, keeper *objects.Keeper, ahead time.Duration) (deleted int) {
	t.Helper()
	b.Exec(t, "UPDATE document_leftovers SET due_at = due_at - $1 * interval '1 second', written_until = written_until - $1 * interval '1 second'", ahead.Seconds())
	list, err := b.store.Documents.ClaimLeftovers(t.Context(), 100, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		if err := errors.Join(keeper.Delete(t.Context(), l.Place), b.store.Documents.SettleLeftover(t.Context(), l)); err != nil {
			t.Fatal(err)
		}
	}
	return len(list)
}

// Bytes that are kept in a folder are handed out as long as they are there and are what they were; the row says where they are, and stays.
func TestDocumentsInAFolder(t *testing.T) {
	t.Parallel()
	folder, _, outside := outside(t)
	b := setup(t, outside)
	id := b.invoiced(t, "T1")
	made := document.Kept{InvoiceID: id, Format: document.AsUBL, Content: []byte("a name"), Renderer: "v1"}
	kept, err := b.store.Documents.Keep(t.Context(), made)
	paths := objectsIn(t, folder)
	if err != nil || len(paths) != 1 || kept.Place != "folder:"+paths[0] || string(kept.Content) != "a name" || kept.Size != 6 {
		t.Fatalf("%+v, %v: %v", kept, err, paths)
	}
	if n := b.Count(t, "SELECT count(*) FROM documents WHERE content IS NULL AND erased_at IS NULL AND place = $1", kept.Place); n != 1 {
		t.Error("the row isn't right")
	}
	find := func() (document.Kept, error) {
		return b.store.Documents.Find(t.Context(), id, document.AsUBL, nil)
	}
	if again, err := find(); err != nil || !bytes.Equal(again.Content, made.Content) {
		t.Errorf("found %+v, %v", again, err)
	}
	if inside, err := b.open(t).Documents.Find(t.Context(), id, document.AsUBL, nil); err == nil || inside.Content != nil {
		t.Errorf("a program that isn't told of folders hands out %q, %v", inside.Content, err)
	}
	for _, statement := range []string{
		"UPDATE documents SET place = replace(place, 'folder:', 'folder:/other')", "UPDATE documents SET place = NULL, content = 'a name'",
		"UPDATE documents SET place = NULL, erased_at = now()", "DELETE FROM documents",
		"INSERT INTO documents (invoice_id, format, language, copy, size, sha256, renderer, rules) SELECT invoice_id, 'cii', '', false, size, sha256, '', '' FROM documents",
		"INSERT INTO documents (invoice_id, format, language, copy, place, size, sha256, renderer, rules) SELECT invoice_id, 'cii', '', false, place || '0', size, sha256, '', '' FROM documents",
		"INSERT INTO documents (invoice_id, format, language, copy, place, size, sha256, renderer, rules) SELECT invoice_id, 'cii', '', false, replace(place, 'folder:', 'folder:/never/written'), size, sha256, '', '' FROM documents",
	} {
		if _, err := b.DB.ExecContext(t.Context(), statement); err == nil {
			t.Errorf("%s went through", statement)
		}
	}
	for _, other := range []string{"b name", "a name and more", ""} {
		if err := os.WriteFile(paths[0], []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		kept, err := find()
		if !errors.Is(err, document.ErrAltered) || kept.Content != nil || !strings.Contains(err.Error(), "INV-000001") || !strings.Contains(err.Error(), paths[0]) {
			t.Errorf("with other bytes: %+v, %v", kept, err)
		}
	}
	if err := os.Remove(paths[0]); err != nil {
		t.Fatal(err)
	}
	if kept, err := find(); !errors.Is(err, objects.ErrNone) || kept.Content != nil || !strings.Contains(err.Error(), "INV-000001") {
		t.Errorf("without bytes: %+v, %v", kept, err)
	}
	if err := errors.Join(os.RemoveAll(folder), os.Mkdir(folder, 0o700)); err != nil { // as where it isn't mounted any more
		t.Fatal(err)
	}
	if _, err := b.store.Documents.Keep(t.Context(), document.Kept{InvoiceID: id, Format: document.AsCII, Content: []byte("a name")}); err == nil || !strings.Contains(err.Error(), "is it mounted?") {
		t.Errorf("kept in the place of a folder that isn't mounted: %v", err)
	}
}

// Who dies after the bytes are written and before the row is leaves an object, and no document; the object is deleted unless it gets its document.
func TestDyingBetweenBytesAndRow(t *testing.T) {
	t.Parallel()
	folder, keeper, outside := outside(t)
	died := errors.New("died")
	var dies bool
	b := setup(t, outside, planted(func(_ context.Context, p fault.Point) error {
		if p == fault.Stored && dies {
			return died
		}
		return nil
	}))
	id := b.invoiced(t, "T1")
	made := document.Kept{InvoiceID: id, Format: document.AsUBL, Content: []byte("a name")}
	dies = true
	if _, err := b.store.Documents.Keep(t.Context(), made); !errors.Is(err, died) {
		t.Fatal(err)
	}
	if _, err := b.store.Documents.Find(t.Context(), id, document.AsUBL, nil); !errors.Is(err, document.ErrNone) || len(objectsIn(t, folder)) != 1 {
		t.Errorf("found %v, %v", err, objectsIn(t, folder))
	}
	if n := b.sweep(t, keeper, 0); n != 0 || len(objectsIn(t, folder)) != 1 {
		t.Error("the object is deleted while somebody may write it")
	}
	dies = false
	if _, err := b.store.Documents.Keep(t.Context(), made); err != nil {
		t.Error(err)
	}
	if n := b.sweep(t, keeper, time.Hour); n != 0 || len(objectsIn(t, folder)) != 1 || b.Count(t, "SELECT count(*) FROM document_leftovers") != 0 {
		t.Error("the object of a document is deleted, or is still announced")
	}

	dies, made.Format, made.Content = true, document.AsCII, []byte("another name")
	if _, err := b.store.Documents.Keep(t.Context(), made); !errors.Is(err, died) || len(objectsIn(t, folder)) != 2 {
		t.Fatal(err)
	}
	b.Exec(t, "UPDATE document_leftovers SET due_at = now()")
	list, err := b.store.Documents.ClaimLeftovers(t.Context(), 10, 0)
	if err != nil || len(list) != 1 || list[0].InvoiceID != id || list[0].Attempts != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	dies = false
	if _, err := b.store.Documents.Keep(t.Context(), made); err == nil { // while the object is being deleted
		t.Error("a document has got an object that is being deleted")
	}
	if err := b.store.Documents.PutOffLeftover(t.Context(), list[0], errors.New("away\x00"), 0); err != nil {
		t.Error(err)
	}
	b.Exec(t, "UPDATE document_leftovers SET written_until = now() - interval '5 minutes'")
	if n, failing, oldest, err := b.store.Documents.Leftovers(t.Context()); err != nil || n != 1 || failing != 1 || time.Since(oldest) < 5*time.Minute {
		t.Errorf("%d leftovers, %d failing, %v, %v", n, failing, oldest, err)
	}
	if n := b.sweep(t, keeper, 0); n != 1 || len(objectsIn(t, folder)) != 1 {
		t.Errorf("%d deleted: %v", n, objectsIn(t, folder))
	}
	if n, _, _, err := b.store.Documents.Leftovers(t.Context()); err != nil || n != 0 {
		t.Errorf("%d leftovers, %v", n, err)
	}
	if _, err := b.store.Documents.Keep(t.Context(), made); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// Of several that make the same document at once one decides; the objects of the others are deleted, and its own never.
func TestObjectsOfThoseWhoWereLate(t *testing.T) {
	t.Parallel()
	folder, keeper, outside := outside(t)
	b := setup(t, outside)
	id := b.invoiced(t, "T1")
	var got [8]document.Kept
	var together sync.WaitGroup
	for n := range got {
		together.Go(func() {
			var err error
			if got[n], err = b.store.Documents.Keep(t.Context(), document.Kept{InvoiceID: id, Format: document.AsUBL, Content: []byte{'a' + byte(n/2)}}); err != nil {
				t.Error(err)
			}
		})
	}
	together.Wait()
	for n := range got {
		if !bytes.Equal(got[n].Content, got[0].Content) || got[n].Place != got[0].Place {
			t.Errorf("%d hands out %+v, and another %+v", n, got[n], got[0])
		}
	}
	b.sweep(t, keeper, time.Hour)
	if left := objectsIn(t, folder); len(left) != 1 || "folder:"+left[0] != got[0].Place {
		t.Errorf("left are %v, and the document has %s", left, got[0].Place)
	}
	if kept, err := b.store.Documents.Find(t.Context(), id, document.AsUBL, nil); err != nil || !bytes.Equal(kept.Content, got[0].Content) {
		t.Errorf("%+v, %v", kept, err)
	}
}

// Erasing an invoice takes its objects, those too that somebody may still be writing, which go once more when nobody may any longer.
func TestErasingTakesObjects(t *testing.T) {
	t.Parallel()
	folder, keeper, outside := outside(t)
	var dies bool
	b := setup(t, outside, patient, planted(func(_ context.Context, p fault.Point) error {
		if p == fault.Stored && dies {
			return errors.New("died")
		}
		return nil
	}))
	id := b.invoiced(t, "T1")
	keep := func(format document.Format, content string) error {
		_, err := b.store.Documents.Keep(t.Context(), document.Kept{InvoiceID: id, Format: format, Content: []byte(content)})
		return err
	}
	if err := keep(document.AsUBL, "a name"); err != nil {
		t.Fatal(err)
	}
	b.Exec(t, "DELETE FROM document_leftovers") // an hour later
	if err := keep(document.AsCII, "the name"); err != nil {
		t.Fatal(err)
	}
	dies = true
	if err := keep(document.AsPDF, "a picture of the name"); err == nil || len(objectsIn(t, folder)) != 3 {
		t.Fatal(err, objectsIn(t, folder))
	}
	b.Exec(t, `SELECT erase_invoices(begin_erasure('age', NULL, 'infinity', 'retention', 'ada'), NULL, NULL, 'infinity', 0, 1000)`)
	if n := b.Count(t, "SELECT count(*) FROM documents WHERE erased_at IS NULL OR place IS NOT NULL"); n != 0 {
		t.Error("documents aren't erased")
	}
	if n, failing, oldest, err := b.store.Documents.Leftovers(t.Context()); err != nil || n != 3 || failing != 0 || oldest.IsZero() {
		t.Errorf("%d to be deleted, %d failing, since %v, %v", n, failing, oldest, err)
	}
	if n := b.sweep(t, keeper, 0); n != 3 || len(objectsIn(t, folder)) != 0 {
		t.Errorf("%d deleted, left are %v", n, objectsIn(t, folder))
	}
	if n, _, _, err := b.store.Documents.Leftovers(t.Context()); err != nil || n != 0 {
		t.Errorf("%d are to be deleted afterwards, %v", n, err)
	}
	if err := keep(document.AsPDF, "a picture of the name"); !errors.Is(err, document.ErrErased) || len(objectsIn(t, folder)) != 0 {
		t.Errorf("made afterwards: %v, %v", err, objectsIn(t, folder))
	}
	if n := b.sweep(t, keeper, time.Hour); n != 2 || b.Count(t, "SELECT count(*) FROM document_leftovers") != 0 {
		t.Errorf("%d deleted once more, when nobody can be writing them any longer", n)
	}
}

// Nobody who may announce objects has that of another invoice deleted by it.
func TestAnnouncedObjectsAreTheirInvoices(t *testing.T) {
	t.Parallel()
	folder, keeper, outside := outside(t)
	b := setup(t, outside)
	first, second := b.invoiced(t, "T1"), b.invoiced(t, "T2")
	kept, err := b.store.Documents.Keep(t.Context(), document.Kept{InvoiceID: first, Format: document.AsUBL, Content: []byte("a name"), Renderer: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	b.sweep(t, keeper, 2*time.Hour) // its announcement is over
	for _, place := range []string{kept.Place, kept.Place + "x", "folder:" + folder, strings.Replace(kept.Place, "folder:", "", 1), "", kept.Place + "\n"} {
		if _, err := b.DB.ExecContext(t.Context(), "SELECT announce_object($1, $2)", place, second); err == nil {
			t.Errorf("%q was announced", place)
		}
	}
	b.Exec(t, "SELECT announce_object($1, $2)", kept.Place, first) // as who makes it once more does
	if n := b.sweep(t, keeper, 2*time.Hour); n != 0 {
		t.Errorf("%d objects were deleted", n)
	}
	if again, err := b.store.Documents.Find(t.Context(), first, document.AsUBL, nil); err != nil || string(again.Content) != "a name" {
		t.Errorf("%q, %v", again.Content, err)
	}
}
