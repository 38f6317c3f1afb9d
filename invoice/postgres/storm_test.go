package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// A slowGroup is a group of numbers whose work takes as long as the test wants.
type slowGroup struct {
	*postgres.Group

	gone chan []int // what has just begun
	done chan struct{}
}

// openGroup returns a group of which eight go together, and always two more are expected than have gone.
func openGroup(patience time.Duration) *slowGroup {
	s := &slowGroup{gone: make(chan []int), done: make(chan struct{})}
	s.Group = postgres.NewGroup(8, patience, func(gone []int) int { return len(gone) + 2 }, func(members []int) {
		s.gone <- slices.Clone(members)
		<-s.done
	})
	return s
}

// comes lets a number come.
func (s *slowGroup) comes(t *testing.T, n int) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	go func() { _ = s.Join(ctx, n) }() // it fails when its context ends, and this one doesn't
}

// join lets numbers come, and returns once all wait.
func (s *slowGroup) join(t *testing.T, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		before, _ := s.Waits()
		s.comes(t, n)
		for now, _ := s.Waits(); now == before; now, _ = s.Waits() {
		}
	}
}

// goes makes sure that these are who goes next, now.
func (s *slowGroup) goes(t *testing.T, want ...int) {
	t.Helper()
	select {
	case got := <-s.gone:
		if !slices.Equal(got, want) {
			t.Fatalf("%v went, want %v", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("nobody goes, want %v", want)
	}
}

// gathers returns once more are waited for.
func (s *slowGroup) gathers(t *testing.T) {
	t.Helper()
	for {
		if _, forMore := s.Waits(); forMore {
			return
		}
		select {
		case early := <-s.gone:
			t.Fatalf("%v went, and should have waited for more", early)
		default:
		}
	}
}

// In a storm, what comes is waited for until it is as much as is expected.
func TestStormGathers(t *testing.T) {
	t.Parallel()
	s := openGroup(time.Hour)
	s.comes(t, 1)
	s.goes(t, 1) // alone, it waits for nobody
	s.join(t, 2)
	s.done <- struct{}{}
	s.gathers(t)
	s.comes(t, 3)
	s.comes(t, 3)
	s.goes(t, 2, 3, 3)
	s.join(t, 4, 5, 6, 7, 8, 9, 10, 11) // five would do, and eight go together
	s.done <- struct{}{}
	s.goes(t, 4, 5, 6, 7, 8, 9, 10, 11)
	s.join(t, 4, 5, 6, 7, 8, 9, 10, 11) // more than eight never do
	s.done <- struct{}{}
	s.goes(t, 4, 5, 6, 7, 8, 9, 10, 11)
	s.done <- struct{}{}
	for working := true; working; working = s.Busy() {
	}
	s.comes(t, 12)
	s.goes(t, 12) // the storm is over
	s.done <- struct{}{}
}

// Who waits for more in vain goes with those who are there.
func TestStormHasPatience(t *testing.T) {
	t.Parallel()
	s := openGroup(200 * time.Millisecond)
	s.comes(t, 1)
	s.goes(t, 1)
	s.join(t, 2)
	s.done <- struct{}{}
	s.gathers(t)
	s.goes(t, 2)
	s.SetPatience(time.Hour)
	s.join(t, 3) // as many as came last time do
	s.done <- struct{}{}
	s.goes(t, 3)
	s.join(t, 4)
	s.done <- struct{}{}
	s.gathers(t)
	s.comes(t, 5)
	s.comes(t, 5)
	s.goes(t, 4, 5, 5)
	s.done <- struct{}{}
}

// Duplicates of one invoice that come while others of it are being recorded are recorded together.
func TestStormOfDuplicates(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *postgres.Options) { o.Callers = 40 })
	b.store.Ledger.SetPatience(time.Hour)
	made := b.create(t, "one", job(t, "T1"))
	record := func(from, to int) *sync.WaitGroup {
		var all sync.WaitGroup
		for i := from; i < to; i++ {
			all.Go(func() {
				if err := b.store.Ledger.Record(t.Context(), end(fmt.Sprintf("job-%d", i), invoice.Duplicate, made)); err != nil {
					t.Error(err)
				}
			})
		}
		return &all
	}
	// Whoever ends the job waits until it is released.
	hold := func(id string) (release func()) {
		tx, err := b.DB.BeginTx(t.Context(), nil)
		if err == nil {
			_, err = tx.ExecContext(t.Context(), "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", id)
		}
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
		}
	}
	waiting := func(n int) {
		for b.store.Ledger.DuplicatesWaiting() != n {
		}
	}
	releaseFirst, releaseSecond := hold("job-0"), hold("job-1")
	one := record(0, 1)
	for !b.store.Ledger.Recording() {
	}
	waiting(0)
	storm := record(1, 17)
	waiting(16)
	releaseFirst()
	one.Wait()
	waiting(0)
	few := record(17, 18)
	waiting(1)
	releaseSecond()
	storm.Wait()
	more := record(18, 37) // 20 are expected after 16
	more.Wait()
	few.Wait()
	if n := b.Count(t, "SELECT count(DISTINCT attempted_at) FROM duplicate_attempts"); n != 3 {
		t.Errorf("37 duplicates took %d transactions, want 3: of 1, 16 and 20", n)
	}
}

// Many duplicates of one invoice are a storm; as many of different ones aren't, nor are few.
func TestStorm(t *testing.T) {
	t.Parallel()
	store, err := postgres.Open(postgres.Options{URL: "postgres://127.0.0.1", Callers: 20})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	few := slices.Repeat([]int64{7}, 7)
	for _, one := range []struct {
		of   []int64
		want int
	}{
		{few, 0},
		{append(few, 7), 10},
		{append(few, 7, 1, 2, 3, 4, 5, 6, 8), 18},
		{append(few, 7, 1, 2, 3, 4, 5, 6, 8, 9), 0},
		{slices.Repeat([]int64{7}, 40), 20}, // there are no more callers
	} {
		if got := store.Ledger.Storm(one.of...); got != one.want {
			t.Errorf("after duplicates of %v, %d are expected, want %d", one.of, got, one.want)
		}
	}
}
