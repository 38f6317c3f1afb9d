package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"invoicer/internal/chaos"
	"invoicer/internal/fault"
)

// A cell is one fault at one point.
type cell struct {
	chaos.Order
	restarted bool // a process that died is started again; else the healthy one has to take over
	long      bool // a process that stopped goes on only when all its work was done by others; else when its lock is gone
}

// matrix returns every point with every action; or, of those, every point with a kill and a few of the others.
func matrix(full bool) []cell {
	var cells []cell
	for i, p := range chaos.Points() {
		for k, action := range chaos.Actions() {
			c := cell{Order: chaos.Order{Point: p, Action: action, Nth: 1 + (i+k)%3}, restarted: i%2 == 0, long: i%2 == 0}
			if c.Relays() {
				c.Nth = 1 // a relay may take all there is at once
			}
			switch {
			case full && (action == chaos.Kill || action == chaos.Stop):
				other := c
				other.restarted, other.long = !c.restarted, !c.long
				cells = append(cells, c, other)
			case full || action == chaos.Kill || i%len(chaos.Actions()) == k:
				cells = append(cells, c)
			}
		}
	}
	return cells
}

func (c cell) String() string {
	s := c.Order.String()
	switch {
	case c.Dies() && c.restarted:
		s += " and restart"
	case c.Action == chaos.Stop && c.long:
		s += " for long"
	}
	return s
}

func TestChaosMatrix(t *testing.T) {
	t.Parallel()
	if *chaosSeed > 0 {
		t.Skip("-chaos.seed asks for one seed alone")
	}
	begun := time.Now()
	var scenes []scene
	for i, c := range matrix(everything()) {
		scenes = append(scenes, scene{c.String(), func(t *testing.T) { c.play(t, uint64(i)) }})
	}
	playTogether(t, scenes)
	t.Logf("%d cells in %s", len(scenes), time.Since(begun).Round(time.Second))
}

func (c cell) play(t *testing.T, seed uint64) {
	x := newTrial(t, sharedSite(t))
	all := newAskings(t, rand.New(rand.NewPCG(seed, 1)), 38, 1, 1)
	release := func() {}
	if c.Point == fault.Held {
		release = x.lockOthers(t, all[:8])
	}
	faulty := x.with(chaos.Variable+"="+c.Order.String()).startProgram(t, faultyProgram, "worker")
	faulty.await(t, "worker started")
	workers := []*process{faulty}
	ask := func(part []chaos.Asking) {
		for some := range slices.Chunk(part, 4) {
			if err := x.accept(t.Context(), some[:len(some)/2]); err != nil {
				t.Fatal(err)
			}
			x.enqueueAll(t, some[len(some)/2:])
		}
	}
	ask(all[:len(all)/2]) // the faulty one has these for itself, or a healthy one might do them all
	faulty.await(t, c.Done())
	release()
	workers = append(workers, x.start(t, "worker"))
	ask(all[len(all)/2:])
	switch {
	case c.Dies():
		if code := faulty.exit(t); c.Action == chaos.Kill && code != -1 || code == 0 {
			t.Errorf("it was to die, and exits with %d", code)
		}
		workers = workers[1:]
		if c.restarted {
			workers = append(workers, x.start(t, "worker"))
		}
	case c.Action == chaos.Stop:
		if c.long {
			x.awaitAllEnds(t)
		} else {
			time.Sleep(3500 * time.Millisecond) // this is the fault: a pause that outlasts its lock, of 3s
		}
		faulty.signal(t, syscall.SIGCONT)
	case c.Action == chaos.LostReply:
		faulty.await(t, c.Dropped())
	}
	x.settle(t)
	x.stopAll(t, workers)
	report := x.verdict(t)
	if report.Ledger+report.Direct != len(all) || report.Invalid != 1 || report.Conflicts == 0 {
		t.Errorf("%d and %d jobs of %d are known, %d invalid, %d conflicts", report.Ledger, report.Direct, len(all), report.Invalid, report.Conflicts)
	}
}

// lockOthers locks transactions for a job that isn't there, which the jobs find held until the function that it returns is
// called.
func (x *trial) lockOthers(t *testing.T, all []chaos.Asking) (release func()) {
	t.Helper()
	prefix := x.keyPrefix(t)
	var keys []string
	for _, a := range all {
		key := prefix + "lock:{" + a.TransactionID + "}"
		keys = append(keys, key)
		if err := x.rdb.Set(t.Context(), key, `{"holder":"nobody","worker":"nowhere","token":"x"}`, time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := x.rdb.Del(t.Context(), keys...).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func (x *trial) keyPrefix(t *testing.T) string {
	t.Helper()
	return "invoicer:" + x.Text(t, "SELECT id::text FROM database_identity") + ":"
}

// stopAll asks the workers to end, and sees them end well.
func (x *trial) stopAll(t *testing.T, workers []*process) {
	t.Helper()
	for _, w := range workers {
		w.await(t, "worker started") // until then a signal ends it as a failure to start
		w.signal(t, syscall.SIGTERM)
	}
	for _, w := range workers {
		if code := w.exit(t); code != exitOK {
			t.Errorf("a worker that was asked to end exits with %d", code)
		}
	}
}

func TestMatrixIsComplete(t *testing.T) {
	t.Parallel()
	names := map[string]int{}
	for _, c := range matrix(true) {
		names[fmt.Sprint(c.Point, c.Action)]++
		if strings.Contains(c.String(), "/") {
			t.Errorf("%s is no name of a test", c)
		}
	}
	if want := len(chaos.Points()) * len(chaos.Actions()); len(names) != want {
		t.Errorf("%d cells of %d", len(names), want)
	}
}
