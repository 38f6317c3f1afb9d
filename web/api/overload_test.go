package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"invoicer/internal/report"
	"invoicer/internal/rig"
	"invoicer/invoice/document"
	"invoicer/invoice/postgres"
	"invoicer/web/api"
)

// When too many requests are at work, others are refused soon.
func TestOverload(t *testing.T) {
	t.Parallel()
	hold, held := make(chan struct{}), make(chan struct{}, 2)
	s := setup(t, func(o *api.Options) {
		o.AtOnce = 2
		o.Reports = slow{o.Reports, held, hold}
	})
	done := make(chan reply, 2)
	for range 2 {
		go func() { done <- s.ask(t, "reader", http.MethodGet, "/v1/jobs", nil) }()
	}
	<-held
	<-held
	begun := time.Now()
	r := s.post(t, "nightly", jobOf("T1"))
	if took := time.Since(begun); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || took > 5*time.Second {
		t.Errorf("after %v: %s", took, r)
	}
	s.ledgerHas(t, 0)
	close(hold)
	for range 2 {
		if r := <-done; r.StatusCode != http.StatusOK {
			t.Errorf("%s", r)
		}
	}
	into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T1")), http.StatusAccepted)
}

// unwritable are documents of which none can be written in Klingon.
type unwritable struct{ api.Documents }

func (u unwritable) Get(ctx context.Context, invoiceID int64, format document.Format, language string) (document.Kept, error) {
	if language == "tlh" {
		return document.Kept{}, &document.UnmadeError{Format: format, Err: errors.New("no font has it")}
	}
	return u.Documents.Get(ctx, invoiceID, format, language)
}

type slow struct {
	api.Reports
	held, hold chan struct{}
}

func (s slow) Jobs(ctx context.Context, f report.Filter, after string, limit int) (report.Page[report.ListedJob], error) {
	s.held <- struct{}{}
	<-s.hold
	return s.Reports.Jobs(ctx, f, after, limit)
}

// awayDB is a database that nobody answers for.
func awayDB(t *testing.T) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(postgres.Options{URL: "postgres://nobody@127.0.0.1:1/nowhere", ConnectTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// Large bodies share a bounded memory, and small ones get through.
func TestLargeBodiesShareABoundedMemory(t *testing.T) {
	t.Parallel()
	s := setup(t, func(o *api.Options) { o.Bodies = 8 << 20 }) // for one stream
	large := append(jobOf("T1"), bytes.Repeat([]byte(" "), 1<<20)...)
	open, begun := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := s.try(t.Context(), "nightly", http.MethodPost, "/v1/jobs/batch?queue="+s.Queue, open, "Content-Type", "application/x-ndjson")
		ended <- err
	}()
	if _, err := begun.Write(append(jobOf("T0"), '\n')); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, "the stream's first job", func() bool { return s.Count(t, "SELECT count(*) FROM invoice_jobs") == 1 })
	if r := s.post(t, "nightly", large); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		t.Errorf("%s", r)
	}
	into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T2")), http.StatusAccepted)
	begun.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	rig.Eventually(t, "the large one accepted", func() bool { return s.post(t, "nightly", large).StatusCode != http.StatusServiceUnavailable })
}
