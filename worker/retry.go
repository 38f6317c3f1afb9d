package worker

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/invoice"
	"invoicer/locking"
	"invoicer/worker/queue"
)

// A contentionError puts a job back because another job holds the transaction's lock and hasn't committed yet.
type contentionError struct{ held *locking.HeldError }

func (e *contentionError) Error() string {
	return fmt.Sprintf("lost the race for transaction_id %s: job %s on %s has it, and may still fail; asking again shortly",
		e.held.Key, e.held.Holder.ID, e.held.Holder.Worker)
}

// A redisOutageError puts a job back because Redis didn't answer the request for the lock.
type redisOutageError struct{ cause error }

func (e *redisOutageError) Error() string { return "redis: " + e.cause.Error() }
func (e *redisOutageError) Unwrap() error { return e.cause }

func redisError(err error) error { return &redisOutageError{cause: err} }

// A panicError is a panic of the handler. It keeps the panic's text only if the runtime wrote it: any other text may
// quote a job.
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

// isFailure reports whether err uses up a retry. Contention, outages, a paused series, an invoice that isn't made yet, and a job for a
// newer worker, or one for which older workers have to go first, don't. A crash ([asynq.ErrLeaseExpired]) does, or a job that crashes its workers would do so for ever.
func isFailure(err error) bool {
	var contention *contentionError
	var version *invoice.VersionError
	var paused *invoice.PausedError
	return !errors.As(err, new(*olderWorkersError)) && !errors.As(err, &contention) && !errors.As(err, &version) && !errors.As(err, new(*invoice.CreditWaitsError)) && !errors.As(err, &paused) && !isOutage(err)
}

// isOutage reports whether err is due to a server that doesn't answer or can't serve, and not to the job.
func isOutage(err error) bool {
	var redisOutage *redisOutageError
	return errors.As(err, &redisOutage) || errors.Is(err, invoice.ErrUnavailable)
}

// retryDelay returns after what time a job is tried again. Delays are jittered, so that jobs that were put back
// together don't return together.
func retryDelay(retried int, err error, _ *asynq.Task) time.Duration {
	var contention *contentionError
	var version *invoice.VersionError
	var paused *invoice.PausedError
	var resumed *resumedError
	switch {
	case errors.As(err, &resumed):
		return queue.Between(leastResumed, mostResumed)
	case errors.As(err, &paused):
		return queue.Between(leastPaused, mostPaused)
	case errors.As(err, new(*invoice.CreditWaitsError)):
		return queue.Between(2*time.Second, 4*time.Second)
	case errors.As(err, &contention), errors.Is(err, invoice.ErrBrokenOff):
		return queue.Between(50*time.Millisecond, 250*time.Millisecond)
	case errors.As(err, &version), errors.As(err, new(*olderWorkersError)):
		return queue.Between(10*time.Second, 30*time.Second)
	case !isFailure(err):
		return queue.Between(time.Second, 5*time.Second)
	default:
		return queue.RetryDelay(retried)
	}
}
