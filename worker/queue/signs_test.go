package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

type answersAll struct{ err error }

func (h answersAll) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return nil, h.err }
}

func (h answersAll) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		cmd.SetErr(h.err)
		return h.err
	}
}

func (h answersAll) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			cmd.SetErr(h.err)
		}
		return h.err
	}
}

// notes keeps what asynq warns of.
type notes struct {
	asynqLogger
	mu    sync.Mutex
	lines []string
}

func (n *notes) note(args []any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprint(args...))
}

func (n *notes) Warn(args ...any)  { n.note(args) }
func (n *notes) Error(args ...any) { n.note(args) }

func (n *notes) find(match func(string) bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.lines, match)
}

// What the signs stand for is compared with what this version of asynq makes of each error of Redis.
func TestSignsInWhatAsynqLogs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text    string
		refusal string
	}{
		{"dial tcp: connect: connection refused", ""},
		{"EOF", ""},
		{"redis: connection pool timeout", ""},
		{"NOPERM this user has no permissions to run the 'evalsha' command", "NOPERM"},
		{"OOM command not allowed when used memory > 'maxmemory'.", "OOM"},
		{"LOADING Redis is loading the dataset in memory", "LOADING"},
		{"READONLY You can't write against a read only replica.", "READONLY"},
		{"ERR The user executing the script can't run this command or subcommand script: 1a, on @user_script:4.", "NOPERM"},
		{"ERR wrong number of arguments", "none"},
	} {
		t.Run(tt.text, func(t *testing.T) {
			t.Parallel()
			rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
			rdb.AddHook(answersAll{errors.New(tt.text)})
			defer rdb.Close()
			said := &notes{asynqLogger: asynqLogger{log: slog.New(slog.DiscardHandler)}}
			server := asynq.NewServerFromRedisClient(rdb, asynq.Config{Logger: said, LogLevel: asynq.WarnLevel, ShutdownTimeout: time.Second})
			if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })); err != nil {
				t.Fatal(err)
			}
			outage := tt.refusal != "none"
			recoverer := func(line string) bool { return isOfRecoverer(line) && meansOutage(line) == outage }
			fetching := func(line string) bool {
				return strings.HasPrefix(line, "Dequeue error:") && meansOutage(line) == outage &&
					(!outage || RefusalIn(line) == tt.refusal && MeansConnectionLost(line) == (tt.refusal == ""))
			}
			for end := time.Now().Add(time.Minute); time.Now().Before(end) && (!said.find(recoverer) || !said.find(fetching)); {
				time.Sleep(5 * time.Millisecond)
			}
			server.Shutdown()
			if !said.find(recoverer) || !said.find(fetching) {
				t.Errorf("asynq said %q", said.lines[:min(len(said.lines), 8)])
			}
		})
	}
}
