package seals_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"invoicer/internal/seals"
)

// A signer has a key of its own.
type signer struct {
	public  ed25519.PublicKey
	private ed25519.PrivateKey
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{public, private}
}

func (s *signer) sign(_ context.Context, message []byte) ([]byte, error) {
	return ed25519.Sign(s.private, message), nil
}

func open(t *testing.T, dir string, key ed25519.PublicKey) *seals.Folder {
	t.Helper()
	f, err := seals.Open(dir, key)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// seal adds a seal with an invoice of each series, under the next number of each.
func seal(t *testing.T, dir string, s *signer, next ed25519.PublicKey, series ...string) *seals.Seal {
	t.Helper()
	made, err := try(t, open(t, dir, nil), s, next, series...)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func try(t *testing.T, f *seals.Folder, s *signer, next ed25519.PublicKey, series ...string) (*seals.Seal, error) {
	t.Helper()
	w, err := f.Create()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for _, one := range series {
		n := f.Heads()[slotOf(one)].Number + 1
		entry := seals.Entry{Number: n, InvoiceNumber: fmt.Sprintf("%s-%d", one, n), TransactionID: fmt.Sprintf("T-%s-%d", one, n), Digest: strings.Repeat("0", 64)}
		if err := w.Add(slotOf(one), entry, fmt.Sprintf("link %d of %s", n, one)); err != nil {
			t.Fatal(err)
		}
	}
	return w.Commit(t.Context(), "a-database", time.Unix(int64(len(f.Seals())), 0).UTC(), s.sign, s.public, next)
}

// slotOf returns the slot of a series, which may have its issuer before a slash.
func slotOf(series string) seals.Slot {
	if issuer, name, ok := strings.Cut(series, "/"); ok {
		return seals.Slot{Issuer: issuer, Series: name}
	}
	return seals.Slot{Series: series}
}

// entries are what all seals of the folder have, each as seal and number.
func entries(t *testing.T, f *seals.Folder) (all []string) {
	t.Helper()
	e, err := f.Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for {
		one, err := e.Next()
		if err != nil {
			t.Fatal(err)
		}
		if one == nil {
			return all
		}
		all = append(all, fmt.Sprintf("%d %s %s", one.Seal, one.InvoiceNumber, one.TransactionID))
	}
}

func TestFolder(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), newSigner(t)
	if f := open(t, dir, nil); len(f.Seals()) != 0 || f.Key() != nil || f.Database() != "" {
		t.Errorf("an empty folder has %v", f)
	}
	seal(t, dir, s, nil, "FR", "INV")
	seal(t, dir, s, nil, "INV", "INV-CN")
	seal(t, dir, s, nil, "FR", "INV", "Z")

	f := open(t, dir, nil)
	if !f.Key().Equal(s.public) || f.Database() != "a-database" || len(f.Seals()) != 3 {
		t.Errorf("key %v, database %s, %d seals", f.Key(), f.Database(), len(f.Seals()))
	}
	want := []string{"1 FR-1 T-FR-1", "3 FR-2 T-FR-2", "1 INV-1 T-INV-1", "2 INV-2 T-INV-2", "3 INV-3 T-INV-3", "2 INV-CN-1 T-INV-CN-1", "3 Z-1 T-Z-1"}
	if diff := cmp.Diff(want, entries(t, f)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	heads := map[seals.Slot]seals.Head{
		slotOf("FR"): {"FR", "", 2, "link 2 of FR", ""}, slotOf("INV"): {"INV", "", 3, "link 3 of INV", ""},
		slotOf("INV-CN"): {"INV-CN", "", 1, "link 1 of INV-CN", ""}, slotOf("Z"): {"Z", "", 1, "link 1 of Z", ""},
	}
	if diff := cmp.Diff(heads, f.Heads()); diff != "" {
		t.Errorf("heads (-want +got):\n%s", diff)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// What is wrong with a folder is said, and where.
func TestDamage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string, all []seals.Seal)
		want   string
	}{
		{"a seal is gone", func(t *testing.T, dir string, _ []seals.Seal) { remove(t, dir, "000002.seal") }, "000002.seal is missing"},
		{"the first seal is gone", func(t *testing.T, dir string, _ []seals.Seal) { remove(t, dir, "000001.seal") }, "000001.seal is missing"},
		{"a seal is another's", func(t *testing.T, dir string, _ []seals.Seal) { copyFile(t, dir, "000003.seal", "000002.seal") }, "000002.seal says that it is seal 3"},
		{"a seal says something else", func(t *testing.T, dir string, _ []seals.Seal) {
			edit(t, dir, "000002.seal", `"number":2`, `"number":1`)
		}, "000002.seal has a wrong signature"},
		{"a signature is another one", func(t *testing.T, dir string, _ []seals.Seal) {
			edit(t, dir, "000002.seal", `"signature":"`, `"signature":"AAAA`)
		}, "000002.seal has a wrong signature"},
		{"no signature", func(t *testing.T, dir string, _ []seals.Seal) { edit(t, dir, "000002.seal", `"signature"`, `"sig"`) }, "000002.seal has a wrong signature"},
		{"half a seal", func(t *testing.T, dir string, _ []seals.Seal) { edit(t, dir, "000002.seal", "}\n", "") }, "000002.seal is damaged"},
		{"an empty seal", func(t *testing.T, dir string, _ []seals.Seal) { write(t, dir, "000002.seal", "") }, "000002.seal is damaged"},
		{"entries are gone", func(t *testing.T, dir string, all []seals.Seal) { remove(t, dir, all[1].File) }, "is missing"},
		{"entries are others", func(t *testing.T, dir string, all []seals.Seal) { edit(t, dir, all[1].File, "T-INV-2", "T-INV-3") }, "is damaged"},
		{"entries are fewer", func(t *testing.T, dir string, all []seals.Seal) { write(t, dir, all[1].File, "") }, "is damaged"},
		{"no key", func(t *testing.T, dir string, _ []seals.Seal) { remove(t, dir, "public-key.pem") }, "public-key.pem is missing"},
		{"no key's text", func(t *testing.T, dir string, _ []seals.Seal) { write(t, dir, "public-key.pem", "x") }, "public-key.pem is no public key"},
		{"a seal signed with another key", func(t *testing.T, dir string, _ []seals.Seal) {
			others, other := t.TempDir(), newSigner(t)
			for range 3 {
				seal(t, others, other, nil, "INV")
			}
			text, err := os.ReadFile(filepath.Join(others, "000003.seal"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, "000003.seal", string(text))
		}, "000003.seal has a wrong signature"},
		{"a seal made again, without those after it", func(t *testing.T, dir string, _ []seals.Seal) {
			kept, err := os.ReadFile(filepath.Join(dir, "000003.seal"))
			if err != nil {
				t.Fatal(err)
			}
			remove(t, dir, "000002.seal")
			remove(t, dir, "000003.seal")
			seal(t, dir, theSigner, nil, "Z")
			write(t, dir, "000003.seal", string(kept))
		}, "000003.seal doesn't follow on the seal before it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for range 3 {
				seal(t, dir, theSigner, nil, "INV")
			}
			c.damage(t, dir, open(t, dir, nil).Seals())
			f, err := seals.Open(dir, nil)
			if err == nil {
				_, err = f.Entries(t.Context())
			}
			var wrong *seals.FolderError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
		})
	}
}

