// Package s3test is a service like S3 for tests: objects in memory, in one bucket. It verifies signatures by code of its own, which shares none with
// the client, and refuses what S3 refuses of what the client sends.
package s3test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The only key, the bucket, and the region.
const (
	AccessKey = "AKIDTEST"
	SecretKey = "secret/of+the/test"
	Bucket    = "invoices"
	Region    = "eu-test-1"
)

// A Server is such a service.
type Server struct {
	*httptest.Server

	// Before is called before a request is answered, if it isn't nil, and answers it if it returns true. Set it before the first request.
	Before func(w http.ResponseWriter, r *http.Request) (done bool)
	// Written is called when an object is there, and nobody is told yet.
	Written func()

	mu      sync.Mutex
	objects map[string][]byte
}

// Start starts a server, which ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{objects: make(map[string][]byte)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// Keys returns the names of all objects, in order.
func (s *Server) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for key := range s.objects {
		list = append(list, key)
	}
	slices.Sort(list)
	return list
}

// Alter replaces the bytes of an object.
func (s *Server) Alter(key string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[key] = content
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>%s</Message></Error>", code, message) //nolint:gosec // no browser reads it, and it doesn't matter if the client has gone
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.Before != nil && s.Before(w, r) {
		return
	}
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if err := verify(r, content); err != nil {
		refuse(w, http.StatusForbidden, "SignatureDoesNotMatch", err.Error())
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	if host, _, _ := strings.Cut(r.Host, "."); host == Bucket {
		path = Bucket + "/" + path
	}
	bucket, key, _ := strings.Cut(path, "/")
	if bucket != Bucket {
		refuse(w, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
		return
	}
	s.answer(w, r, key, content)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, key string, content []byte) {
	s.mu.Lock()
	there, has := s.objects[key]
	s.mu.Unlock()
	switch r.Method {
	case http.MethodPut:
		if r.Header.Get("If-None-Match") == "*" && has {
			refuse(w, http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
			return
		}
		if sum := sha256.Sum256(content); r.Header.Get("X-Amz-Checksum-Sha256") != base64.StdEncoding.EncodeToString(sum[:]) {
			refuse(w, http.StatusBadRequest, "BadDigest", "The checksum did not match")
			return
		}
		s.Alter(key, content)
		if s.Written != nil {
			s.Written()
		}
	case http.MethodDelete:
		s.mu.Lock()
		delete(s.objects, key)
		s.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet, http.MethodHead:
		if key != "" && !has {
			refuse(w, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(there)))
		_, _ = w.Write(there) // the client has gone
	default:
		refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowed", r.Method)
	}
}

// verify returns what is wrong with a request's signature. It follows the description of Signature Version 4 step by step, on what came over the
// network.
func verify(r *http.Request, content []byte) error {
	var credential, signedHeaders, signature string
	if _, err := fmt.Sscanf(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=%s SignedHeaders=%s Signature=%s", &credential, &signedHeaders, &signature); err != nil {
		return errors.New("no signature")
	}
	scope := strings.Split(strings.TrimSuffix(credential, ","), "/")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || time.Since(at).Abs() > 15*time.Minute {
		return errors.New("the time is too far away")
	}
	if len(scope) != 5 || scope[0] != AccessKey || scope[1] != at.Format("20060102") || scope[2] != Region || scope[3] != "s3" || scope[4] != "aws4_request" {
		return errors.New("another key, day, region or service")
	}
	body := sha256.Sum256(content)
	if r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(body[:]) {
		return errors.New("another body than that of x-amz-content-sha256")
	}
	names := strings.Split(strings.TrimSuffix(signedHeaders, ","), ";")
	lines := []string{r.Method, strings.SplitN(r.RequestURI, "?", 2)[0], r.URL.RawQuery}
	for _, name := range names {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		lines = append(lines, name+":"+value)
	}
	for name := range r.Header { // all of x-amz-* must be signed
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") && !slices.Contains(names, name) {
			return errors.New(name + " isn't signed")
		}
	}
	if !slices.Contains(names, "host") || !slices.IsSorted(names) {
		return errors.New("host isn't signed, or the names aren't sorted")
	}
	lines = append(lines, "", strings.Join(names, ";"), r.Header.Get("X-Amz-Content-Sha256"))
	canonical := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	text := "AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + strings.Join(scope[1:], "/") + "\n" + hex.EncodeToString(canonical[:])
	sum := []byte("AWS4" + SecretKey)
	for _, part := range append(scope[1:], text) {
		mac := hmac.New(sha256.New, sum)
		_, _ = io.WriteString(mac, part) // can't fail
		sum = mac.Sum(nil)
	}
	if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum)), []byte(signature)) != 1 {
		return errors.New("the signature that was calculated is another one")
	}
	return nil
}
