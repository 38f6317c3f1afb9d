package dispatch_test

import (
	"testing"
	"time"

	"invoicer/worker/dispatch"
)

// What came into Redis after the last mark may be gone although the mark is there and right, as when a second's worth of
// commands wasn't on disk yet. That it is another process tells of it.
func TestRedisComesBackAsItWasAtTheLastMark(t *testing.T) {
	t.Parallel()
	b, server := private(t)
	r, told := b.newReconciler(t, "r", func(p *reconcilerParts) { p.Settled, p.Lease = 1, time.Minute })
	for range 3 {
		round(t, r)
	}
	told.await(t, dispatch.Swept)
	if err := b.Redis.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	const jobs = 10
	b.accept(t, 1, jobs)
	relayed(t, jobs, b.relay(t))
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	b.restart(t, server)
	if n := len(b.pending(t)); n != 0 {
		t.Fatalf("Redis has kept %d tasks, and was to forget them", n)
	}
	round(t, r)
	told.await(t, dispatch.Suspected)
	if e := told.await(t, dispatch.PutBack); e.Jobs != jobs {
		t.Errorf("%d of %d jobs are put back", e.Jobs, jobs)
	}
}

// The same process answers, and its mark is gone, or is one that it had before.
func TestMarkIsGoneOrOlder(t *testing.T) {
	t.Parallel()
	for name, forget := range map[string]func(*site) error{
		"gone": func(b *site) error { return b.Redis.FlushAll(t.Context()).Err() },
		"older": func(b *site) error {
			return b.Redis.Set(t.Context(), "invoicer:"+b.databaseID+":mark:{"+b.Queue+"}", 0, 0).Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _ := private(t)
			r, told := b.newReconciler(t, "r", func(p *reconcilerParts) { p.Settled, p.Lease = 1, time.Minute })
			for range 3 {
				round(t, r)
			}
			told.await(t, dispatch.Swept)
			if err := forget(b); err != nil {
				t.Fatal(err)
			}
			round(t, r)
			told.await(t, dispatch.Suspected)
		})
	}
}
