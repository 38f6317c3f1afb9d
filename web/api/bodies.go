package api

import (
	"context"
	"strconv"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

const (
	// allBodies is how much memory the bodies of all requests may take that are being read and worked on.
	allBodies = 256 << 20
	// smallBody is the size up to which a body isn't counted: connections are bounded, too.
	smallBody = 64 << 10
	// streamBody is what a stream takes: a piece, the job behind it, and their results.
	streamBody = 8 << 20
)

// bodyKey is the key of the function that gives back the memory of a request's body.
type bodyKey struct{}

// letGo gives back the memory of a request's body before the request ends: its body isn't needed any more, and it waits for something else.
func letGo(ctx context.Context) {
	if release, ok := ctx.Value(bodyKey{}).(func()); ok {
		release()
	}
}

// bounded returns a middleware for bodies of at most so many bytes. It refuses a large one for the moment if there is no memory for it.
func (a *API) bounded(most int64) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		size, err := strconv.ParseInt(ctx.Header("Content-Length"), 10, 64)
		if err != nil || size > most {
			size = most // it isn't said, or more isn't read
		}
		if mediaType(ctx.Header("Content-Type")) == ndjson {
			size = streamBody
		}
		if size > smallBody {
			if !a.bodies.TryAcquire(size) {
				a.answer(ctx, unavailable("so many large requests are at work that this one isn't begun: send it again in a moment", 1))
				return
			}
			release := sync.OnceFunc(func() { a.bodies.Release(size) })
			defer release()
			ctx = huma.WithValue(ctx, bodyKey{}, release)
		}
		next(ctx)
	}
}
