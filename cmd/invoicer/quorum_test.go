package main

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
)

// With a quorum, commits wait for any one of two standbys. The one that has all is promoted: nothing is lost, and nobody waits. Where the
// other one is promoted by mistake, commits that were replicated are lost all the same: the series waits, and no number goes to another
// transaction.
func TestQuorum(t *testing.T) {
	t.Parallel()
	for name, behind := range map[string]bool{"the one that has all": false, "the one that is behind": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			second, err := servers.StartStandby(t.Context(), p.primary, "standby2", servers.PostgresOptions{TCP: true})
			must(t, err)
			t.Cleanup(func() { must(t, second.Close()) })
			rig.DatabaseOn(t, p.primary.URL)
			must(t, runSQL(p.primary.URL, "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (standby1, standby2)'"))
			must(t, runSQL(p.primary.URL, "SELECT pg_reload_conf()"))
			rig.Eventually(t, "a quorum of two", func() bool {
				return rig.OpenDatabase(t, p.primary.URL, "invoicer").Is(t, "SELECT count(*) = 2 FROM pg_stat_replication WHERE sync_state = 'quorum'")
			})
			s := newSiteOn(t, p.urlWith(t, second), "invoicer", sandboxtest.Redis(t))
			s.start(t, "worker").await(t, "worker started")
			asked := 0
			ask := func(jobs int) (ids []string) {
				for range jobs {
					asked++
					ids = append(ids, fmt.Sprintf("T%d", asked))
				}
				return ids
			}
			s.enqueue(t, ask(5)...)
			s.awaitCount(t, 5, "SELECT count(*) FROM invoices")
			next := rig.OpenDatabase(t, second.URL, "invoicer")
			rig.Eventually(t, "the second standby has them", func() bool { return next.Count(t, "SELECT count(*) FROM invoices") == 5 })
			must(t, second.Cut(t.Context()))
			lost := ask(5)
			s.enqueue(t, lost...)
			s.awaitCount(t, 10, "SELECT count(*) FROM invoices")
			s.awaitAcknowledged(t)
			given := s.numbers(t)

			must(t, p.primary.Kill())
			if !behind {
				must(t, p.standby.Promote(t.Context()))
				s.Database = rig.OpenDatabase(t, p.standby.URL, "invoicer")
			} else {
				must(t, second.Promote(t.Context()))
				s.Database = next
			}
			s.enqueueSoon(t, ask(1)[0])
			if behind {
				s.awaitCount(t, 1, "SELECT count(*) FROM series WHERE state = 'paused' AND version = (SELECT max(version) FROM series)")
				s.must(t, "series", "recover", "INV", "--yes")
				s.enqueue(t, lost...)
			}
			s.awaitCount(t, asked, "SELECT count(*) FROM invoices")
			if n := s.Count(t, "SELECT count(*) FROM series WHERE state = 'paused'"); (n > 0) != behind {
				t.Errorf("paused %d times", n)
			}
			if now := s.numbers(t); !strings.HasPrefix(now, given) {
				t.Errorf("the numbers were %s, and are %s", given, now)
			}
			s.must(t, "audit")
		})
	}
}

// urlWith names a third server as well.
func (p *pair) urlWith(t *testing.T, third *servers.Standby) string {
	t.Helper()
	all, err := url.Parse(p.url(t))
	must(t, err)
	more, err := url.Parse(third.URL)
	must(t, err)
	all.Host += "," + more.Host
	return all.String()
}
