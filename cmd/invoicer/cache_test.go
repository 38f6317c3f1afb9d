package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"invoicer/internal/rig"
)

// With auto a worker begins with 24 hours, and follows the late duplicates on record in steps; the command and the metrics show it.
func TestCacheThatFits(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	fixed := s.start(t, "worker")
	s.enqueue(t, "T1", "T1", "T1", "T1", "T1", "T1", "T1", "T1", "T1")
	s.awaitEnds(t, 9)
	fixed.signal(t, syscall.SIGTERM)
	fixed.exit(t)
	s.change(t, `UPDATE duplicate_attempts SET reason = 'already_invoiced',
		attempted_at = (SELECT created_at FROM invoices WHERE id = invoice_id) + interval '1 hour'`)

	auto := s.with("INVOICER_IDEMPOTENCY_CACHE_TTL=auto", "INVOICER_IDEMPOTENCY_CACHE_QUANTILE=0.5")
	w := auto.start(t, "worker")
	w.await(t, "from=24h0m0s to=19h12m0s fitting=1h0m0s late_duplicates=8")
	s.enqueue(t, "T2")
	s.awaitEnds(t, 10)
	s.enqueue(t, "T2")
	s.awaitEnds(t, 11)
	key := "invoicer:" + s.Text(t, "SELECT id FROM database_identity") + ":done:{T2}"
	if ttl := s.rdb.PTTL(t.Context(), key).Val(); ttl > 19*time.Hour+12*time.Minute || ttl < 19*time.Hour {
		t.Errorf("the invoice is remembered for %s, want 19h12m", ttl)
	}
	rig.Await(t, func() error { // the worker counts an end after it is on record, and shows itself every two seconds
		code, metrics := get(t, w.pages(t)+"/metrics")
		for _, want := range []string{
			"invoicer_cache_ttl_seconds 69120", "invoicer_cache_fitting_seconds 3600", "invoicer_cache_needed_late_duplicates 8",
			`invoicer_cache_would_hit_ratio{ttl_seconds="600"} 0`, `invoicer_cache_would_hit_ratio{ttl_seconds="3600"} 1`,
			fmt.Sprintf(`invoicer_late_duplicates_total{cache="hit",queue=%q} 1`, s.queue),
		} {
			if code != http.StatusOK || !strings.Contains(metrics, "\n"+want+"\n") {
				return fmt.Errorf("/metrics lacks %s", want)
			}
		}
		_, stdout, stderr := auto.run(t, "", "cache")
		for _, want := range []string{
			`^idempotency.cache_ttl is auto.\n9 late duplicates seen, of which 8 are needed: 1h fits.\nWanted are 50 % of late duplicates, within 1m and 7d.\n`,
			`\n\S+ +19h12m +1 +1 +100.0 %\n`, `\n1m +1 +11.1 % +~2 +~[0-9.]+ (KB|B)\n`, `\n19h12m +9 +100.0 % +~2 +~[0-9.]+ (KB|B)\n`,
		} {
			if !regexp.MustCompile(want).MatchString(stdout) {
				return fmt.Errorf("%s is not in\n%s%s", want, stdout, stderr)
			}
		}
		return nil
	})
	rig.Await(t, func() error { // on a busy machine, Redis may not answer in time
		if _, stdout, _ := s.run(t, "", "workers", "--json"); !strings.Contains(stdout, `"idempotency.cache_ttl": "auto"`) || !strings.Contains(stdout, `"idempotency.cache_quantile": "0.5"`) {
			return fmt.Errorf("the settings of the worker, and not %s", stdout)
		}
		return nil
	})
}
