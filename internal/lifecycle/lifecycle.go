// Package lifecycle runs the parts of a process: it starts them in stages, waits until one fails or the process must stop, and
// stops them stage by stage in reverse order.
//
// A part of a later stage may rely on all parts of the earlier stages from its start until its end. The package sets no time limit
// on stopping: each part bounds that itself, as only the part knows what it may abandon.
package lifecycle

import (
	"context"
	"fmt"
	"sync"
)

// A Part is a part of a process that runs as long as the process does.
type Part struct {
	// Name identifies the part in errors.
	Name string
	// Start returns once others may rely on the part. Its context is that of the process: when it ends,
	// Start may give up with an error. Default: others may rely on the part at once.
	Start func(ctx context.Context) error
	// Run works until ctx ends, and returns once nothing of the part is under way any more. The context ends only when it is
	// the part's turn to stop. An error stops the process at any time. So does nil before the context has ended, because parts that
	// rely on this one would wait in vain.
	Run func(ctx context.Context) error
}

// A Stage is a list of parts that don't rely on each other. They are started in their order, and stopped at the same time.
type Stage []Part

// Run starts the stages in their order, and stops them in the reverse order when ctx ends or a part fails, also if it fails to
// start. It ends the contexts of a stage's parts once all parts of the later stages have returned, and returns after the last part.
//
// Run returns the first error of a part, as the part returned it, or nil if ctx ended and no part failed. The parts' contexts carry
// the values of ctx.
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

// running is a stage whose parts run; if one failed to start, those before it.
type running struct {
	end   context.CancelFunc
	parts sync.WaitGroup
}

func (r *running) stop() {
	r.end()
	r.parts.Wait()
}

// An outcome is the first error of the parts.
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
				err = fmt.Errorf("%s ended before it was told to stop", p.Name)
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
