package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/worker/client"
)

// postThreeTimes asks for a file's jobs at two workers by HTTP, three times at the same time: twice as a stream of lines, and once in batches.
func (s *site) postThreeTimes(t *testing.T, file string, transactions int, workers []*process) {
	t.Helper()
	for _, w := range workers {
		w.awaitReadyz(t, http.StatusOK)
	}
	var copies sync.WaitGroup
	for i, post := range []func(*site, *testing.T, string, string, int) (int, error){(*site).postLines, (*site).postLines, (*site).postBatches} {
		url := workers[i%len(workers)].pages(t)
		copies.Go(func() {
			if n, err := post(s, t, url, file, transactions); err != nil || n != transactions {
				t.Errorf("copy %d: %d jobs of %d were accepted: %v", i, n, transactions, err)
			}
		})
	}
	copies.Wait()
}

// openJobs opens a file of jobs, which may be compressed.
func openJobs(name string) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if err != nil || !strings.HasSuffix(name, ".gz") {
		return f, err
	}
	unzipped, err := gzip.NewReader(f)
	return struct {
		io.Reader
		io.Closer
	}{unzipped, f}, err
}

// postLines sends so many jobs as streams, and returns how many were accepted. A stream ends early where the machine is too busy for a piece of
// it: the next one goes on from there.
func (s *site) postLines(t *testing.T, url, file string, transactions int) (accepted int, err error) {
	t.Helper()
	for late := time.Now().Add(rig.Patience); accepted < transactions; {
		n, err := s.postFrom(t, url, file, accepted)
		if accepted += n; err != nil {
			return accepted, err
		}
		if n > 0 {
			late = time.Now().Add(rig.Patience)
		} else if time.Now().After(late) {
			return accepted, fmt.Errorf("job %d isn't accepted", accepted)
		}
	}
	return accepted, nil
}

// postFrom sends the jobs after those that are skipped as a stream, reads the results meanwhile, and returns how many were accepted before the
// first that was unavailable.
func (s *site) postFrom(t *testing.T, url, file string, skipped int) (accepted int, err error) {
	t.Helper()
	opened, err := openJobs(file)
	if err != nil {
		return 0, err
	}
	defer opened.Close()
	jobs := bufio.NewReaderSize(opened, invoice.MaxPayload)
	for range skipped {
		if _, err := jobs.ReadSlice('\n'); err != nil {
			return 0, err
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/jobs/batch?queue="+s.queue, jobs)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusServiceUnavailable: // after it has waited for its turn
		return 0, nil
	default:
		return 0, errors.New(answer.Status)
	}
	for results := json.NewDecoder(answer.Body); ; accepted++ {
		var result struct {
			Index   int
			Status  string
			JobID   string `json:"job_id"`
			Problem any
		}
		if err := results.Decode(&result); errors.Is(err, io.EOF) {
			return accepted, nil
		} else if err != nil {
			return accepted, err
		}
		if result.Status == "unavailable" {
			t.Logf("the stream ends at job %d: %v", skipped+accepted, result.Problem)
			return accepted, nil
		}
		if result.JobID == "" || result.Index != accepted {
			return accepted, fmt.Errorf("result %d: %+v", accepted, result)
		}
	}
}

// postBatches sends jobs by the client in Go, and returns how many were accepted.
func (s *site) postBatches(t *testing.T, url, file string, _ int) (accepted int, err error) {
	t.Helper()
	jobs, err := openJobs(file)
	if err != nil {
		return 0, err
	}
	defer jobs.Close()
	h, err := client.OverHTTP(url, "", client.HTTPOptions{Queue: s.queue})
	if err != nil {
		return 0, err
	}
	defer h.Close()
	var some []*invoice.Job
	send := func() error {
		results, err := h.AcceptMany(t.Context(), some)
		for _, r := range results {
			if r.Err == nil {
				accepted++
			}
		}
		some = some[:0]
		return err
	}
	lines := bufio.NewScanner(jobs)
	lines.Buffer(nil, invoice.MaxPayload)
	for lines.Scan() {
		job, err := invoice.Decode(lines.Bytes())
		if err != nil {
			return accepted, err
		}
		if some = append(some, job); len(some) == 1000 {
			if err := send(); err != nil {
				return accepted, err
			}
		}
	}
	return accepted, errors.Join(lines.Err(), send())
}

// A real shop's year by HTTP, three times over.
func TestHeavyARealYearByHTTP(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("heavy: make test-all runs it")
	}
	file := filepath.Join(os.Getenv("INVOICER_TEST_DATA"), "online_retail.jsonl.gz")
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		t.Skip("INVOICER_TEST_DATA names no folder with online_retail.jsonl.gz")
	}
	const transactions = 25_900
	s := sharedSite(t)
	began := time.Now()
	s.postThreeTimes(t, file, transactions, []*process{s.start(t, "worker"), s.start(t, "worker")})
	t.Logf("%d jobs are accepted after %s", 3*transactions, time.Since(began).Round(time.Second))
	rig.Within(t, 15*time.Minute, func() error {
		if n := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state IN ('accepted', 'enqueued')"); n > 0 {
			return fmt.Errorf("the ends of all jobs, of which %d have none", n)
		}
		return nil
	})
	t.Logf("all have ended after %s", time.Since(began).Round(time.Second))
	s.judgeThreeTimes(t, transactions)
	// As through every other door: see TestOnlineRetail in invoice.
	const want = "22062 invoices of 1066668454, 2102 of them zero, 3838 credit notes of -91893661, 541909 lines"
	got := s.Text(t, `SELECT format('%s invoices of %s, %s of them zero, %s credit notes of %s, %s lines',
    count(*) FILTER (WHERE kind = 'invoice'), sum(total_minor) FILTER (WHERE kind = 'invoice'), count(*) FILTER (WHERE total_minor = 0),
    count(*) FILTER (WHERE kind = 'credit_note'), sum(total_minor) FILTER (WHERE kind = 'credit_note'), (SELECT count(*) FROM invoice_lines)) FROM invoices`)
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
