// Package importer reads jobs from JSON and sends them to a server, several at the same time. After an interruption, a
// caller can go on with the first line, or job, that may not have arrived.
package importer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"invoicer/internal/await"
	"invoicer/internal/term"
	"invoicer/invoice"
)

// A Sender delivers the jobs of an input to a server, several at the same time, and keeps track of those whose arrival isn't
// confirmed. The input is JSON Lines, JSON arrays, or JSON objects over several lines, compressed by gzip or not; in the comments below, a
// line is also what is no line of its own. Set the fields before Run, and call Run once.
type Sender struct {
	// Deliver sends one job and returns its id, which is the given one where the server takes it. It is called again with the same id
	// if it returned an error, as the job may or may not have arrived. Default: the jobs are checked, and none is sent.
	Deliver func(ctx context.Context, jobID string, payload []byte) (sentAs string, err error)
	// Await returns once the job has ended, and an error if the lines behind it are not to be sent. Default: nobody waits for ends, and
	// jobs are sent several at a time.
	Await func(ctx context.Context, jobID string, payload []byte) error
	// Ping returns nil if the server answers and the jobs may be sent there. Default: no server is asked.
	Ping func(context.Context) error
	// Server is the server's name, for messages.
	Server string
	// Check returns an [*invoice.InvalidError] for a valid job that isn't sent. It is called after Ping has succeeded. Default: all are sent.
	Check func(context.Context, *invoice.Job) error
	// Producer is put into jobs that name none. Default: these jobs are sent as they are.
	Producer string
	// Issuer is put into jobs that name none. Default: these jobs are sent as they are.
	Issuer string
	// Copies is how often each job is sent.
	Copies int
	// Waiter waits for a server that doesn't answer.
	Waiter await.Waiter
	// Progress shows the number of jobs that have arrived.
	Progress *term.Progress
	// Tell gets to know each result, one at a time. Run stops with the error that it returns.
	Tell func(Result) error
	// From is the first line to send, from 1, and FromUnit how the caller counts: "" if that doesn't matter.
	From     int
	FromUnit Unit
	// KeepGoing is set if bad lines at the beginning never stop Run, however alike they are.
	KeepGoing bool
	// KeepBad is how many bytes of a bad line a Result has at most. Default: invoice.MaxPayload.
	KeepBad int

	// Unit is what the input's jobs are counted by, Lines the number of lines that were read, without blank ones and those before the first
	// to send, and Bad the number of those that aren't valid jobs. Read them only after Run has returned.
	Unit       Unit
	Lines, Bad int

	confirmed atomic.Int64

	mu     sync.Mutex
	open   map[int]int // by line: the number of copies that aren't confirmed
	passed int         // the latest line whose copies have all been handed to a sender

	outage  sync.Mutex // held by the sender that waits until the server answers again
	telling sync.Mutex
	alike   alike
}

// A parcel is one copy of a line.
type parcel struct {
	Result

	payload []byte
}

// AtOnce is the number of jobs that a Sender sends at the same time, unless it awaits their ends. A larger number isn't faster.
const AtOnce = 32

// stopGrace is how long commands under way may go on when Run stops, so that their answers still arrive.
const stopGrace = time.Second

