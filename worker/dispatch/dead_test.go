package dispatch_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"invoicer/worker"
	"invoicer/worker/dispatch"
	"invoicer/worker/queue"
)

// However many jobs a worker had in hand, and however they come back, it is one line that names it.
func TestADeadWorkerIsOneLine(t *testing.T) {
	t.Parallel()
	b := setup(t)
	transactions := 0
	had := func(holder string, jobs int) {
		for range jobs {
			transactions++
			id := b.enqueue(t, fmt.Sprintf("T%d", transactions))
			if holder != "" { // before the reconciler, which may be running, finds the job
				b.Redis.HSet(t.Context(), b.Key("t:")+id, queue.HolderField, holder)
			}
			b.takenByTheDead(t, id)
		}
	}
	had("vm-1-dead", 100)
	had("vm-2-dead", 1)
	had("", 3) // by a worker of the release before

	var log said
	told, stop := b.reconciler(t, "r", func(p *reconcilerParts) { p.Logger = log.log() })
	for range transactions {
		told.await(t, dispatch.Requeued)
	}
	had("vm-1-dead", 50) // what it had taken is found in a later round
	for range 50 {
		told.await(t, dispatch.Requeued)
	}
	stop()
	var lines []string
	for line := range strings.Lines(log.all()) {
		if _, says, found := strings.Cut(line, "a worker is gone"); found && strings.Contains(line, "level=WARN") {
			_, says, _ = strings.Cut(says, "worker=")
			lines = append(lines, strings.TrimSpace(says))
		}
	}
	slices.Sort(lines)
	want := []string{
		fmt.Sprintf("unknown queues=%s jobs=3", b.Queue), fmt.Sprintf("vm-1-dead queues=%s jobs=100", b.Queue), fmt.Sprintf("vm-2-dead queues=%s jobs=1", b.Queue),
	}
	if !slices.Equal(lines, want) {
		t.Errorf("the log tells of %q, want %q", lines, want)
	}
}

// Who fetches a job writes down that it has it.
func TestATaskNamesWhoHasIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job, w := b.hold(t)
	id := b.enqueue(t, "T1")
	<-job.reached
	if name, err := b.Redis.HGet(t.Context(), b.Key("t:")+id, queue.HolderField).Result(); err != nil || name != "w" {
		t.Errorf("it is in the hands of %q, error %v", name, err)
	}
	job.release()
	w.await(t, worker.Ended)
}
