package worker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// asynqLogger is asynq's door to slog. What asynq calls information is of interest only when debugging it.
type asynqLogger struct{ log *slog.Logger }

func (l asynqLogger) Debug(args ...any) { l.write(slog.LevelDebug, args) }
func (l asynqLogger) Info(args ...any)  { l.write(slog.LevelDebug, args) }
func (l asynqLogger) Warn(args ...any)  { l.write(slog.LevelWarn, args) }
func (l asynqLogger) Error(args ...any) { l.write(slog.LevelError, args) }

// Fatal is the one call after which asynq doesn't expect to go on.
func (l asynqLogger) Fatal(args ...any) {
	l.write(slog.LevelError, args)
	os.Exit(1)
}

func (l asynqLogger) write(level slog.Level, args []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, strings.TrimSpace(fmt.Sprint(args...)), "from", "asynq")
	}
}
