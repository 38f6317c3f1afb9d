package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"invoicer/internal/chaos"
	"invoicer/internal/sandbox/sandboxtest"
)

// Three issuers use the same ids. Their series are paused, resumed and given other formats, settings change, and transactions are
// imported, all while workers are killed and Redis forgets everything: afterwards each transaction of an issuer is invoiced once or
// imported, in one row of numbers.
func TestChaosSeries(t *testing.T) {
	t.Parallel()
	seeds := []uint64{7}
	if everything() {
		seeds = []uint64{1, 2, 3, 4, 5, 6, 7, 8}
	}
	var scenes []scene
	for _, seed := range seeds {
		scenes = append(scenes, scene{fmt.Sprintf("seed=%d", seed), func(t *testing.T) { playSeries(t, seed) }})
	}
	playTogether(t, scenes)
}

const (
	seriesJobs  = 600
	seriesBatch = 20
)

func playSeries(t *testing.T, seed uint64) {
	t.Helper()
	r := chaos.NewRand(seed)
	redis := sandboxtest.PrivateRedis(t)
	x := newTrial(t, newSite(t, redis.URL))
	all := ofIssuers(r, newAskings(t, r, seriesJobs, 0, 0))
	past := importsOf(r, all)
	workers := []*process{x.start(t, "worker"), x.start(t, "worker")}
	act := func(args ...string) {
		by := x.operator
		if args[1] == "open" {
			by = x.deployer // the first issuer changes the tables
		}
		code, stdout, stderr := by.run(t, "", args...)
		if code != exitOK && !strings.Contains(stderr, "already") && !strings.Contains(stderr, "has no settings") {
			t.Errorf("%v: exit code %d, %s%s", args, code, stdout, stderr)
		}
	}
	versions := 0
	act("issuer", "open", chaosIssuers[1])
	act("issuer", "open", chaosIssuers[2])
	for sent := 0; sent < len(all); sent += seriesBatch {
		batch := all[sent : sent+seriesBatch]
		if r.IntN(4) == 0 {
			x.enqueueAll(t, batch)
		} else if err := x.accept(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		series, issuer := []string{"INV", "INV-CN"}[r.IntN(2)], "--issuer="+chaosIssuers[r.IntN(len(chaosIssuers))]
		switch r.IntN(7) {
		case 0:
			act("series", "pause", series, issuer)
		case 1:
			act("series", "resume", series, issuer)
		case 2:
			versions++
			act("series", "set", series, issuer, "--format", fmt.Sprintf("%s/v%d/{number}", series, versions))
		case 3:
			act("settings", "set", issuer, fmt.Sprintf("dates.latest=%dh", 24+sent))
		case 4:
			n := min(len(past), 15)
			if code, _, stderr := x.operator.run(t, strings.Join(past[:n], ""), "import", "-"); code != exitOK && !strings.Contains(stderr, "is invoiced here already") {
				t.Errorf("import: exit code %d, %s", code, stderr)
			}
			past = past[n:]
		case 5:
			i := r.IntN(len(workers))
			if err := workers[i].Process.Kill(); err != nil {
				t.Fatal(err)
			}
			workers[i].exit(t)
			workers[i] = x.start(t, "worker")
		case 6:
			// What the ledger has accepted is not lost with it; what was enqueued directly is, and so isn't awaited.
			for i := range x.jobs {
				x.jobs[i].Unknown = x.jobs[i].Unknown || !x.jobs[i].Ledger
			}
			if err := x.rdb.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, issuer := range chaosIssuers {
		act("series", "resume", "INV", "--issuer="+issuer)
		act("series", "resume", "INV-CN", "--issuer="+issuer)
	}
	x.settle(t)
	x.stopAll(t, workers)
	x.judgeSeries(t)
}

// chaosIssuers are the issuers of the jobs: none, and two.
var chaosIssuers = []string{"", "ACME-DE", "ACME-FR"}

// ofIssuers has each asking name an issuer, whatever those of the same transaction name.
func ofIssuers(r *rand.Rand, all []chaos.Asking) []chaos.Asking {
	for i := range all {
		if all[i].Issuer = chaosIssuers[r.IntN(len(chaosIssuers))]; all[i].Issuer != "" {
			all[i].Payload = fmt.Appendf(nil, `{"issuer":%q,%s`, all[i].Issuer, all[i].Payload[1:])
		}
	}
	return all
}

// importsOf draws a third of the transactions, each as a line that says that it was invoiced elsewhere.
func importsOf(r *rand.Rand, all []chaos.Asking) []string {
	seen := make(map[string]bool)
	var lines []string
	for _, a := range all {
		if of := a.Issuer + "/" + a.TransactionID; !seen[of] && r.IntN(3) == 0 {
			lines = append(lines, fmt.Sprintf("{\"issuer\":%q,\"transaction_id\":%q,\"invoice_number\":\"OLD %d\"}\n", a.Issuer, a.TransactionID, len(lines)+1))
			seen[of] = true
		}
	}
	return lines
}

func (x *trial) judgeSeries(t *testing.T) {
	t.Helper()
	for what, query := range map[string]string{
		"transactions are invoiced and imported": `SELECT count(*) FROM invoices JOIN imported_invoices USING (issuer, transaction_id)`,
		"jobs of the ledger have no end":         `SELECT count(*) FROM invoice_jobs WHERE state <> 'done'`,
		"accepted jobs' transactions are neither invoiced nor imported": `SELECT count(*) FROM invoice_jobs
			WHERE (issuer, transaction_id) NOT IN (SELECT issuer, transaction_id FROM invoices UNION SELECT issuer, transaction_id FROM imported_invoices)`,
		"duplicates name another issuer's or transaction's invoice": `SELECT count(*) FROM duplicate_attempts d JOIN invoices i ON i.id = d.invoice_id
			WHERE (d.issuer, d.transaction_id) <> (i.issuer, i.transaction_id)`,
		"duplicates name another transaction's import": `SELECT count(*) FROM duplicate_attempts d JOIN imported_invoices i ON i.id = d.imported_id
			WHERE (d.issuer, d.transaction_id) <> (i.issuer, i.transaction_id)`,
		"numbers are missing": `SELECT count(*) FROM (SELECT max(number) - count(*) AS missing FROM invoices GROUP BY issuer, series, period) gaps WHERE missing <> 0`,
		"numbers were placed by older settings than the one before": `SELECT count(*) FROM (
			SELECT series_version < lag(series_version) OVER (PARTITION BY issuer, series ORDER BY number) AS back FROM invoices) placed WHERE back`,
	} {
		if n := x.Count(t, query); n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
	for _, v := range x.watch.Violations() {
		t.Error(v)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var told string
	if err := x.DB.QueryRowContext(ctx, `SELECT format('%s invoices of %s issuers by %s versions of series and %s of the settings, %s imports, %s duplicates of them',
		(SELECT count(*) FROM invoices), (SELECT count(DISTINCT issuer) FROM invoices), (SELECT count(DISTINCT (issuer, series, series_version)) FROM invoices), (SELECT count(DISTINCT settings_version) FROM invoices),
		(SELECT count(*) FROM imported_invoices), (SELECT count(*) FROM duplicate_attempts WHERE imported_id IS NOT NULL))`).Scan(&told); err != nil {
		t.Fatal(err)
	}
	t.Log(told)
	if code, stdout, stderr := x.auditor.run(t, "", "audit"); code != exitOK {
		t.Errorf("audit: exit code %d\n%s%s", code, stdout, stderr)
	}
}
