package term

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
)

// A Progress shows how far a command is: a bar on a terminal, elsewhere a line every few seconds.
type Progress struct {
	// Read is how much of the whole is done, and Sent what is counted for people. Any goroutine may add to them.
	Read, Sent atomic.Int64

	doing, did string // such as enqueueing, jobs enqueued

	mu   sync.Mutex // for whole lines
	out  io.Writer
	bar  progress.Writer // nil without a terminal
	well bool            // how it ended, once done is closed
	done chan struct{}
	over sync.WaitGroup
	once sync.Once
}

const (
	lineInterval = 5 * time.Second
	barInterval  = 100 * time.Millisecond
)

// NewProgress begins to show, until [Progress.Stop]. What is done has a name, such as enqueueing, and so has what is
// counted, such as jobs enqueued. The size of the whole is -1 when it isn't known.
func NewProgress(out io.Writer, size int64, doing, did string) *Progress {
	p := &Progress{doing: doing, did: did, out: out, done: make(chan struct{})}
	if IsTerminal(out) {
		p.over.Go(p.bars(size))
	} else {
		p.over.Go(p.plain)
	}
	return p
}

func (p *Progress) plain() {
	tick := time.NewTicker(lineInterval)
	defer tick.Stop()
	last := int64(0)
	for {
		select {
		case <-tick.C:
			sent := p.Sent.Load()
			p.Say(fmt.Sprintf("%s %s, %s a second", Thousands(int(sent)), p.did, Thousands(int(float64(sent-last)/lineInterval.Seconds()))))
			last = sent
		case <-p.done:
			return
		}
	}
}

// bars returns what draws the bar, once it is set up: from then on Say goes through it.
func (p *Progress) bars(size int64) func() {
	unit, _, _ := strings.Cut(p.did, " ")
	tracker := &progress.Tracker{Message: p.doing, Total: max(size, 0), AutoStopDisabled: true, Units: progress.Units{
		Formatter: func(int64) string { return Thousands(int(p.Sent.Load())) + " " + unit },
	}}
	p.bar = progress.NewWriter()
	p.bar.SetOutputWriter(p.out)
	p.bar.SetAutoStop(false)
	p.bar.SetUpdateFrequency(barInterval)
	p.bar.SetTrackerLength(30)
	p.bar.SetTrackerPosition(progress.PositionRight)
	p.bar.Style().Visibility.TrackerOverall = false
	p.bar.AppendTracker(tracker)
	return func() {
		end := Draw(p.bar)
		tick := time.NewTicker(barInterval)
		defer tick.Stop()
		for running := true; running; {
			select {
			case <-tick.C:
			case <-p.done:
				running = false
			}
			tracker.SetValue(p.Read.Load())
		}
		if p.well {
			tracker.MarkAsDone()
		} else {
			tracker.MarkAsErrored()
		}
		end()
	}
}

// Draw has a writer draw on a goroutine of its own, and returns what ends that after one more picture.
func Draw(w progress.Writer) (end func()) {
	drawn := make(chan struct{})
	go func() {
		defer close(drawn)
		w.Render()
	}()
	return func() {
		again := time.NewTicker(time.Millisecond)
		defer again.Stop()
		for {
			w.Stop() // without effect until the drawing has begun
			select {
			case <-drawn:
				return
			case <-again.C:
			}
		}
	}
}

// Say prints a line among the progress. It may be called after [Progress.Stop].
func (p *Progress) Say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Log("%s", "invoicer: "+line)
		return
	}
	_, _ = fmt.Fprintln(p.out, "invoicer:", line) // nobody is left to tell
}

// Stop ends the showing, and shows whether all went well. A second call does nothing.
func (p *Progress) Stop(well bool) {
	p.once.Do(func() {
		p.well = well
		close(p.done)
		p.over.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.bar = nil
	})
}

// Counting returns a reader of the source that adds to Read what it reads.
func (p *Progress) Counting(source io.Reader) io.Reader {
	return &countingReader{source, &p.Read}
}

// A countingReader counts what is read.
type countingReader struct {
	source io.Reader
	count  *atomic.Int64
}

func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.source.Read(b)
	r.count.Add(int64(n))
	return n, err
}
