package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/invoice"
)

// What the database refuses is found out by halves.
func TestGroupMemberFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	jobs := ten(t)
	jobs["bad"] = job(t, " no id")
	for id, a := range b.together(t, jobs, nil) {
		if id == "bad" {
			if a.err == nil {
				t.Error("the bad one: no error")
			}
		} else if a.err != nil || a.result.Outcome != invoice.Created {
			t.Errorf("%s: %+v", id, a)
		}
	}
	if n := b.Count(t, "SELECT count(*) FROM invoices WHERE transaction_id <> ' no id'"); n != 11 {
		t.Errorf("%d invoices of good ones, want 11", n)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoices"); n != 11 {
		t.Errorf("%d invoices, want 11", n)
	}
	// The first one's, and of eleven that are halved until the bad one is alone, at most four groups without it.
	if n := b.Count(t, "SELECT count(DISTINCT created_at) FROM invoices"); n > 5 {
		t.Errorf("the good ones took %d transactions, want 5 at most", n)
	}
	b.gapless(t)
}

// What fails once and is nobody's fault costs nobody the invoice: the group is written in halves.
func TestGroupFailsOnce(t *testing.T) {
	t.Parallel()
	for _, at := range []fault.Point{fault.Numbered, fault.Written} {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			failed := 0
			for id, a := range b.together(t, ten(t), func(_ context.Context, p fault.Point) error {
				if p != at || failed > 0 {
					return nil
				}
				failed++
				return errors.New("planted")
			}) {
				if a.err != nil || a.result.Outcome != invoice.Created {
					t.Errorf("%s: %+v", id, a)
				}
			}
			if n := b.Count(t, "SELECT count(DISTINCT created_at) FROM invoices"); n != 3 || failed != 1 {
				t.Errorf("%d transactions, and %d failed; want 3, the first one's and one of each half, and 1", n, failed)
			}
			b.gapless(t)
		})
	}
}

// An error, or a panic, at whatever point is told to every member, and leaves nothing behind.
func TestGroupFails(t *testing.T) {
	t.Parallel()
	cause := errors.New("planted")
	for _, at := range []fault.Point{fault.Numbered, fault.Written} {
		for name, c := range map[string]struct {
			fail func() error
			told func(error) bool
		}{
			"an error": {func() error { return cause }, func(err error) bool { return errors.Is(err, cause) }},
			"a panic": {func() error { panic(cause) }, func(err error) bool {
				return err != nil && strings.Contains(err.Error(), "panic while invoices were written")
			}},
		} {
			t.Run(fmt.Sprintf("%s, %s", name, at), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				jobs := ten(t)
				for id, a := range b.together(t, jobs, func(_ context.Context, p fault.Point) error {
					if p == at {
						return c.fail()
					}
					return nil
				}) {
					if !c.told(a.err) {
						t.Errorf("%s: %+v", id, a)
					}
				}
				if n := b.Count(t, "SELECT count(*) FROM invoices"); n != 1 {
					t.Errorf("%d invoices, want the first one's", n)
				}
				b.gapless(t)
				rig.Eventually(t, "no transaction that was left open", func() bool { // the server may notice later that a session was closed
					return b.Count(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND state LIKE 'idle in%'", b.Schema) == 0
				})
				b.store.Invoices.Plant(nil)
				for id, j := range jobs {
					b.create(t, b.id(id), j)
				}
				b.gapless(t)
			})
		}
	}
}

// ten returns as many jobs, all good.
func ten(t *testing.T) map[string]*invoice.Job {
	t.Helper()
	jobs := make(map[string]*invoice.Job)
	for i := range 10 {
		jobs[fmt.Sprintf("job-%d", i)] = job(t, fmt.Sprintf("T%d", i))
	}
	return jobs
}

// Who goes away while the group is refused is not written with its half.
func TestRefusedGroupMemberGoesAway(t *testing.T) {
	t.Parallel()
	b := setup(t)
	jobs := map[string]*invoice.Job{"bad": job(t, " no id", func(j *invoice.Job) { j.TransactionID = " no id" })}
	for _, id := range []string{"gone", "there", "also"} {
		jobs[id] = job(t, id)
	}
	gone, leave := context.WithCancel(t.Context())
	all := b.togetherIn(t, map[string]context.Context{"gone": gone}, jobs, func(_ context.Context, p fault.Point) error {
		if p == fault.Numbered {
			leave()
		}
		return nil
	})
	for id, want := range map[string]bool{"bad": false, "gone": false, "there": true, "also": true} {
		if made := all[id].err == nil; made != want {
			t.Errorf("%s: %+v", id, all[id])
		}
	}
	if got := b.Text(t, "SELECT string_agg(transaction_id, ' ' ORDER BY transaction_id) FROM invoices"); got != "also first there" {
		t.Errorf("invoiced are %s", got)
	}
	b.gapless(t)
}
