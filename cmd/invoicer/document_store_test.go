package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"invoicer/internal/rig"
	"invoicer/internal/s3/s3test"
)

// askFor has as many invoices be asked for, by transactions that begin so.
func (s *site) askFor(t *testing.T, invoices int, prefix string) {
	t.Helper()
	var jobs strings.Builder
	for n := range invoices {
		jobs.WriteString(strings.ReplaceAll(fmt.Sprintf(grossJob, fmt.Sprint(prefix, n)), "\n", "") + "\n")
	}
	if code, _, stderr := s.run(t, jobs.String(), "enqueue", "-", "--queue", s.queue, "--durable"); code != exitOK {
		t.Fatal(stderr)
	}
}

// Documents in a folder are made, handed out and hashed as those in the database are, and erased with their invoice, by a worker that has deleted them
// soon after; what was kept in the database before stays there.
func TestDocumentsInAFolder(t *testing.T) {
	t.Parallel()
	inside := sharedSite(t).with("INVOICER_DOCUMENTS_RENDER=ubl")
	w := inside.start(t, "worker")
	inside.askFor(t, 1, "I")
	rig.Eventually(t, "the document in the database", func() bool { return inside.Count(t, "SELECT count(*) FROM documents WHERE content IS NOT NULL") == 1 })
	w.signal(t, syscall.SIGTERM)
	w.exit(t)

	folder := t.TempDir()
	s := inside.with("INVOICER_DOCUMENTS_STORE=folder:" + folder)
	s.start(t, "worker")
	s.askFor(t, 3, "T")
	rig.Eventually(t, "the documents in the folder", func() bool { return s.Count(t, "SELECT count(*) FROM documents WHERE place LIKE 'folder:%'") == 3 })
	files, err := filepath.Glob(folder + "/*/*")
	must(t, err)
	if len(files) != 3 || s.Count(t, "SELECT count(*) FROM documents WHERE content IS NOT NULL") != 1 {
		t.Errorf("files: %v", files)
	}
	dir := t.TempDir()
	for n := 1; n <= 4; n++ {
		number, file := fmt.Sprintf("INV-%06d", n), filepath.Join(dir, fmt.Sprint(n))
		s.must(t, "document", "get", number, "--format", "ubl", "-o", file)
		if content, err := os.ReadFile(file); err != nil || !bytes.Contains(content, []byte(number)) {
			t.Errorf("%s: %s, %v", number, content, err)
		}
	}
	if out := s.must(t, "audit"); !strings.Contains(out, "3 documents outside of the database were read") {
		t.Error(out)
	}
	if out := s.must(t, "audit", "--database-only"); !strings.Contains(out, "NOT HASHED: 3 documents") {
		t.Error(out)
	}
	whole, err := os.ReadFile(files[0])
	must(t, err)
	must(t, os.WriteFile(files[0], bytes.ToUpper(whole), 0o600))
	if code, out, _ := s.run(t, "", "audit"); code != exitAudit || !strings.Contains(strings.ReplaceAll(out, "\n    ", " "), filepath.Base(files[0])) {
		t.Errorf("the audit of a changed file: %d %s", code, out)
	}
	must(t, os.WriteFile(files[0], whole, 0o600))

	rig.Eventually(t, "all to be more than a second old", func() bool {
		return s.Is(t, "SELECT max(created_at) < now() - interval '1.5 seconds' FROM invoices")
	})
	s.must(t, "erase", "--older-than", "1s", "--yes", "--reason", "test")
	rig.Eventually(t, "the files to be deleted", func() bool {
		files, err := filepath.Glob(folder + "/*/*")
		return err == nil && len(files) == 0
	})
	rig.Eventually(t, "the deletion to be settled", func() bool {
		return s.Count(t, "SELECT count(*) FROM document_leftovers WHERE state = 'erased'") == 0
	})
	s.must(t, "audit")
}

// A worker that is killed when the bytes of a document are in the bucket, and it doesn't know yet, leaves no document; the next one makes it, of the same
// object.
func TestKilledBetweenBucketAndRow(t *testing.T) {
	t.Parallel()
	bucket := s3test.Start(t)
	held, free := make(chan struct{}), make(chan struct{})
	var first sync.Once
	bucket.Written = func() {
		first.Do(func() {
			close(held)
			<-free
		})
	}
	s := sharedSite(t).with("INVOICER_DOCUMENTS_RENDER=ubl", "INVOICER_DOCUMENTS_STORE=s3://"+s3test.Bucket+"/of/acme", "INVOICER_DOCUMENTS_S3_ENDPOINT="+bucket.URL,
		"INVOICER_DOCUMENTS_S3_REGION="+s3test.Region, "INVOICER_DOCUMENTS_S3_ACCESS_KEY="+s3test.AccessKey, "INVOICER_DOCUMENTS_S3_SECRET_KEY="+s3test.SecretKey)
	w := s.start(t, "worker")
	s.askFor(t, 1, "T")
	rig.Receive(t, held, "the object to be there")
	w.signal(t, syscall.SIGKILL)
	w.exit(t)
	close(free)
	if s.Count(t, "SELECT count(*) FROM documents") != 0 || len(bucket.Keys()) != 1 || s.Count(t, "SELECT count(*) FROM document_leftovers WHERE state = 'announced'") != 1 {
		t.Errorf("there are %v", bucket.Keys())
	}
	s.Exec(t, "UPDATE documents_owed SET due_at = now()") // what it had claimed would wait for a minute
	w = s.start(t, "worker")
	rig.Eventually(t, "the document", func() bool { return s.Count(t, "SELECT count(*) FROM documents WHERE place LIKE 's3://%'") == 1 })
	if len(bucket.Keys()) != 1 {
		t.Errorf("there are %v", bucket.Keys())
	}
	s.must(t, "document", "get", "INV-000001", "--format", "ubl", "-o", filepath.Join(t.TempDir(), "a"))
	if out := s.must(t, "audit"); !strings.Contains(out, "1 document outside of the database was read") {
		t.Error(out)
	}
	if _, out, _ := s.run(t, "", "doctor"); strings.Contains(out, "documents.store") { // which finds that fsync is off
		t.Error(out)
	}
	if strings.Contains(w.stderr(), s3test.SecretKey) {
		t.Error("the log has the secret")
	}
	bucket.Close()
	if code, out, stderr := s.run(t, "", "document", "get", "INV-000001", "--format", "ubl", "-o", filepath.Join(t.TempDir(), "a")); code == exitOK || !strings.Contains(stderr, "INV-000001") || strings.Contains(stderr+out, s3test.SecretKey) {
		t.Errorf("without the bucket: %d %s", code, stderr)
	}
	if _, out, _ := s.run(t, "", "doctor"); !strings.Contains(out, "documents.store") || strings.Contains(out, s3test.SecretKey) {
		t.Error(out)
	}
}
