package rig

import (
	"errors"
	"testing"
	"time"
)

// Patience is how long a test waits for what must happen before it calls it a failure.
const Patience = time.Minute

// Eventually asks until the answer is yes. It is for what causes no event that a test could wait for.
func Eventually(t testing.TB, what string, yes func() bool) {
	t.Helper()
	missing := errors.New(what)
	Await(t, func() error {
		if yes() {
			return nil
		}
		return missing
	})
}

// Await is as [Eventually], for a question whose error says how far it is.
func Await(t testing.TB, missing func() error) {
	t.Helper()
	Within(t, Patience, missing)
}

// Within is as [Await], for what may take longer, or has to be there sooner.
func Within(t testing.TB, patience time.Duration, missing func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 10*time.Millisecond) {
		err := missing()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for: %v", patience, err)
		}
		time.Sleep(pause)
	}
}

// Receive returns what comes next, and returns also when the channel is closed.
func Receive[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	return Find(t, from, what, func(T) bool { return true })
}

// Find returns the first that is the right one. Those before it are passed over.
func Find[T any](t testing.TB, from <-chan T, what string, is func(T) bool) T {
	t.Helper()
	late := time.NewTimer(Patience)
	defer late.Stop()
	for {
		select {
		case one := <-from:
			if is(one) {
				return one
			}
		case <-late.C:
			t.Fatalf("waited %v in vain for: %s", Patience, what)
		}
	}
}
