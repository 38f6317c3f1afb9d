// Package importer reads jobs from JSON Lines and sends them to a server, several at the same time. After an interruption, a
// caller can go on with the first line that may not have arrived.
package importer

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

// A Sender delivers the jobs of an input to a server, several at the same time, and keeps track of the lines whose arrival isn't
// confirmed. Set the fields before Run, and call Run once.
type Sender struct {
	// Deliver sends one job. It is called again with the same id if it returned an error, as the job may or may not have arrived.
	Deliver func(ctx context.Context, jobID string, payload []byte) error
	// Ping returns nil if the server answers and the jobs may be sent there.
	Ping func(context.Context) error
	// Server is the server's name, for messages.
	Server string
	// Producer is put into jobs that name none. Default: these jobs are sent as they are.
	Producer string
	// Copies is how often each job is sent.
	Copies int
	// Waiter waits for a server that doesn't answer.
	Waiter await.Waiter
	// Progress shows the number of jobs that have arrived, and the bad lines.
	Progress *term.Progress

	// Lines is the number of lines that were read, without blank ones and those before the first to send, and Bad the number of
	// those that aren't valid jobs. Read both only after Run has returned.
	Lines, Bad int

	confirmed atomic.Int64

	mu     sync.Mutex
	open   map[int]int // by line: the number of copies that aren't confirmed
	passed int         // the latest line whose copies have all been handed to a sender

	outage sync.Mutex // held by the sender that waits until the server answers again
}

// A PastEndError reports that the input ends before the first line to send.
type PastEndError struct{ From, Last int }

func (e *PastEndError) Error() string {
	return fmt.Sprintf("there is no line %d: the input ends with line %d", e.From, e.Last)
}

// A parcel is one copy of a line.
type parcel struct {
	line    int
	payload []byte
}

// AtOnce is the number of jobs that a Sender sends at the same time. A larger number isn't faster.
const AtOnce = 32

// stopGrace is how long commands under way may go on when Run stops, so that their answers still arrive.
const stopGrace = time.Second

// Run sends all jobs from the given line on, and returns nil at the input's end. It returns an error if it stopped earlier: the
// cause of ctx if ctx ended, a [*PastEndError] if there is no such line, or else the error of the input or the server. Commands
// that are under way then have a second to finish. [Sender.Resume] returns the line to go on from.
func (s *Sender) Run(ctx context.Context, input io.Reader, fromLine int) error {
	s.open, s.passed = make(map[int]int), fromLine-1
	if err := s.Waiter.Answer(ctx, s.Server, s.Ping); err != nil {
		return err
	}
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	commands, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(running, func() { time.AfterFunc(stopGrace, giveUp) })()

	parcels := make(chan parcel)
	var senders sync.WaitGroup
	for range AtOnce {
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
	return err
}

// dispatch reads and checks the lines and hands their copies to the senders. It reads on a goroutine of its own, because reading
// from a silent pipe can't be interrupted. dispatch therefore doesn't wait for that goroutine: it ends with the next line, or with
// the process.
func (s *Sender) dispatch(ctx context.Context, input io.Reader, fromLine int, parcels chan<- parcel) error {
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
				return &PastEndError{From: fromLine, Last: last}
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Sender) dispatchLine(ctx context.Context, line inputLine, parcels chan<- parcel) error {
	s.Lines++
	payload, problem := s.check(line)
	if problem != "" {
		s.Bad++
		s.Progress.Say(fmt.Sprintf("line %d: %s", line.number, problem))
		s.pass(line.number)
		return nil
	}
	s.mu.Lock()
	s.open[line.number] = s.Copies
	s.mu.Unlock()
	for range s.Copies {
		select {
		case parcels <- parcel{line.number, payload}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.pass(line.number)
	return nil
}

func (s *Sender) pass(line int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passed = line
}

// check returns the payload to send for a line: the line's own bytes, unless a producer is added. The problem is "" if the line is
// a valid job.
func (s *Sender) check(line inputLine) (payload []byte, problem string) {
	if line.size > len(line.text) {
		return nil, fmt.Sprintf("payload has %s bytes and must not have more than %s", term.Thousands(line.size), term.Thousands(invoice.MaxPayload))
	}
	job, err := invoice.Decode(line.text)
	payload = line.text
	if err == nil && s.Producer != "" && job.Producer == "" {
		job.Producer = s.Producer
		payload, err = job.Encode()
	}
	var invalid *invoice.InvalidError
	var newer *invoice.VersionError
	switch {
	case err == nil:
		return payload, ""
	case errors.As(err, &invalid):
		return nil, Problems(invalid.Problems)
	case errors.As(err, &newer):
		return nil, fmt.Sprintf("version %d is newer than this program knows, which is %d", newer.Version, invoice.TaskVersion)
	default:
		return nil, err.Error()
	}
}

// Problems returns the problems as one line for people: the first 20, each with its field, and the number of the others.
func Problems(problems []invoice.Problem) string {
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

// send delivers one copy. An error means that Run must stop. Once running has ended, send may return nil without having delivered
// the copy; the line then stays open.
func (s *Sender) send(commands, running context.Context, p parcel) error {
	jobID := uuid.Must(uuid.NewV7()).String()
	deliver := func(ctx context.Context) error {
		err := s.Deliver(ctx, jobID, p.payload)
		if err == nil {
			return nil
		}
		// asynq turns the server's error into text. Ping's error keeps its type, which decides whether waiting helps.
		if pingErr := s.Ping(ctx); pingErr != nil {
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
		if err := s.Waiter.Answer(running, s.Server, deliver); err != nil {
			return err
		}
	}
	s.confirm(p.line)
	return nil
}

// Confirmed returns the number of copies that the server has confirmed.
func (s *Sender) Confirmed() int64 { return s.confirmed.Load() }

func (s *Sender) confirm(line int) {
	s.Progress.Sent.Store(s.confirmed.Add(1))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[line]--; s.open[line] == 0 {
		delete(s.open, line)
	}
}

// Resume returns the first line of which not every copy is confirmed.
func (s *Sender) Resume() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.passed + 1
	for line := range s.open {
		first = min(first, line)
	}
	return first
}
