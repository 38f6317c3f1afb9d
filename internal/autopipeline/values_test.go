package autopipeline_test

import (
	"context"
	"testing"

	"invoicer/internal/sandbox/sandboxtest"
)

// A command that is sent alone has its caller's context values, such as a span. A batch has no caller's, not even the first one's.
func TestValuesOfContextsStayWithTheirCaller(t *testing.T) {
	t.Parallel()
	b := setup(t, sandboxtest.Redis(t))
	ask := func(who string) func(int) error {
		ctx := context.WithValue(t.Context(), callerKey{}, who)
		return func(int) error { return b.view.HSet(ctx, uniqueKey(t), "a", 1).Err() }
	}
	check := func(r *trip, who any, commands int) {
		t.Helper()
		if r.of != who {
			t.Errorf("%v's trip has the values of %v", who, r.of)
		}
		wantTrip(t, r, commands, commands > 1)
	}
	b.asking.Go(func() { _ = ask("first")(0) })
	first := b.next(t)
	alone := b.queue(t, 1, ask("alone"))
	check(first, "first", 1)
	second := b.next(t)
	several := b.queue(t, 2, ask("several"))
	check(second, "alone", 1)
	third := b.next(t)
	last := b.queue(t, 1, ask("last"))
	check(third, nil, 2)
	check(b.next(t), "last", 1)
	for _, ends := range []<-chan error{alone, several, several, last} {
		must(t, end(t, ends))
	}
	b.asking.Wait()
}