// theSigner's key is made of zeros, so that tests share it.
var theSigner = func() *signer {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	return &signer{private.Public().(ed25519.PublicKey), private}
}()

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func edit(t *testing.T, dir, name, old, changed string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || !strings.Contains(string(text), old) {
		t.Fatalf("%s has no %q: %v", name, old, err)
	}
	write(t, dir, name, strings.Replace(string(text), old, changed, 1))
}

func copyFile(t *testing.T, dir, from, to string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, from))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, to, string(text))
}

// Whoever can write to the folder can replace all of it, so the key may be given.
func TestAGivenKeyCounts(t *testing.T) {
	t.Parallel()
	dir, s, other := t.TempDir(), newSigner(t), newSigner(t)
	seal(t, dir, other, nil, "INV")
	if _, err := seals.Open(dir, s.public); err == nil || !strings.Contains(err.Error(), "wrong signature") {
		t.Errorf("a folder of another key: %v", err)
	}
	if _, err := seals.Open(dir, other.public); err != nil {
		t.Error(err)
	}
	remove(t, dir, "public-key.pem")
	if _, err := seals.Open(dir, other.public); err != nil {
		t.Error(err)
	}
}

// A seal hands over to another key, and from then on the old one counts no more.
func TestNextKey(t *testing.T) {
	t.Parallel()
	dir, first, second := t.TempDir(), newSigner(t), newSigner(t)
	seal(t, dir, first, nil, "INV")
	seal(t, dir, first, second.public, "INV")
	if f := open(t, dir, first.public); !f.Key().Equal(second.public) {
		t.Error("the next seal isn't the second key's")
	}
	seal(t, dir, second, nil, "INV")
	open(t, dir, first.public)
	if made, err := try(t, open(t, dir, nil), first, nil, "INV"); err == nil {
		t.Errorf("the old key has made %+v", made)
	}
}

