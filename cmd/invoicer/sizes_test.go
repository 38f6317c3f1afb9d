package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// sizedInvoices are so many that pages and indexes are filled as in use.
const sizedInvoices = 20_000

// sized is a job of so many lines, as a shop sends it.
func sized(number, lines int) string {
	var all []string
	for i := range lines {
		all = append(all, fmt.Sprintf(`{"sku":"8512%dA","description":"WHITE HANGING HEART T-LIGHT HOLDER","quantity":%d,"unit_price":"2.55","tax_percent":"20"}`, i, 1+number%9))
	}
	return fmt.Sprintf(`{"transaction_id":"order-%08d","producer":"checkout","customer_id":"%d","customer_name":"Alice Example","country":"United Kingdom","issued_at":"2026-01-02T08:26:00Z","currency":"GBP","lines":[%s]}`,
		number, 10_000+number%5_000, strings.Join(all, ","))
}

// TestHeavySizes measures what invoices need, of one line and of five: the tables of docs/operations.md. go test -v prints them anew.
//
//nolint:paralleltest // others would be measured, too
func TestHeavySizes(t *testing.T) {
	for _, lines := range []int{1, 5} {
		t.Run(fmt.Sprint(lines, " lines"), func(t *testing.T) { measureSizes(t, lines) })
	}
}

func measureSizes(t *testing.T, lines int) {
	d := rig.DatabaseOn(t, durablePostgres(t).URL)
	s := newSiteOn(t, d.URL, d.Schema, sandboxtest.PrivateRedis(t).URL).with("INVOICER_LOG_OUTCOMES=problems")
	const bySize = `SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class WHERE relnamespace = 'invoicer'::regnamespace AND relkind = 'r'`
	s.Exec(t, "CHECKPOINT")
	empty, wal, memory := s.Count(t, bySize), s.Text(t, "SELECT pg_current_wal_lsn()::text"), s.redisSays(t, "used_memory")

	var file strings.Builder
	for i := range sizedInvoices {
		file.WriteString(sized(i, lines) + "\n")
	}
	w := s.start(t, "worker")
	w.await(t, "worker started")
	asking := make(chan error, 1)
	go func() {
		code, _, stderr := s.run(t, file.String(), "enqueue", "-", "--durable", "--queue", s.queue)
		if code != exitOK {
			asking <- errors.New(stderr)
		}
		close(asking)
	}()
	database, redis := 0, 0
	rig.Within(t, 5*time.Minute, func() error {
		database = max(database, s.Count(t, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"))
		redis = max(redis, s.redisSays(t, "connected_clients"))
		if n := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'done'"); n < sizedInvoices {
			return fmt.Errorf("%d jobs, of which %d have ended", sizedInvoices, n)
		}
		return nil
	})
	must(t, <-asking)
	s.Exec(t, "ANALYZE") // for the numbers of rows
	per := func(bytes int) string { return fmt.Sprint((bytes + sizedInvoices/2) / sizedInvoices) }
	written := s.Count(t, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), $1)::bigint", wal)
	full := s.redisSays(t, "used_memory")
	_, err := s.inspector.DeleteAllCompletedTasks(s.queue)
	must(t, err)
	remembered := s.redisSays(t, "used_memory")
	stored := s.Count(t, bySize) - empty
	t.Logf("| %d | %s | %s | %s | %s | %d | %d |", lines, per(stored), per(written), per(full-memory), per(remembered-memory), database, redis)
	t.Log(s.Text(t, `SELECT string_agg(format('| %s | %s | %s | %s |', relname, rows, heap, indexes), E'\n' ORDER BY heap + indexes DESC) FROM (
		SELECT relname, round(reltuples::numeric / $1, 2) AS rows, round(pg_table_size(oid)::numeric / $1) AS heap, round(pg_indexes_size(oid)::numeric / $1) AS indexes
		FROM pg_class WHERE relnamespace = 'invoicer'::regnamespace AND relkind = 'r') sizes WHERE heap + indexes >= 10`, sizedInvoices))
	t.Log(s.Text(t, `SELECT string_agg(format('| %s | %s |', relname, bytes), E'\n' ORDER BY bytes DESC) FROM (
		SELECT relname, round(pg_relation_size(oid)::numeric / $1) AS bytes FROM pg_class WHERE relnamespace = 'invoicer'::regnamespace AND relkind = 'i') sizes WHERE bytes >= 10`, sizedInvoices))

	documented, err := os.ReadFile("../../docs/operations.md")
	must(t, err)
	row := regexp.MustCompile(fmt.Sprintf(`(?m)^\| %d \| ([0-9,]+) \|`, lines)).FindStringSubmatch(string(documented))
	if row == nil {
		t.Fatal("docs/operations.md doesn't say how much an invoice needs")
	}
	said, err := strconv.Atoi(strings.ReplaceAll(row[1], ",", ""))
	must(t, err)
	if is := stored / sizedInvoices; is < said*3/4 || is > said*5/4 {
		t.Errorf("docs/operations.md says %d bytes an invoice, and it is %d", said, is)
	}
}

// redisSays returns a number of INFO.
func (s *site) redisSays(t *testing.T, field string) int {
	t.Helper()
	info, err := s.rdb.Info(t.Context()).Result()
	must(t, err)
	_, rest, _ := strings.Cut(info, "\n"+field+":")
	number, _, _ := strings.Cut(rest, "\r")
	n, err := strconv.Atoi(number)
	must(t, err)
	return n
}
