package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// catchLogs has libraries log to log. go-redis has a message for every failed connection, at the debug level here, while the health
// checks log an outage once. The standard library's logger, which asynqmon uses, would write text from requests as it is.
//
// It concerns the whole process, so only commands call it.
func catchLogs(log *slog.Logger) {
	redis.SetLogger(redisLogger{log})
	slog.SetDefault(log.With("from", "log")) // package log's messages as well
}

type redisLogger struct{ log *slog.Logger }

func (l redisLogger) Printf(ctx context.Context, format string, args ...any) {
	l.log.DebugContext(ctx, fmt.Sprintf(format, args...), "from", "go-redis")
}
