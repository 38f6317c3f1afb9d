// Package lifecycle runs the parts of a process: it starts them in stages, waits until one fails or all are to end, and
// stops them stage by stage in reverse order.
//
// A part of a later stage may rely on all parts of the earlier ones from its start until its end. It never waits for
// parts to be killed: each part bounds how long its own stopping takes, as only it knows what may be broken off.
package lifecycle

import (
	"context"
	"fmt"
	"sync"
)

// A Part is something that works as long as the process does.
type Part struct {
	// Name tells the part from the others, in errors.
	Name string
	// Start returns once others may rely on the part. Its context is the process's: it ends when all is to end, and then
	// starting may be broken off with an error. Default: others may rely on the part at once.
	Start func(ctx context.Context) error
	// Run works until ctx ends, and returns once nothing of the part is under way any more. The context has no other end
	// than the part's turn to stop. An error ends the process, whenever it comes. Returning nil while the context hasn't
	// ended is an error as well: the parts that rely on this one would wait in vain.
	Run func(ctx context.Context) error
}

// A Stage is parts that don't rely on each other. They are started in their order and stopped all at once.
type Stage []Part

// Run starts the stages in their order, and stops them in the reverse order when ctx ends or a part fails. The parts of a
// stage are told to stop once all parts of the later stages have ended, and so are those that were running when another
// one failed to start. Run returns once all have ended.
//
// The error is the first of any part, as the part returned it; the end of ctx is none. The parts' contexts carry the values
// of ctx.
func Run(ctx context.Context, stages ...Stage) error {
	o := outcome{failed: make(chan struct{})}
	var started []*running
	for _, stage := range stages {
		if ctx.Err() != nil || o.err() != nil {
			break
		}
		r := o.start(ctx, stage)
		started = append(started, r)
	}
	select {
	case <-ctx.Done():
	case <-o.failed:
	}
	for i := len(started) - 1; i >= 0; i-- {
		started[i].stop()
	}
	return o.err()
}

// running is a stage whose parts run, up to one that failed to start.
type running struct {
	end   context.CancelFunc
	parts sync.WaitGroup
}

func (r *running) stop() {
	r.end()
	r.parts.Wait()
}

// An outcome is how the parts have done so far.
type outcome struct {
	failed chan struct{} // closed once a part has failed

	mu    sync.Mutex
	first error
}

// start starts the parts of a stage until one fails.
func (o *outcome) start(process context.Context, stage Stage) *running {
	ctx, end := context.WithCancel(context.WithoutCancel(process))
	r := &running{end: end}
	for _, p := range stage {
		if p.Start != nil {
			if err := p.Start(process); err != nil {
				o.fail(err)
				return r
			}
		}
		r.parts.Go(func() {
			err := p.Run(ctx)
			if err == nil && ctx.Err() == nil {
				err = fmt.Errorf("%s has ended before it was to stop", p.Name)
			}
			o.fail(err)
		})
	}
	return r
}

// fail keeps the first error.
func (o *outcome) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil && o.first == nil {
		o.first = err
		close(o.failed)
	}
}

func (o *outcome) err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.first
}
