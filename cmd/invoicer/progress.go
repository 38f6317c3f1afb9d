package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
)

// A progressShow shows how far a command is: a bar on a terminal, elsewhere a line every few seconds.
type progressShow struct {
	doing, did string       // such as enqueueing, jobs enqueued
	read, sent atomic.Int64 // of the whole; what is counted for people

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

// newProgress begins to show. The size of the whole is -1 when it isn't known.
func newProgress(out io.Writer, size int64, doing, did string) *progressShow {
	p := &progressShow{doing: doing, did: did, out: out, done: make(chan struct{})}
	if isTerminal(out) {
		p.over.Go(p.bars(size))
	} else {
		p.over.Go(p.plain)
	}
	return p
}

func (p *progressShow) plain() {
	tick := time.NewTicker(lineInterval)
	defer tick.Stop()
	last := int64(0)
	for {
		select {
		case <-tick.C:
			sent := p.sent.Load()
			p.say(fmt.Sprintf("%s %s, %s a second", thousands(int(sent)), p.did, thousands(int(float64(sent-last)/lineInterval.Seconds()))))
			last = sent
		case <-p.done:
			return
		}
	}
}

// bars returns what draws the bar, once it is set up: from then on say goes through it.
func (p *progressShow) bars(size int64) func() {
	unit, _, _ := strings.Cut(p.did, " ")
	tracker := &progress.Tracker{Message: p.doing, Total: max(size, 0), AutoStopDisabled: true, Units: progress.Units{
		Formatter: func(int64) string { return thousands(int(p.sent.Load())) + " " + unit },
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
		end := draw(p.bar)
		tick := time.NewTicker(barInterval)
		defer tick.Stop()
		for running := true; running; {
			select {
			case <-tick.C:
			case <-p.done:
				running = false
			}
			tracker.SetValue(p.read.Load())
		}
		if p.well {
			tracker.MarkAsDone()
		} else {
			tracker.MarkAsErrored()
		}
		end()
	}
}

// draw has a writer draw on a goroutine of its own, and returns what ends that after one more picture.
func draw(w progress.Writer) (end func()) {
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

// say prints a line among the progress. It may be called after stop.
func (p *progressShow) say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Log("%s", "invoicer: "+line)
		return
	}
	_, _ = fmt.Fprintln(p.out, "invoicer:", line) // nobody is left to tell
}

// stop ends the showing, and shows whether all went well. A second call does nothing.
func (p *progressShow) stop(well bool) {
	p.once.Do(func() {
		p.well = well
		close(p.done)
		p.over.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.bar = nil
	})
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
