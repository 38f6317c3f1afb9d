package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// asynqLogger passes asynq's messages to slog. Its information, and nearly all of its warnings, are logged as debug messages:
// this package's callers log each job's end and each outage once, and with more detail.
type asynqLogger struct {
	log    *slog.Logger
	outage func(error) // is called for each message about an outage, which asynq repeats
}

func (l asynqLogger) Debug(args ...any) { l.write(slog.LevelDebug, args) }
func (l asynqLogger) Info(args ...any)  { l.write(slog.LevelDebug, args) }

func (l asynqLogger) Warn(args ...any) {
	// The recoverer finds the tasks of crashed workers: its failures must be visible.
	level := slog.LevelDebug
	if isOfRecoverer(fmt.Sprint(args...)) {
		level = slog.LevelWarn
	}
	l.write(level, args)
}

func (l asynqLogger) Error(args ...any) { l.write(slog.LevelWarn, args) }

// Fatal ends the process, as asynq expects.
func (l asynqLogger) Fatal(args ...any) {
	l.write(slog.LevelError, args)
	os.Exit(1) //nolint:forbidigo // asynq relies on it after a fatal error
}

func (l asynqLogger) write(level slog.Level, args []any) {
	if level < slog.LevelWarn && !l.log.Enabled(context.Background(), level) {
		return
	}
	message := strings.TrimSpace(fmt.Sprint(args...))
	if level == slog.LevelWarn && meansOutage(message) {
		level = slog.LevelDebug
		l.outage(errors.New(message))
	}
	l.log.Log(context.Background(), level, message, "from", "asynq")
}
