package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// A diary is a log that tests read.
type diary struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (d *diary) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(p)
}

// lines returns those with the text.
func (d *diary) lines(text string) (found []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for line := range strings.Lines(d.text.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// open opens a folder as one more process does.
func open(t *testing.T, folder string, documents Documents) (*Folder, *diary) {
	t.Helper()
	d := &diary{}
	f, err := Open(folder, "db", "worker 1", documents, slog.New(slog.NewTextHandler(d, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f, d
}

func slot(series string) invoice.SlotKey {
	return invoice.SlotKey{Issuer: "ACME", Series: series, Period: "2026"}
}

func made(series string, number int64) invoice.Made {
	return invoice.Made{
		Numbered:      invoice.Numbered{SlotKey: slot(series), Number: number, Date: "2026-03-02"},
		InvoiceNumber: fmt.Sprintf("%s-%d", series, number), TransactionID: fmt.Sprintf("T\n%d", number), Chain: "v1:0",
	}
}

func (f *Folder) highestOf(t *testing.T, series string) int64 {
	t.Helper()
	highest, err := f.Highest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return highest[slot(series)]
}

// all returns the documents that a recovery of a series would read.
func all(t *testing.T, folder string, log *slog.Logger) (found []invoice.Made) {
	t.Helper()
	if err := Each(t.Context(), folder, "db", log, func(m invoice.Made, _ func() string) { found = append(found, m) }); err != nil {
		t.Fatal(err)
	}
	return found
}

func files(t *testing.T, f *Folder) []string {
	t.Helper()
	names, err := list(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

var discard = slog.New(slog.DiscardHandler)

// Once a wait has returned, the folder has the documents as they were made, however many transactions were added at once.
func TestEveryDocumentIsThere(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	f, _ := open(t, folder, nil)
	other, _ := open(t, folder, nil)
	if n := other.highestOf(t, "INV"); n != 0 {
		t.Errorf("an empty folder has %d", n)
	}
	var group errgroup.Group
	for g := range int64(8) {
		group.Go(func() error {
			for n := range int64(25) {
				f.Add([]invoice.Made{made("INV", 2*(25*g+n)+1), made("INV", 2*(25*g+n)+2)})(t.Context())
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	seen := make(map[int64]bool)
	for _, m := range all(t, folder, discard) {
		if m != made("INV", m.Number) {
			t.Fatalf("%+v", m)
		}
		seen[m.Number] = true
	}
	if len(seen) != 400 || other.highestOf(t, "INV") != 400 {
		t.Errorf("%d documents, up to %d", len(seen), other.highestOf(t, "INV"))
	}
	other.Add([]invoice.Made{made("INV", 401), made("OTHER", 9)})(t.Context())
	if n, o := f.highestOf(t, "INV"), f.highestOf(t, "OTHER"); n != 401 || o != 9 {
		t.Errorf("after another process wrote: %d and %d", n, o)
	}
	if names := files(t, f); len(names) != 2 {
		t.Errorf("two processes have the files %v", names)
	}
}

// Readers leave out a line that isn't whole until it is, and name one that can't be read. What isn't a witness's file is left alone.
func TestTornLines(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	f, log := open(t, folder, nil)
	f.Add([]invoice.Made{made("INV", 1)})(t.Context())
	name := filepath.Join(f.dir, files(t, f)[0])
	whole := encode([]invoice.Made{made("INV", 3)})
	for _, part := range [][]byte{[]byte("{\x00\x00\n"), encode([]invoice.Made{made("INV", 2)}), whole[:20]} {
		addTo(t, name, part)
	}
	addTo(t, filepath.Join(f.dir, "notes.jsonl"), []byte("x\n"))
	addTo(t, filepath.Join(folder, "README"), []byte("x\n"))
	if n := f.highestOf(t, "INV"); n != 2 || len(all(t, folder, discard)) != 2 {
		t.Errorf("before the line is whole: %d", n)
	}
	addTo(t, name, whole[20:])
	if n := f.highestOf(t, "INV"); n != 3 || len(all(t, folder, discard)) != 3 {
		t.Errorf("after it is: %d", n)
	}
	if told := log.lines(`a line of the witness can't be read" line="` + name + ` line 2"`); len(told) != 1 || len(log.lines("WARN")) != 1 {
		t.Errorf("told: %q", log.lines("WARN"))
	}
}

func addTo(t *testing.T, name string, text []byte) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(text); err != nil {
		t.Fatal(err)
	}
	file.Close()
}

// A disk that fills up in the middle of a line leaves no line behind it, and no document is lost.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	f, log := open(t, folder, nil)
	f.Add([]invoice.Made{made("INV", 1)})(t.Context())
	torn := files(t, f)[0]
	f.live.file.Close()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("a system without /dev/full: ", err)
	}
	addTo(t, filepath.Join(f.dir, torn), encode([]invoice.Made{made("INV", 2)})[:30])
	f.live.file = full
	for n := range int64(3) {
		f.Add([]invoice.Made{made("INV", 2+n)})(t.Context())
	}
	if told := log.lines("documents can't be written to the witness"); len(told) != 1 || !strings.Contains(told[0], "no space left") {
		t.Errorf("told %q", told)
	}
	if n := f.highestOf(t, "INV"); n != 1 {
		t.Errorf("%d are there", n)
	}
	f.mu.Lock()
	f.write()
	f.mu.Unlock()
	rig.Eventually(t, "word that it works again", func() bool { return len(log.lines("written to the witness again")) == 1 })
	f.Add([]invoice.Made{made("INV", 5)})(t.Context())
	if found := all(t, folder, slog.New(slog.NewTextHandler(log, nil))); len(found) != 5 || len(log.lines("can't be read")) != 0 {
		t.Errorf("found %v; %v", found, log.lines("can't be read"))
	}
}

// A folder that is gone for a while holds up nobody, and makes no heap of files.
func TestAFolderThatIsAway(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	f, log := open(t, folder, nil)
	if err := os.Rename(f.dir, f.dir+".away"); err != nil {
		t.Fatal(err)
	}
	for n := range int64(5) {
		f.Add([]invoice.Made{made("INV", 1+n)})(t.Context())
	}
	if _, err := f.Highest(t.Context()); err == nil {
		t.Error("it can be read")
	}
	if err := Each(t.Context(), folder, "db", discard, nil); err == nil || !strings.Contains(err.Error(), "witness.folder") {
		t.Errorf("a recovery: %v", err)
	}
	if err := os.Rename(f.dir+".away", f.dir); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.write()
	f.mu.Unlock()
	rig.Eventually(t, "what was kept", func() bool { return len(log.lines("written to the witness again")) == 1 })
	if n := f.highestOf(t, "INV"); n != 5 {
		t.Errorf("%d are there", n)
	}
	if told := log.lines("WARN"); len(told) != 1 || len(files(t, f)) != 1 {
		t.Errorf("told %q, %v", told, files(t, f))
	}
	f.mu.Lock()
	f.failing, f.pending = true, make([]byte, mostKept)
	f.mu.Unlock()
	f.Add([]invoice.Made{made("INV", 6)})(t.Context())
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.dropped || len(f.pending) > mostKept {
		t.Errorf("it keeps %d bytes", len(f.pending))
	}
	f.pending = nil
}

// A disk that doesn't answer holds up a job once.
func TestADiskThatHangs(t *testing.T) {
	t.Parallel()
	f, log := open(t, t.TempDir(), nil)
	reader, hang, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	f.live.file = hang // a write to it waits while nobody reads
	f.mu.Lock()
	f.pending = make([]byte, 1<<20)
	f.mu.Unlock()
	ctx, cancel := context.WithCancelCause(t.Context())
	wait := f.Add([]invoice.Made{made("INV", 1)})
	cancel(errors.New("too late"))
	wait(ctx)
	f.Add([]invoice.Made{made("INV", 2)})(t.Context())
	if told := log.lines("can't be written to the witness"); len(told) != 1 || !strings.Contains(told[0], "too late") {
		t.Errorf("told %q", told)
	}
	hang.Close() // the write fails
	rig.Eventually(t, "the end of the write", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return !f.busy
	})
	f.mu.Lock()
	f.pending = nil
	f.mu.Unlock()
}

// A worker says what is wrong with the folder before it starts.
func TestFoldersThatCantBe(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	addTo(t, filepath.Join(folder, "file"), nil)
	addTo(t, filepath.Join(folder, "db"), nil)
	for name, want := range map[string]string{
		filepath.Join(folder, "missing"): "make it, or mount it",
		filepath.Join(folder, "file"):    "is no folder",
		folder:                           "not a directory",
		"/proc":                          "", // where root can't write either
	} {
		_, err := Open(name, "db", "w", nil, discard)
		if err == nil || !strings.HasPrefix(err.Error(), "witness.folder: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "missing")); err == nil {
		t.Error("it was made")
	}
}

// Whatever stands in a file, it is a document that comes back as it was, or an error.
func FuzzDecode(f *testing.F) {
	f.Add(encode([]invoice.Made{made("INV", 1)}))
	f.Add([]byte(`{"series":"INV","number":-1}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := decode(line)
		if err != nil {
			return
		}
		if again, err := decode(encode([]invoice.Made{m})); err != nil || again != m {
			t.Errorf("%+v became %+v, %v", m, again, err)
		}
	})
}
