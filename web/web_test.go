package web

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestVisitorThatHasBeenSilentLongestGoesFirst(t *testing.T) {
	t.Parallel()
	l := NewVisitors(nil, 3)
	v := make([]*visitor, 6)
	for i := range v {
		v[i] = &visitor{of: l}
	}
	admit := func(i int, want *visitor) {
		t.Helper()
		if got := l.admit(v[i]); got != want {
			t.Errorf("visitor %d: another one goes than should", i)
		}
	}
	admit(0, nil)
	admit(1, nil)
	admit(2, nil)
	l.asks(v[0], 1) // it is being answered
	admit(3, v[1])
	l.asks(v[2], 1)
	l.asks(v[2], -1) // it was answered, just now
	admit(4, v[3])
	l.asks(v[2], 1)
	l.asks(v[4], 1)
	admit(5, v[0]) // all are being answered, that one for longest
}
