package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"invoicer/internal/s3"
	"invoicer/internal/s3/s3test"
)

func client(t *testing.T, endpoint string, change ...func(*s3.Options)) *s3.Client {
	t.Helper()
	o := s3.Options{Endpoint: endpoint, Region: s3test.Region, Keys: s3.Keys{ID: s3test.AccessKey, Secret: s3test.SecretKey}}
	for _, f := range change {
		f(&o)
	}
	c, err := s3.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// exercise does with an object what a client can do.
func exercise(t *testing.T, c *s3.Client, bucket string) {
	t.Helper()
	ctx := t.Context()
	if _, err := c.Head(ctx, bucket, ""); err != nil {
		t.Error(err)
	}
	var refused *s3.ServiceError
	if _, err := c.Head(ctx, "no-such-bucket", ""); !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		t.Errorf("a bucket that isn't there: %v", err)
	}
	if _, err := c.Get(ctx, "no-such-bucket", "a"); !errors.As(err, &refused) || refused.Code != "NoSuchBucket" {
		t.Errorf("of a bucket that isn't there: %v", err)
	}
	for _, key := range []string{"a", "a/b/12-0f", "ü ber/$&+,:;=@/(x)'!*~"} {
		content := bytes.Repeat([]byte(key), 10_000)
		if _, err := c.Get(ctx, bucket, key); !errors.Is(err, s3.ErrNone) {
			t.Errorf("%s before it is there: %v", key, err)
		}
		if err := c.Put(ctx, bucket, key, content); err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		if err := c.Put(ctx, bucket, key, []byte("others")); !errors.Is(err, s3.ErrExists) {
			t.Errorf("%s over what is there: %v", key, err)
		}
		if size, err := c.Head(ctx, bucket, key); err != nil || size != int64(len(content)) {
			t.Errorf("%s has %d bytes, %v", key, size, err)
		}
		from, err := c.Get(ctx, bucket, key)
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		if got, err := io.ReadAll(from); err != nil || !bytes.Equal(got, content) || from.Close() != nil {
			t.Errorf("%s: %d bytes, %v", key, len(got), err)
		}
		for range 2 {
			if err := c.Delete(ctx, bucket, key); err != nil {
				t.Errorf("%s: %v", key, err)
			}
		}
		if _, err := c.Head(ctx, bucket, key); !errors.Is(err, s3.ErrNone) {
			t.Errorf("%s after it was deleted: %v", key, err)
		}
	}
}

func TestClient(t *testing.T) {
	t.Parallel()
	exercise(t, client(t, s3test.Start(t).URL), s3test.Bucket)
}

// A bucket may be a part of the host's name.
func TestVirtualHosts(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	hosts := make(chan string, 10)
	s.Before = func(_ http.ResponseWriter, r *http.Request) bool {
		hosts <- r.Host + r.URL.Path
		return false
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	c := client(t, "http://localhost:"+port, func(o *s3.Options) { o.VirtualHosts = true }) // names below localhost are loopback
	if err := c.Put(t.Context(), s3test.Bucket, "a/b", []byte("x")); err != nil {
		t.Skip("NOT TESTED: this machine doesn't resolve names below localhost:", err)
	}
	if got := <-hosts; got != s3test.Bucket+".localhost:"+port+"/a/b" {
		t.Error(got)
	}
}

// What isn't signed with the right key is refused at once, and the error says why, without the keys.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	var asked atomic.Int32
	s.Before = func(http.ResponseWriter, *http.Request) bool { asked.Add(1); return false }
	for name, change := range map[string]func(*s3.Options){
		"another secret": func(o *s3.Options) { o.Keys.Secret = "hunter2" },
		"another region": func(o *s3.Options) { o.Region = "us-east-1" },
		"another time":   func(o *s3.Options) { o.Now = func() time.Time { return time.Now().Add(-time.Hour) } },
	} {
		err := client(t, s.URL, change).Put(t.Context(), s3test.Bucket, "a", []byte("x"))
		var refused *s3.ServiceError
		if !errors.As(err, &refused) || refused.Code != "SignatureDoesNotMatch" || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if asked.Load() != 3 || len(s.Keys()) != 0 {
		t.Errorf("asked %d times, %v", asked.Load(), s.Keys())
	}
}

// A service that is away for a moment is asked again; one that stays away, or says nothing, is an error in time.
func TestRepeats(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	var asked, bad atomic.Int32
	bad.Store(2)
	s.Before = func(w http.ResponseWriter, r *http.Request) bool {
		if asked.Add(1) > bad.Load() {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	c := client(t, s.URL)
	if err := c.Put(t.Context(), s3test.Bucket, "a", []byte("x")); err != nil || asked.Load() != 3 || len(s.Keys()) != 1 {
		t.Errorf("%v after %d requests", err, asked.Load())
	}
	bad.Store(1000)
	asked.Store(0)
	var refused *s3.ServiceError
	if _, err := c.Get(t.Context(), s3test.Bucket, "a"); !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable || asked.Load() != 3 {
		t.Errorf("%v after %d requests", err, asked.Load())
	}

	silent := s3test.Start(t)
	silent.Before = func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := client(t, silent.URL, func(o *s3.Options) { o.Patience = 50 * time.Millisecond }).Get(ctx, s3test.Bucket, "a")
	if err == nil || !strings.Contains(err.Error(), "no answer within 50ms") || ctx.Err() != nil {
		t.Errorf("of a service that says nothing: %v", err)
	}
}

// A service that knows no conditions is written to all the same, and one that redirects is followed nowhere.
func TestOtherServices(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	s.Before = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Header.Get("If-None-Match") != "":
			w.WriteHeader(http.StatusNotImplemented)
		case r.Method == http.MethodGet:
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusTemporaryRedirect)
		default:
			return false
		}
		return true
	}
	c := client(t, s.URL)
	if err := c.Put(t.Context(), s3test.Bucket, "a", []byte("x")); err != nil || len(s.Keys()) != 1 {
		t.Errorf("%v, %v", err, s.Keys())
	}
	if _, err := c.Get(t.Context(), s3test.Bucket, "a"); err == nil || !strings.Contains(err.Error(), "redirects elsewhere") {
		t.Error(err)
	}
}

// That an object isn't there is what the service says in its own words: another 404 says nothing of it, so what is to be deleted isn't taken for deleted.
func TestOtherAnswersThatNothingIsThere(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	said := ""
	s.Before = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, said)
		return true
	}
	c := client(t, s.URL)
	for _, said = range []string{"", "<html><body>404 page not found</body></html>", "<Error><Code>NoSuchUpload</Code></Error>", "<Error><Code>NoSuchBucket</Code></Error>"} {
		var refused *s3.ServiceError
		if err := c.Delete(t.Context(), s3test.Bucket, "a"); !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
			t.Errorf("deleted by %q: %v", said, err)
		}
		if _, err := c.Get(t.Context(), s3test.Bucket, "a"); !errors.As(err, &refused) || errors.Is(err, s3.ErrNone) {
			t.Errorf("read by %q: %v", said, err)
		}
	}
	said = "<Error><Code>NoSuchKey</Code></Error>"
	if _, err := c.Get(t.Context(), s3test.Bucket, "a"); !errors.Is(err, s3.ErrNone) {
		t.Errorf("of an object that isn't there: %v", err)
	}
	if err := c.Delete(t.Context(), s3test.Bucket, "a"); err != nil {
		t.Errorf("of an object that isn't there: %v", err)
	}
}
