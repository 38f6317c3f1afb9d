package races

import (
	"context"
	"time"
)

// Findings are what a [Follower] knows at a time. They don't change.
type Findings struct {
	Until  time.Time          // up to then, windows are judged
	Latest map[string]Verdict // on each producer's latest window
	Alarms []Alarm            // in order of their first windows
	Drifts []Drifted          // in order of when they were first seen
}

// A Follower judges each window once, soon after it is complete. It is safe for concurrent use.
type Follower struct {
	read func(ctx context.Context, since time.Time) (counts Counts, until time.Time, err error)

	turn  chan struct{} // whoever sends judges
	judge Judge
	until time.Time // up to then, windows are judged
	found Findings
}

// NewFollower returns a follower of the windows that read returns: those that began at a time or later, and the time up to which
// these are all. That is the time that was given once all complete windows are read. The zero time stands for the first that a [Judge]
// needs.
func NewFollower(read func(ctx context.Context, since time.Time) (counts Counts, until time.Time, err error)) *Follower {
	return &Follower{read: read, turn: make(chan struct{}, 1)}
}

// Findings judges the windows that are complete since the last call, and returns what is known then. The first call takes longer: it
// reads all of [Judged]. What is judged before an error needn't be read again.
func (f *Follower) Findings(ctx context.Context) (Findings, error) {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return Findings{}, ctx.Err()
	}
	defer func() { <-f.turn }()
	for {
		counts, until, err := f.read(ctx, f.until)
		if err != nil {
			return Findings{}, err
		}
		if !until.After(f.until) { // it is earlier if the database's clock was set back
			break
		}
		f.judge.Judge(counts)
		f.until = until
	}
	if !f.until.Equal(f.found.Until) {
		f.found = Findings{Until: f.until, Latest: f.judge.Latest(), Alarms: f.judge.Alarms(), Drifts: f.judge.Drifts()}
	}
	return f.found, nil
}