// Run sends all jobs from the first line to send on, and returns nil at the input's end. It returns an error if it stopped earlier: the
// cause of ctx if ctx ended, a [*PastEndError] if there is no such line, a [*UnitError] if the input is counted otherwise, an
// [*AlikeError] if the beginning is nothing but bad lines, or else the error of the input or the server. Commands
// that are under way then have a second to finish. [Sender.Resume] returns the line to go on from.
func (s *Sender) Run(ctx context.Context, input io.Reader) error {
	s.open, s.passed, s.Unit = make(map[int]int), s.From-1, ByLine
	if s.Ping != nil {
		if err := s.Waiter.Answer(ctx, s.Server, s.Ping); err != nil {
			return err
		}
	}
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	commands, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(running, func() { time.AfterFunc(stopGrace, giveUp) })()

	parcels := make(chan parcel)
	var senders sync.WaitGroup
	atOnce := AtOnce
	if s.Await != nil {
		atOnce = 1
	}
	for range atOnce {
		senders.Go(func() {
			for p := range parcels {
				if err := s.send(commands, running, p); err != nil {
					fail(err)
				}
			}
		})
	}
	err := s.dispatch(running, input, parcels)
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
func (s *Sender) dispatch(ctx context.Context, input io.Reader, parcels chan<- parcel) error {
	lines, ended := make(chan inputLine), make(chan error, 1)
	reader := jobReader{source: input, keep: max(s.KeepBad, invoice.MaxPayload+1)}
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
			if err := s.counts(reader.unit); err != nil {
				return err
			}
			if line.number < s.From {
				continue
			}
			if err := s.dispatchLine(ctx, line, parcels); err != nil {
				return err
			}
		case err := <-ended:
			if !errors.Is(err, io.EOF) {
				s.Unit = reader.unit
				return err
			}
			if err := s.counts(reader.unit); err != nil {
				return err
			}
			if last := reader.last(); s.From > last+1 {
				return &PastEndError{Unit: reader.unit, From: s.From, Last: last}
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// counts returns an error if the caller counts by another unit than the input.
func (s *Sender) counts(unit Unit) error {
	s.Unit = unit
	if s.FromUnit != "" && s.FromUnit != unit {
		return &UnitError{Unit: unit}
	}
	return nil
}

func (s *Sender) dispatchLine(ctx context.Context, line inputLine, parcels chan<- parcel) error {
	s.Lines++
	job, payload, problems := s.check(ctx, line)
	result := Result{Number: line.number, Line: line.line, Job: job, Problems: problems}
	if len(problems) > 0 {
		s.Bad++
		result.Text, result.Cut = line.text, line.size > len(line.text)
		if err := s.tell(result); err != nil {
			return err
		}
		s.pass(line.number)
		if s.KeepGoing {
			return nil
		}
		return s.alike.bad(problems)
	}
	s.alike.good()
	if s.Deliver == nil {
		s.pass(line.number)
		return s.tell(result)
	}
	s.mu.Lock()
	s.open[line.number] = s.Copies
	s.mu.Unlock()
	for range s.Copies {
		select {
		case parcels <- parcel{result, payload}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.pass(line.number)
	return nil
}

func (s *Sender) tell(result Result) error {
	if s.Tell == nil {
		return nil
	}
	s.telling.Lock()
	defer s.telling.Unlock()
	return s.Tell(result)
}

func (s *Sender) pass(line int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passed = line
}

// check returns the payload to send for a line: the line's own bytes, unless a producer or an issuer is added. There are no problems if the
// line is a valid job.
func (s *Sender) check(ctx context.Context, line inputLine) (job *invoice.Job, payload []byte, problems []invoice.Problem) {
	if line.size > invoice.MaxPayload {
		job, _ = invoice.Decode(line.text[:min(len(line.text), invoice.MaxPayload+1)])
		return job, nil, []invoice.Problem{{Field: "payload", Message: fmt.Sprintf(
			"has %s bytes and must not have more than %s", term.Thousands(line.size), term.Thousands(invoice.MaxPayload))}}
	}
	job, err := invoice.Decode(line.text)
	payload = line.text
	added := err == nil && (s.Issuer != "" && job.Issuer == "" || s.Producer != "" && job.Producer == "")
	if added {
		job.Issuer, job.Producer = cmp.Or(job.Issuer, s.Issuer), cmp.Or(job.Producer, s.Producer)
		payload, err = job.Encode()
	}
	if err == nil && s.Check != nil {
		err = s.Check(ctx, job)
	}
	var invalid *invoice.InvalidError
	var newer *invoice.VersionError
	switch {
	case err == nil:
		return job, payload, nil
	case errors.As(err, &invalid):
		return job, nil, invalid.Problems
	case errors.As(err, &newer):
		return job, nil, []invoice.Problem{{Field: "version", Message: fmt.Sprintf(
			"%d is newer than this program knows, which is %d", newer.Version, invoice.TaskVersion)}}
	default:
		return job, nil, []invoice.Problem{{Field: "payload", Message: err.Error()}}
	}
}

// send delivers one copy. An error means that Run must stop. Once running has ended, send may return nil without having delivered
// the copy; the line then stays open.
func (s *Sender) send(commands, running context.Context, p parcel) error {
	jobID, sentAs := uuid.Must(uuid.NewV7()).String(), ""
	deliver := func(ctx context.Context) (err error) {
		if sentAs, err = s.Deliver(ctx, jobID, p.payload); err == nil {
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
	if s.Await != nil {
		if err := s.Await(running, sentAs, p.payload); err != nil {
			return fmt.Errorf("%s: %w", p.Place(), err)
		}
	}
	s.confirm(p.Number)
	p.JobID = sentAs
	return s.tell(p.Result)
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
