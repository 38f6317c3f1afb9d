package main

import (
	"syscall"
	"testing"
)

// Two databases in one Redis have the same transactions, and don't take each other's locks and done entries for their own.
func TestTwoDatabasesInOneRedis(t *testing.T) {
	t.Parallel()
	sites := []*site{sharedSite(t), sharedSite(t)}
	for _, s := range sites {
		w := s.start(t, "worker")
		s.enqueue(t, "T1")
		s.awaitEnds(t, 1)
		w.signal(t, syscall.SIGTERM)
		if code := w.exit(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	for _, s := range sites {
		entry := "invoicer:" + s.Text(t, "SELECT id::text FROM database_identity") + ":done:{T1}"
		if n, err := s.rdb.Exists(t.Context(), entry).Result(); err != nil || n != 1 {
			t.Errorf("%d entries %s, error %v", n, entry, err)
		}
		if n := s.Count(t, "SELECT count(*) FROM invoices"); n != 1 {
			t.Errorf("%d invoices", n)
		}
	}
}
