package queue_test

import (
	"errors"
	"fmt"
	"testing"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/worker/queue"
)

// Where two databases with one identity both take writes, one of them has the queue.
func TestOfTwoCopiesOneStays(t *testing.T) {
	t.Parallel()
	rdb, a := rig.Connect(t, sandboxtest.Redis(t)), newInstallation(t)
	name := newQueue(a)
	k := a.keeper(t, rdb, nil, name)
	must(t, k.Claim(t.Context()))
	c := a.copied(t)
	other := c.keeper(t, rdb, nil, name)
	must(t, other.Claim(t.Context())) // in the same second
	runs := []*run{keep(t, k), keep(t, other)}
	select {
	case <-runs[0].done:
		runs[0], runs[1] = runs[1], runs[0]
	case <-runs[1].done:
	}
	if taken := runs[1].lost(t); !taken.Copy {
		t.Errorf("lost to %v", taken.Error())
	}
	renewals(t, rdb, name, a.ID, 4)
	runs[0].keeps(t)
}

// The database is dropped and made anew under a running worker.
func TestADatabaseThatIsAnotherOne(t *testing.T) {
	t.Parallel()
	rdb, a := rig.Connect(t, sandboxtest.Redis(t)), newInstallation(t)
	name := newQueue(a)
	r := start(t, a.keeper(t, rdb, nil, name))
	a.database.Exec(t, "UPDATE database_identity SET id = gen_random_uuid()")
	<-r.done
	if r.err == nil || !errors.Is(r.err, queue.ErrAnotherDatabase) {
		t.Errorf("ended with %v", r.err)
	}
	if o := owner(t, rdb, name); o.GivenUp {
		t.Errorf("it was given up: %+v", o)
	}
}

// Of many workers that start at once, one installation's have the queue, all of them.
func TestManyStartAtOnce(t *testing.T) {
	t.Parallel()
	rdb, all := rig.Connect(t, sandboxtest.Redis(t)), []*installation{newInstallation(t), newInstallation(t)}
	name := newQueue(all[0])
	const each = 4
	results := make([]chan error, len(all)*each)
	for n := range results {
		results[n] = make(chan error, 1)
		k := all[n%2].keeper(t, rdb, nil, name)
		go func() {
			err := k.Claim(t.Context())
			results[n] <- err
			if err == nil {
				keep(t, k)
			}
		}()
	}
	admitted := map[int]int{}
	for n := range results {
		if err := <-results[n]; err == nil {
			admitted[n%2]++
		} else {
			refusal(t, err)
		}
	}
	if len(admitted) != 1 || admitted[0]+admitted[1] != each {
		t.Errorf("admitted of each installation: %s", fmt.Sprint(admitted))
	}
}