// Two that seal at the same time: one does, and the other one's seal is given up.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	for _, before := range []int{0, 2} {
		dir := t.TempDir()
		for range before {
			seal(t, dir, theSigner, nil, "INV")
		}
		one, other := open(t, dir, nil), open(t, dir, nil)
		if _, err := try(t, one, theSigner, nil, "INV"); err != nil {
			t.Fatal(err)
		}
		if _, err := try(t, other, theSigner, nil, "FR"); !errors.Is(err, seals.ErrTaken) {
			t.Errorf("after %d seals: error %v, want %v", before, err, seals.ErrTaken)
		}
		f := open(t, dir, nil)
		if got := entries(t, f); len(got) != before+1 {
			t.Errorf("entries %v", got)
		}
		seal(t, dir, theSigner, nil, "FR")
		entries(t, open(t, dir, nil))
	}
}

// Two that seal for the first time with different keys: one does, and its key is the folder's.
func TestTwoKeysAtOnce(t *testing.T) {
	t.Parallel()
	for _, given := range []bool{false, true} {
		dir, other := t.TempDir(), newSigner(t)
		var key ed25519.PublicKey
		if given {
			key = other.public
		}
		late := open(t, dir, key)
		seal(t, dir, theSigner, nil, "INV")
		if err := os.Rename(filepath.Join(dir, seals.FileName(1)), filepath.Join(dir, "aside")); err != nil { // so far the first has come
			t.Fatal(err)
		}
		var wrong *seals.FolderError
		if _, err := try(t, late, other, nil, "INV"); !errors.As(err, &wrong) || wrong.File != "public-key.pem" {
			t.Errorf("error %v", err)
		}
		if err := os.Rename(filepath.Join(dir, "aside"), filepath.Join(dir, seals.FileName(1))); err != nil {
			t.Fatal(err)
		}
		if got := entries(t, open(t, dir, nil)); len(got) != 1 {
			t.Errorf("entries %v", got)
		}
	}
}

// However far a seal had come when its process ended, the folder is as it was, and the next one works.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	seal(t, dir, theSigner, nil, "INV")
	long := time.Now().Add(-48 * time.Hour)
	for _, name := range []string{".new-1234", "000001-0123456789abcdef.jsonl", "000002-0123456789abcdef.jsonl"} {
		write(t, dir, name, "half")
		if err := os.Chtimes(filepath.Join(dir, name), long, long); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(dir, open(t, dir, nil).Seals()[0].File), long, long); err != nil {
		t.Fatal(err)
	}
	write(t, dir, ".new-5678", "of somebody who is at it")
	write(t, dir, "000002-0123456789abcdee.jsonl", "as well")
	failing := errors.New("no signature")
	w, err := open(t, dir, nil).Create()
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Commit(t.Context(), "a-database", time.Now(), func(context.Context, []byte) ([]byte, error) { return nil, failing }, theSigner.public, nil)
	if !errors.Is(err, failing) {
		t.Error(err)
	}
	if made := seal(t, dir, theSigner, nil, "INV"); made.Number != 2 {
		t.Errorf("seal %d", made.Number)
	}
	if got := entries(t, open(t, dir, nil)); len(got) != 2 {
		t.Errorf("entries %v", got)
	}
	for name, want := range map[string]bool{
		".new-1234": false, ".new-5678": true, "000001-0123456789abcdef.jsonl": false, "000002-0123456789abcdef.jsonl": false, "000002-0123456789abcdee.jsonl": true,
	} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s is there: %t", name, err == nil)
		}
	}
}

// A signature of anything else makes no seal.
func TestWrongSignature(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), newSigner(t)
	for _, made := range [][]byte{nil, make([]byte, 64), []byte("short")} {
		w, err := open(t, dir, nil).Create()
		if err != nil {
			t.Fatal(err)
		}
		sign := func(context.Context, []byte) ([]byte, error) { return made, nil }
		if _, err := w.Commit(t.Context(), "a-database", time.Now(), sign, theSigner.public, nil); err == nil {
			t.Errorf("%d bytes are a signature", len(made))
		}
	}
	w, err := open(t, dir, nil).Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(t.Context(), "a-database", time.Now(), other.sign, theSigner.public, nil); err == nil {
		t.Error("another key's signature makes a seal")
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("the folder has %v, %v", names, err)
	}
}
