package worker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/invoice"
	"invoicer/locking"
)

// A contentionError puts a job back because another one holds its transaction's lock and hasn't committed yet.
type contentionError struct{ held *locking.HeldError }

func (e *contentionError) Error() string {
	return fmt.Sprintf("lost the race for transaction_id %s: job %s on %s has it, and may still fail; asking again shortly",
		e.held.Key, e.held.Holder.ID, e.held.Holder.Worker)
}

// A redisOutageError puts a job back because the lock couldn't be asked for.
type redisOutageError struct{ cause error }

func (e *redisOutageError) Error() string { return "redis: " + e.cause.Error() }
func (e *redisOutageError) Unwrap() error { return e.cause }

func redisError(err error) error { return &redisOutageError{cause: err} }

// A panicError is a panic of the handler. It holds no text of its own but the runtime's: any other may quote a job.
type panicError struct {
	what  string
	stack []byte
}

func (e *panicError) Error() string { return "panic: " + e.what }

func newPanicError(p any) *panicError {
	e := &panicError{what: fmt.Sprintf("%T", p), stack: debug.Stack()}
	var fromRuntime runtime.Error
	if err, ok := p.(error); ok && errors.As(err, &fromRuntime) {
		e.what = fromRuntime.Error()
	}
	return e
}

// isFailure tells the errors that use up a retry from those that are nobody's fault: contention, outages, and a job
// for a newer worker. A crash ([asynq.ErrLeaseExpired]) is a failure, or a job that kills its worker would do so for ever.
func isFailure(err error) bool {
	var contention *contentionError
	var version *invoice.VersionError
	return !errors.As(err, &contention) && !errors.As(err, &version) && !isOutage(err)
}

// isOutage tells the errors that say nothing of the job: a server doesn't answer, or can't serve.
func isOutage(err error) bool {
	var redisOutage *redisOutageError
	return errors.As(err, &redisOutage) || errors.Is(err, invoice.ErrUnavailable)
}

// longestDelay is the longest that a job waits for another try.
const longestDelay = 10 * time.Minute

// retryDelay says when a job comes back. Delays are jittered, so that what was put back together doesn't come back
// together.
func retryDelay(retried int, err error, _ *asynq.Task) time.Duration {
	var contention *contentionError
	var version *invoice.VersionError
	switch {
	case errors.As(err, &contention):
		return between(50*time.Millisecond, 250*time.Millisecond)
	case errors.As(err, &version):
		return between(10*time.Second, 30*time.Second)
	case !isFailure(err):
		return between(time.Second, 5*time.Second)
	default:
		delay := longestDelay
		if retried < 10 {
			delay = min(longestDelay, time.Second<<max(retried, 0)) // what the queue has counted may have been altered
		}
		return between(delay/2, delay)
	}
}

func between(least, most time.Duration) time.Duration {
	return least + rand.N(most-least) //nolint:gosec // jitter needs no secrecy
}
