package queue

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

// asynq's loops ask again at once after an error.
func TestOutageOfRedisIsAskedAboutSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked, answer := 0, error(&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")})
		ask := (&OutageBackoff{}).ProcessHook(func(context.Context, redis.Cmder) error {
			asked++
			return answer
		})
		command := redis.NewCmd(t.Context(), "PING")
		for began := time.Now(); time.Since(began) < time.Minute; {
			_ = ask(t.Context(), command) // what it returns is the outage's own error
		}
		if asked > 150 {
			t.Errorf("asked %d times in a minute", asked)
		}
		answer = nil
		began := time.Now()
		if err := ask(t.Context(), command); err != nil || time.Since(began) != 0 {
			t.Errorf("an answer comes %v late, error %v", time.Since(began), err)
		}
	})
}
