package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// asynqLogger is asynq's door to slog. What asynq calls information is of interest only when debugging it, and so is
// nearly every warning: of a job's end and of an outage, this package's callers tell better, and once.
type asynqLogger struct {
	log    *slog.Logger
	outage func(error) // is told of outages, which asynq complains about again and again
}

func (l asynqLogger) Debug(args ...any) { l.write(slog.LevelDebug, args) }
func (l asynqLogger) Info(args ...any)  { l.write(slog.LevelDebug, args) }

func (l asynqLogger) Warn(args ...any) {
	// The recoverer finds what crashed workers left behind; what keeps it from that must be seen.
	level := slog.LevelDebug
	if isOfRecoverer(fmt.Sprint(args...)) {
		level = slog.LevelWarn
	}
	l.write(level, args)
}

func (l asynqLogger) Error(args ...any) { l.write(slog.LevelWarn, args) }

// Fatal is the one call after which asynq doesn't expect to go on.
func (l asynqLogger) Fatal(args ...any) {
	l.write(slog.LevelError, args)
	os.Exit(1) //nolint:forbidigo // what asynq calls fatal must not go on
}

func (l asynqLogger) write(level slog.Level, args []any) {
	if level < slog.LevelWarn && !l.log.Enabled(context.Background(), level) {
		return
	}
	message := strings.TrimSpace(fmt.Sprint(args...))
	if level == slog.LevelWarn && tellsOfOutage(message) {
		level = slog.LevelDebug
		l.outage(errors.New(message))
	}
	l.log.Log(context.Background(), level, message, "from", "asynq")
}
