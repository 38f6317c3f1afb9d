package objects_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"invoicer/internal/objects"
	"invoicer/internal/s3"
	"invoicer/internal/s3/s3test"
)

func inFolder(t *testing.T) (*objects.Keeper, string) {
	t.Helper()
	folder := t.TempDir()
	return keeper(t, objects.Options{Store: "folder:" + folder}), folder
}

func inBucket(t *testing.T) (*objects.Keeper, *s3test.Server) {
	t.Helper()
	s := s3test.Start(t)
	return keeper(t, objects.Options{Store: "s3://" + s3test.Bucket + "/documents/of", S3: &s3.Options{
		Endpoint: s.URL, Region: s3test.Region, Keys: s3.Keys{ID: s3test.AccessKey, Secret: s3test.SecretKey},
	}}), s
}

func keeper(t *testing.T, o objects.Options) *objects.Keeper {
	t.Helper()
	k, err := objects.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func unused(context.Context, string) (bool, error) { return false, nil }

func read(t *testing.T, k *objects.Keeper, place string) ([]byte, error) {
	t.Helper()
	from, err := k.Open(t.Context(), place)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(from)
	return content, errors.Join(err, from.Close())
}

// An object is what was put, by however many at once, until it is deleted. Nothing else is read, written or deleted.
func TestKeeper(t *testing.T) {
	t.Parallel()
	folder, _ := inFolder(t)
	bucket, _ := inBucket(t)
	for name, k := range map[string]*objects.Keeper{"folder": folder, "bucket": bucket} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := k.Check(t.Context(), unused); err != nil {
				t.Error(err)
			}
			content := []byte("a document")
			place := k.Place(17, sha256.Sum256(content))
			if !strings.HasSuffix(place, "/17-"+place[len(place)-64:]) || strings.Contains(place, "document-") {
				t.Error(place)
			}
			var together sync.WaitGroup
			for range 8 {
				together.Go(func() {
					if err := k.Put(t.Context(), place, content, unused); err != nil {
						t.Error(err)
					}
				})
			}
			together.Wait()
			if got, err := read(t, k, place); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%q, %v", got, err)
			}
			if err := k.Put(t.Context(), place, []byte("others"), unused); err == nil {
				t.Error("other bytes went over it")
			}
			other := k.Place(18, sha256.Sum256(content))
			if _, err := read(t, k, other); !errors.Is(err, objects.ErrNone) || !strings.Contains(err.Error(), other) {
				t.Errorf("one that isn't there: %v", err)
			}
			for range 2 {
				if err := errors.Join(k.Delete(t.Context(), place), k.Delete(t.Context(), other)); err != nil {
					t.Error(err)
				}
			}
			if _, err := read(t, k, place); !errors.Is(err, objects.ErrNone) {
				t.Errorf("after it was deleted: %v", err)
			}
			store, _, _ := strings.Cut(place, "/"+place[len(place)-64:][:2]+"/")
			for _, bad := range []string{
				"", "folder:/etc/passwd", store, store + "/x", store + "/../" + place[len(store)+1:], "/" + place, strings.Replace(place, "17-", "017-", 1),
				"folder:relative" + place[len(store):], "s3://B" + place[len(store):], "http://a" + place[len(store):],
			} {
				if _, err := read(t, k, bad); err == nil || !strings.Contains(err.Error(), "no place") {
					t.Errorf("%q is read: %v", bad, err)
				}
				if err := k.Delete(t.Context(), bad); err == nil {
					t.Errorf("%q is deleted", bad)
				}
			}
		})
	}
}

// A folder that isn't mounted has nothing: that isn't taken for objects that are gone, and nothing is written there.
func TestFolderThatIsntThere(t *testing.T) {
	t.Parallel()
	k, folder := inFolder(t)
	content := []byte("a document")
	place := k.Place(1, sha256.Sum256(content))
	if err := k.Put(t.Context(), place, content, unused); err != nil {
		t.Fatal(err)
	}
	away := folder + "-away"
	if err := errors.Join(os.Rename(folder, away), os.Mkdir(folder, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, k, place); err == nil || errors.Is(err, objects.ErrNone) || !strings.Contains(err.Error(), "isn't mounted") {
		t.Errorf("read: %v", err)
	}
	if err := k.Delete(t.Context(), place); err == nil {
		t.Error("deleted what isn't mounted")
	}
	used := func(_ context.Context, store string) (bool, error) { return store == "folder:"+folder, nil }
	for what, err := range map[string]error{"written": k.Put(t.Context(), place, content, used), "checked": k.Check(t.Context(), used)} {
		if err == nil || !strings.Contains(err.Error(), "is it mounted?") {
			t.Errorf("%s, and its place is empty: %v", what, err)
		}
	}
	if err := k.Check(t.Context(), unused); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := os.WriteFile(filepath.Join(folder, "of others"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(k.Put(t.Context(), place, content, unused)); err == nil || k.Check(t.Context(), unused) == nil {
		t.Errorf("written among others' files: %v", err)
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if err := k.Check(t.Context(), unused); err == nil || !strings.Contains(err.Error(), "make the folder, or mount it") {
		t.Error(err)
	}
}

// What somebody who died left of writing an object goes with it.
func TestUnfinishedGoes(t *testing.T) {
	t.Parallel()
	k, folder := inFolder(t)
	content := []byte("a document")
	place := k.Place(1, sha256.Sum256(content))
	if err := k.Put(t.Context(), place, content, unused); err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(place, "folder:")
	if err := os.WriteFile(path+".ABC.part", []byte("a docu"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.Delete(t.Context(), place); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v, below %s", left, err, folder)
	}
}

// A bucket's object that somebody has changed isn't taken for one's own.
func TestBucketWithOtherBytes(t *testing.T) {
	t.Parallel()
	k, s := inBucket(t)
	content := []byte("a document")
	place := k.Place(1, sha256.Sum256(content))
	s.Alter(strings.TrimPrefix(place, "s3://"+s3test.Bucket+"/"), []byte("another one"))
	if err := k.Put(t.Context(), place, content, unused); err == nil || !strings.Contains(err.Error(), "other bytes") {
		t.Error(err)
	}
	s.Close()
	if err := k.Check(t.Context(), unused); err == nil || strings.Contains(err.Error(), s3test.SecretKey) {
		t.Error(err)
	}
}

// Without the keys, a bucket's objects aren't reached, and that is said.
func TestUnset(t *testing.T) {
	t.Parallel()
	k := keeper(t, objects.Options{})
	sum := sha256.Sum256(nil)
	if place := k.Place(1, sum); place != "" {
		t.Error(place)
	}
	b, s := inBucket(t)
	s.Before = func(http.ResponseWriter, *http.Request) bool { t.Error("it is asked"); return false }
	if _, err := read(t, k, b.Place(1, sum)); !errors.Is(err, objects.ErrUnset) {
		t.Error(err)
	}
}

// A process that finds an empty folder while another one begins it, and puts the first document on record, goes on.
func TestFolderThatIsBegunMeanwhile(t *testing.T) {
	t.Parallel()
	k, _ := inFolder(t)
	put := func(content string, used objects.Used) error {
		return k.Put(t.Context(), k.Place(1, sha256.Sum256([]byte(content))), []byte(content), used)
	}
	meanwhile := func(context.Context, string) (bool, error) { return true, put("the first", unused) }
	if err := put("the second", meanwhile); err != nil {
		t.Error(err)
	}
}
