package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"invoicer/web/access"
)

// A Limiter counts the requests of tokens, and the jobs of their batches, in all processes together.
type Limiter interface {
	// Allow counts a request if it is allowed. ok is false if nothing can be counted; the request is then allowed.
	Allow(ctx context.Context, token string) (v Verdict, ok bool)
	// Charge counts so many jobs of a request that was allowed, however many they are: the next requests are allowed when they are made up for.
	// The verdict says whether another request would be allowed now.
	Charge(ctx context.Context, token string, jobs int) (v Verdict, ok bool)
}

// A Verdict says whether a request is within the limit.
type Verdict struct {
	Allowed   bool
	Rate      int           // requests in a second
	Remaining int           // that may be sent at once
	Reset     time.Duration // until all of Rate may be sent again
	Retry     time.Duration // until the next may be sent
}

// A RedisLimit is a [Limiter] that counts in Redis.
type RedisLimit struct {
	// Patience is how long Redis may take to answer. After a later answer, or none, there is no limit for a second. Default: 100ms.
	Patience time.Duration

	limiter    *redis_rate.Limiter
	databaseID func(context.Context) (string, error)
	rate       int
	prefix     atomic.Pointer[string]
	away       atomic.Int64 // until when Redis isn't asked, in nanoseconds since the epoch
}

// limitAway is how long Redis isn't asked after it hasn't answered.
const limitAway = time.Second

// NewRedisLimit returns a limit of so many requests in a second for each token of the installation with that identity. While Redis doesn't
// answer there is no limit. The caller closes the client.
func NewRedisLimit(rdb redis.UniversalClient, databaseID func(context.Context) (string, error), rate int) *RedisLimit {
	return &RedisLimit{Patience: 100 * time.Millisecond, limiter: redis_rate.NewLimiter(rdb), databaseID: databaseID, rate: rate}
}

// Allow implements [Limiter].
func (l *RedisLimit) Allow(ctx context.Context, token string) (Verdict, bool) {
	return l.count(ctx, token, l.rate, 1)
}

// Charge implements [Limiter].
func (l *RedisLimit) Charge(ctx context.Context, token string, jobs int) (Verdict, bool) {
	v, ok := l.count(ctx, token, 1<<30, jobs)
	if ok {
		// What is left is what all of Rate lacks to be whole again. A thousandth is for what was lost in rounding.
		v.Remaining = max(0, int(math.Floor(float64(l.rate)*(1-v.Reset.Seconds())+0.001)))
		v.Allowed = v.Remaining > 0
		v.Retry = max(0, v.Reset-time.Duration(l.rate-1)*time.Second/time.Duration(l.rate))
	}
	return v, ok
}

// count counts n of which burst may come at once.
func (l *RedisLimit) count(ctx context.Context, token string, burst, n int) (Verdict, bool) {
	if time.Now().UnixNano() < l.away.Load() {
		return Verdict{}, false
	}
	limit, cancel := context.WithTimeout(ctx, l.Patience)
	defer cancel()
	prefix := l.prefix.Load()
	if prefix == nil {
		id, err := l.databaseID(limit)
		if err != nil {
			return Verdict{}, false
		}
		id = "invoicer:" + id + ":api:"
		prefix = &id
		l.prefix.Store(prefix)
	}
	result, err := l.limiter.AllowN(limit, *prefix+token, redis_rate.Limit{Rate: l.rate, Period: time.Second, Burst: burst}, n)
	if err != nil {
		if ctx.Err() == nil {
			l.away.Store(time.Now().Add(limitAway).UnixNano())
		}
		return Verdict{}, false
	}
	return Verdict{Allowed: result.Allowed > 0, Rate: l.rate, Remaining: result.Remaining, Reset: result.ResetAfter, Retry: result.RetryAfter}, true
}

// limited refuses requests of tokens beyond their limit. Visitors on this machine without a token have none.
func (a *API) limited(ctx huma.Context, next func(huma.Context)) {
	visitor := access.In(ctx.Context())
	if a.o.Limit == nil || visitor.Local() {
		next(ctx)
		return
	}
	v, ok := a.o.Limit.Allow(ctx.Context(), visitor.Name)
	if !ok {
		next(ctx)
		return
	}
	v.tell(ctx.SetHeader)
	if v.Allowed {
		next(ctx)
		return
	}
	a.answer(ctx, later(problemOf(http.StatusTooManyRequests, "the limit is "+strconv.Itoa(v.Rate)+" requests in a second: send this one again later"), max(1, seconds(v.Retry))))
}

func seconds(d time.Duration) int { return max(0, int(math.Ceil(d.Seconds()))) }

// tell sets the headers that say how much is left.
func (v *Verdict) tell(set func(name, value string)) {
	set("RateLimit-Policy", fmt.Sprintf(`"token";q=%d;w=1`, v.Rate))
	set("RateLimit", fmt.Sprintf(`"token";r=%d;t=%d`, v.Remaining, seconds(v.Reset)))
}

// A meter counts the jobs of one request in its token's limit. The first job is counted with the request.
type meter struct {
	a       *API
	token   string // "" if it has no limit
	counted int
}

func (a *API) newMeter(visitor access.Visitor) *meter {
	m := &meter{a: a}
	if a.o.Limit != nil && !visitor.Local() {
		m.token = visitor.Name
	}
	return m
}

// count counts jobs, and returns the verdict, nil if there is no limit or nothing to count.
func (m *meter) count(ctx context.Context, jobs int) *Verdict {
	before := m.counted
	m.counted += jobs
	jobs = m.counted - max(before, 1)
	if m.token == "" || jobs < 1 {
		return nil
	}
	if v, ok := m.a.o.Limit.Charge(ctx, m.token, jobs); ok {
		return &v
	}
	return nil
}

// answer writes a problem within huma.
func (a *API) answer(ctx huma.Context, err error) {
	var p *ProblemError
	if !errors.As(err, &p) {
		p = problemOf(http.StatusInternalServerError, "this couldn't be answered")
	}
	if with := huma.HeadersError(nil); errors.As(err, &with) {
		for name, values := range with.GetHeaders() {
			for _, value := range values {
				ctx.SetHeader(name, value)
			}
		}
	}
	ctx.SetHeader("Content-Type", problemType)
	ctx.SetStatus(p.Status)
	_ = a.huma.Marshal(ctx.BodyWriter(), "application/json", p) // the client may be gone
}
