package main

import (
	"flag"
	"os"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
)

// The proof of the whole: real processes and servers, things that go wrong on purpose, and a checker that knows nothing
// of the program. `make test` runs a part of it, `make chaos` all.
var (
	chaosFull     = flag.Bool("chaos.full", false, "run the whole matrix of faults, and not only a part")
	chaosSeeds    = flag.Int("chaos.seeds", number("SEEDS", 0), "run so many seeds; 0: the two that every test run has")
	chaosSeed     = flag.Uint64("chaos.seed", uint64(number("SEED", 0)), "run this seed alone")
	chaosParallel = flag.Int("chaos.parallel", 4, "so many sites at a time")

	// chaosSlots bounds the sites, each of which has several processes. They mostly wait, so -parallel is no measure.
	chaosSlots = sync.OnceValue(func() chan struct{} { return make(chan struct{}, *chaosParallel) })
)

func number(variable string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		return n
	}
	return otherwise
}

func everything() bool { return *chaosFull || *chaosSeeds > 0 || *chaosSeed > 0 }

// A scene is a test of its own.
type scene struct {
	name string
	play func(t *testing.T)
}

// playTogether runs the scenes side by side, and returns when all have ended.
func playTogether(t *testing.T, scenes []scene) {
	t.Helper()
	var group errgroup.Group
	group.SetLimit(*chaosParallel)
	for _, s := range scenes {
		group.Go(func() error {
			t.Run(s.name, func(t *testing.T) {
				chaosSlots() <- struct{}{}
				defer func() { <-chaosSlots() }() // runs before the clean-up, which takes no time
				s.play(t)
			})
			return nil
		})
	}
	_ = group.Wait() // the tests have told
}
