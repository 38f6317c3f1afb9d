package witness

import (
	"context"
	"time"

	"invoicer/invoice"
)

// mostKept bounds the lines, in bytes, that are kept while they can't be written, and retry is how soon that is tried again.
const (
	mostKept = 4 << 20
	retry    = 5 * time.Second
)

// Add begins to write the documents of one transaction. The returned function waits until they are on the disk, or can't be. Transactions
// that come meanwhile share the next write.
//
// What can't be written is kept for the next write, up to a bound; from then on nobody waits until it works again. The log has both.
func (f *Folder) Add(made []invoice.Made) (wait func(context.Context)) {
	lines := encode(made)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pending)+len(lines) > mostKept {
		f.dropped = true // the database has them: see Run
		return func(context.Context) {}
	}
	f.pending = append(f.pending, lines...)
	if f.failing {
		return func(context.Context) {} // Run tries again
	}
	f.write()
	next := f.next
	return func(ctx context.Context) {
		select {
		case <-next:
		case <-ctx.Done():
			f.hangs(ctx, next)
		}
	}
}

// write has somebody write what is pending. Call it with the mutex.
func (f *Folder) write() {
	if !f.busy && len(f.pending) > 0 {
		f.busy = true
		f.working.Go(f.writeAll)
	}
}

func (f *Folder) writeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() { f.busy = false }()
	for len(f.pending) > 0 {
		lines, done := f.pending, f.next
		f.pending, f.next, f.current = nil, make(chan struct{}), done
		f.mu.Unlock()
		err := f.live.append(lines)
		f.mu.Lock()
		f.current = nil
		close(done)
		if err != nil {
			f.pending = append(lines, f.pending...)
			close(f.next) // nor will what came meanwhile be written soon
			f.next = make(chan struct{})
			f.fails(err)
			return
		}
		if f.failing {
			f.failing = false
			f.log.Info("documents are written to the witness again", "folder", f.dir)
		}
		if f.dropped {
			f.dropped = false
			f.Looked()
		}
	}
}

// fails is called with the mutex.
func (f *Folder) fails(err error) {
	if !f.failing {
		f.failing = true
		f.log.Warn("documents can't be written to the witness", "folder", f.dir, "error", err)
	}
}

func (f *Folder) hangs(ctx context.Context, next chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if next == f.next || next == f.current { // else it has ended by now
		f.fails(context.Cause(ctx))
	}
}

// Looked has Run add what the folder lacks: after a failover or a restore that may be more.
func (f *Folder) Looked() {
	select {
	case f.due <- struct{}{}:
	default: // it will
	}
}

// Run writes again what couldn't be written, and now and then adds the documents that the folder lacks, as after a crash between a
// commit and its write, or when the folder is new. It returns when the context ends.
func (f *Folder) Run(ctx context.Context) {
	tick := time.NewTicker(retry)
	defer tick.Stop()
	again, warned := false, false
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-f.due:
		case <-tick.C:
			f.mu.Lock()
			f.write()
			f.mu.Unlock()
			if !again && time.Since(last) < every {
				continue
			}
		}
		err := f.catchUp(ctx)
		last, again = time.Now(), err != nil
		if again && !warned && !isLater(err) && ctx.Err() == nil {
			f.log.WarnContext(ctx, "documents that the witness lacks can't be added", "folder", f.dir, "error", err)
		}
		warned = again && (warned || !isLater(err))
	}
}

// every is how often the folder is compared with the database.
const every = 10 * time.Minute
