package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"invoicer/internal/await"
	"invoicer/internal/term"
	"invoicer/invoice"
)

// A sender delivers the jobs of an input to a server, several at the same time, and knows at any time which lines are not
// known to have arrived.
type sender struct {
	deliver  func(ctx context.Context, jobID string, payload []byte) error // safe to call again, with the same id
	ping     func(context.Context) error
	server   string // for messages
	producer string // for jobs that name none; "" leaves them as they are
	copies   int
	patience await.Patience
	progress *term.Progress

	lines, bad int // so far
	confirmed  atomic.Int64

	mu     sync.Mutex
	open   map[int]int // by line: copies that aren't confirmed
	passed int         // the latest line of which every copy was begun

	outage sync.Mutex // is held by the one who waits for the server's return
}

// A parcel is one copy of a line.
type parcel struct {
	line    int
	payload []byte
}

// enqueuedAtOnce is how many jobs are on their way at the same time. More don't go faster.
const enqueuedAtOnce = 32

// acceptedAtOnce is how many connections to Postgres they share.
const acceptedAtOnce = 16

// stopGrace is how long commands under way may go on when everything stops, so that their answers are known.
const stopGrace = time.Second

// run sends everything from the given line on. Its error says why it ended before the input's end; what is under way
// then is awaited for a moment.
func (s *sender) run(ctx context.Context, input io.Reader, fromLine int) error {
	s.open, s.passed = make(map[int]int), fromLine-1
	if err := s.patience.Answer(ctx, s.server, s.ping); err != nil {
		return s.because(err)
	}
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	commands, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(running, func() { time.AfterFunc(stopGrace, giveUp) })()

	parcels := make(chan parcel)
	var senders sync.WaitGroup
	for range enqueuedAtOnce {
		senders.Go(func() {
			for p := range parcels {
				if err := s.send(commands, running, p); err != nil {
					fail(err)
				}
			}
		})
	}
	err := s.dispatch(running, input, fromLine, parcels)
	close(parcels)
	senders.Wait()
	if cause := context.Cause(running); cause != nil {
		err = cause
	}
	return s.because(err)
}

func (s *sender) because(err error) error {
	if errors.Is(err, errSignal) {
		return errors.New("stopped by a signal")
	}
	return err
}

// dispatch reads and checks the lines and hands their copies to the senders. Reading has a goroutine of its own: a pipe
// that is silent must not keep anybody from stopping. So nobody waits for that goroutine: it ends with the next line, or
// with the process.
func (s *sender) dispatch(ctx context.Context, input io.Reader, fromLine int, parcels chan<- parcel) error {
	lines, ended := make(chan inputLine), make(chan error, 1)
	reader := lineReader{source: input}
	go func() {
		for {
			line, err := reader.next()
			if err != nil {
				ended <- err
				return
			}
			select {
			case lines <- line:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case line := <-lines:
			if line.number < fromLine {
				continue
			}
			if err := s.dispatchLine(ctx, line, parcels); err != nil {
				return err
			}
		case err := <-ended:
			if !errors.Is(err, io.EOF) {
				return err
			}
			if last := reader.number; fromLine > last+1 {
				return usageErrorf("--from-line %d: the input ends with line %d", fromLine, last)
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *sender) dispatchLine(ctx context.Context, line inputLine, parcels chan<- parcel) error {
	s.lines++
	payload, problem := s.check(line)
	if problem != "" {
		s.bad++
		s.progress.Say(fmt.Sprintf("line %d: %s", line.number, problem))
		s.pass(line.number)
		return nil
	}
	s.mu.Lock()
	s.open[line.number] = s.copies
	s.mu.Unlock()
	for range s.copies {
		select {
		case parcels <- parcel{line.number, payload}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.pass(line.number)
	return nil
}

func (s *sender) pass(line int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passed = line
}

// check returns what to send for a line: its own bytes, unless a producer is added. The problem is "" if there is none.
func (s *sender) check(line inputLine) (payload []byte, problem string) {
	if line.size > len(line.text) {
		return nil, fmt.Sprintf("payload has %s bytes and must not have more than %s", term.Thousands(line.size), term.Thousands(invoice.MaxPayload))
	}
	job, err := invoice.Decode(line.text)
	payload = line.text
	if err == nil && s.producer != "" && job.Producer == "" {
		job.Producer = s.producer
		payload, err = job.Encode()
	}
	var invalid *invoice.InvalidError
	var newer *invoice.VersionError
	switch {
	case err == nil:
		return payload, ""
	case errors.As(err, &invalid):
		return nil, list(invalid.Problems)
	case errors.As(err, &newer):
		return nil, fmt.Sprintf("version %d is newer than this program knows, which is %d", newer.Version, invoice.TaskVersion)
	default:
		return nil, err.Error()
	}
}

// list names every field, up to a number that a person still reads.
func list(problems []invoice.Problem) string {
	const atMost = 20
	var parts []string
	for _, p := range problems[:min(len(problems), atMost)] {
		parts = append(parts, p.Field+" "+p.Message)
	}
	if more := len(problems) - atMost; more > 0 {
		parts = append(parts, fmt.Sprintf("and %s more", term.Thousands(more)))
	}
	return strings.Join(parts, "; ")
}

// send delivers one copy. Where it returns an error, everything should end; where the others end already, it may return
// nil without having delivered: the line stays open.
func (s *sender) send(commands, running context.Context, p parcel) error {
	jobID := uuid.Must(uuid.NewV7()).String()
	deliver := func(ctx context.Context) error {
		err := s.deliver(ctx, jobID, p.payload)
		if err == nil {
			return nil
		}
		// The queue's library makes text of what the server said; the server's own words say whether waiting helps.
		if pingErr := s.ping(ctx); pingErr != nil {
			return pingErr
		}
		return err
	}
	if running.Err() != nil {
		return nil
	}
	if err := await.Try(commands, deliver); err != nil {
		s.outage.Lock()
		defer s.outage.Unlock()
		if running.Err() != nil {
			return nil
		}
		if err := s.patience.Answer(running, s.server, deliver); err != nil {
			return err
		}
	}
	s.confirm(p.line)
	return nil
}

func (s *sender) confirm(line int) {
	s.progress.Sent.Store(s.confirmed.Add(1))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[line]--; s.open[line] == 0 {
		delete(s.open, line)
	}
}

// resume returns the first line of which not every copy is known to have arrived.
func (s *sender) resume() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.passed + 1
	for line := range s.open {
		first = min(first, line)
	}
	return first
}
