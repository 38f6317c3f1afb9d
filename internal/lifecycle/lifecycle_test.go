package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"invoicer/internal/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A diary is what the parts have done, in order.
type diary struct {
	mu      sync.Mutex
	entries []string
}

func (d *diary) note(entry string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, entry)
}

// part notes its start, that it is told to stop, and its end.
func (d *diary) part(name string) lifecycle.Part {
	return lifecycle.Part{
		Name:  name,
		Start: func(context.Context) error { d.note("+" + name); return nil },
		Run: func(ctx context.Context) error {
			<-ctx.Done()
			d.note("-" + name)
			return nil
		},
	}
}

// ends is a part that ends with err once it is let go.
func ends(name string, letGo <-chan struct{}, err error) lifecycle.Part {
	return lifecycle.Part{Name: name, Run: func(context.Context) error {
		<-letGo
		return err
	}}
}

func (d *diary) expect(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(d.entries, want) {
		t.Errorf("the parts did %q, want %q", d.entries, want)
	}
}

// at returns a part that calls f when all before it have been started.
func at(f func()) lifecycle.Part {
	return lifecycle.Part{Name: "at", Start: func(context.Context) error { f(); return nil }, Run: func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}}
}

func TestStagesStopInReverseOrder(t *testing.T) {
	t.Parallel()
	var d diary
	ctx, stop := context.WithCancel(t.Context())
	err := lifecycle.Run(ctx, lifecycle.Stage{d.part("1")}, lifecycle.Stage{d.part("2")}, lifecycle.Stage{d.part("3"), at(stop)})
	if err != nil {
		t.Error(err)
	}
	d.expect(t, "+1", "+2", "+3", "-3", "-2", "-1")
}

// A stage isn't told to stop while a later one is still working.
func TestAStageIsThereUntilTheLaterOnesHaveEnded(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	var needed context.Context
	provider := lifecycle.Part{Name: "provider", Run: func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}}
	told := make(chan struct{})
	first := lifecycle.Part{Name: "first", Run: func(ctx context.Context) error {
		needed = ctx
		close(told)
		return provider.Run(ctx)
	}}
	user := lifecycle.Part{Name: "user", Run: func(ctx context.Context) error {
		<-told
		stop()
		<-ctx.Done()
		if needed.Err() != nil {
			return errors.New("the first stage was told to stop before")
		}
		return nil
	}}
	if err := lifecycle.Run(ctx, lifecycle.Stage{first}, lifecycle.Stage{user}); err != nil {
		t.Error(err)
	}
}

// Parts of one stage stop side by side: each waits for the other here.
func TestPartsOfAStageStopTogether(t *testing.T) {
	t.Parallel()
	var both sync.WaitGroup
	both.Add(2)
	together := lifecycle.Part{Name: "one of two", Run: func(ctx context.Context) error {
		<-ctx.Done()
		both.Done()
		both.Wait()
		return nil
	}}
	ctx, stop := context.WithCancel(t.Context())
	if err := lifecycle.Run(ctx, lifecycle.Stage{together, together, at(stop)}); err != nil {
		t.Error(err)
	}
}

func TestTheFirstErrorIsKept(t *testing.T) {
	t.Parallel()
	var d diary
	first, letGo := errors.New("first"), make(chan struct{})
	late := lifecycle.Part{Name: "late", Run: func(ctx context.Context) error {
		<-ctx.Done()
		return errors.New("second")
	}}
	err := lifecycle.Run(t.Context(), lifecycle.Stage{late}, lifecycle.Stage{d.part("1")},
		lifecycle.Stage{ends("fails", letGo, first), at(func() { close(letGo) })})
	if err != first { //nolint:errorlint // as it was returned, unwrapped
		t.Errorf("the error is %v", err)
	}
	d.expect(t, "+1", "-1")
}

func TestAnErrorWhileStoppingCounts(t *testing.T) {
	t.Parallel()
	want := errors.New("in stopping")
	ctx, stop := context.WithCancel(t.Context())
	p := lifecycle.Part{Name: "fails", Run: func(ctx context.Context) error {
		<-ctx.Done()
		return want
	}}
	if err := lifecycle.Run(ctx, lifecycle.Stage{p, at(stop)}); !errors.Is(err, want) {
		t.Errorf("the error is %v", err)
	}
}

func TestAPartThatEndsByItselfIsNamed(t *testing.T) {
	t.Parallel()
	letGo := make(chan struct{})
	close(letGo)
	err := lifecycle.Run(t.Context(), lifecycle.Stage{ends("relay", letGo, nil)})
	if err == nil || !strings.HasPrefix(err.Error(), "relay ") {
		t.Errorf("the error is %v", err)
	}
}

// What was started before is stopped, and what would have come later isn't started.
func TestAPartThatFailsToStart(t *testing.T) {
	t.Parallel()
	var d diary
	want := errors.New("no connection")
	refuses := lifecycle.Part{Name: "refuses", Start: func(context.Context) error { return want }, Run: func(context.Context) error {
		d.note("it runs all the same")
		return nil
	}}
	err := lifecycle.Run(t.Context(), lifecycle.Stage{d.part("1")}, lifecycle.Stage{d.part("2"), refuses, d.part("3")}, lifecycle.Stage{d.part("4")})
	if !errors.Is(err, want) {
		t.Errorf("the error is %v", err)
	}
	d.expect(t, "+1", "+2", "-2", "-1")
}

func TestNothingStartsAfterTheEnd(t *testing.T) {
	t.Parallel()
	var d diary
	ctx, stop := context.WithCancel(t.Context())
	if err := lifecycle.Run(ctx, lifecycle.Stage{d.part("1"), at(stop)}, lifecycle.Stage{d.part("2")}); err != nil {
		t.Error(err)
	}
	d.expect(t, "+1", "-1")
}

type key struct{}

func TestContextsCarryValues(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	p := lifecycle.Part{Name: "reader", Run: func(own context.Context) error {
		defer stop()
		if own.Value(key{}) != "value" {
			return errors.New("the value is gone")
		}
		stop()
		<-own.Done()
		return nil
	}}
	if err := lifecycle.Run(ctx, lifecycle.Stage{p}); err != nil {
		t.Error(err)
	}
}
