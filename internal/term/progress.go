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

// A Progress shows how far a command is: as a bar on a terminal, and elsewhere as a line every five seconds.
type Progress struct {
	// Read is how much of the size is done, and Sent the number that is shown. Any goroutine may add to them.
	Read, Sent atomic.Int64

	doing, did string // for example: enqueueing, jobs enqueued

	mu   sync.Mutex // keeps lines whole
	out  io.Writer
	bar  progress.Writer // nil without a terminal
	well bool            // the command succeeded; set before done is closed
	done chan struct{}
	over sync.WaitGroup
	once sync.Once
}

const (
	lineInterval = 5 * time.Second
	barInterval  = 100 * time.Millisecond
)

// NewProgress returns a Progress that shows itself on out until [Progress.Stop]. doing names the work, such as enqueueing, and did
// what is counted, such as jobs enqueued. The size is that of the whole work, or -1 if it isn't known.
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

// bars sets up the bar, through which Say prints from then on, and returns the function that draws it until Stop.
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

// Draw renders w on a goroutine of its own. The function that it returns renders once more, stops, and waits for the goroutine.
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
			w.Stop() // has no effect before the rendering has begun
			select {
			case <-drawn:
				return
			case <-again.C:
			}
		}
	}
}

// Say prints a line without damaging the bar. It may be called after [Progress.Stop].
func (p *Progress) Say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Log("%s", "invoicer: "+line)
		return
	}
	_, _ = fmt.Fprintln(p.out, "invoicer:", line) // an error can't be shown anywhere
}

// Stop stops showing the progress. On a terminal it marks the bar as done, or as failed unless well is set. A second call does
// nothing.
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

// Counting returns a reader of the source that adds the number of bytes it reads to p.Read.
func (p *Progress) Counting(source io.Reader) io.Reader {
	return &countingReader{source, &p.Read}
}

// A countingReader counts the bytes that are read through it.
type countingReader struct {
	source io.Reader
	count  *atomic.Int64
}

func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.source.Read(b)
	r.count.Add(int64(n))
	return n, err
}
