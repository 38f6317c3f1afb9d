package access

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestIsLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:8080": true, "[::1]:8080": true, "localhost:8080": true, "localhost": true,
		"10.1.2.3:8080": false, "evil.example": false, "": false, "localhost.evil.example:80": false,
	} {
		if got := IsLoopback(address); got != want {
			t.Errorf("%q: %v", address, got)
		}
	}
}

// However many addresses sign-ins fail from, few are remembered, and after a minute none.
func TestFailuresTakeBoundedMemory(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	f := newFailures(func() time.Time { return now })
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	var told, refused, guesses int
	note := func(address string) failure {
		r.RemoteAddr = address
		guesses++
		return f.note(r, fmt.Sprint(guesses))
	}
	for i := range 20_000 {
		got := note(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1).String())
		if got.tell {
			told++
		}
		if got.refused {
			refused++
		}
	}
	if len(f.from) > mostAddresses || told != 2 || refused != 20_000-mostFailuresAll {
		t.Errorf("%d addresses are remembered, %d failures are told of, %d refused", len(f.from), told, refused)
	}
	now = now.Add(failureWindow)
	for i := range mostFailures + 1 { // of one network, which has any number of addresses
		if got := note(fmt.Sprintf("[2001:db8::%d]:1", i)); got.refused != (i == mostFailures) {
			t.Errorf("failure %d of a network is refused: %t", i, got.refused)
		}
	}
	r.RemoteAddr = "[2001:db8:1::1]:1"
	for range mostFailures + 5 { // a program with a void token
		if got := f.note(r, "void"); got.refused || len(f.from) != 2 {
			t.Fatalf("%+v, %d addresses", got, len(f.from))
		}
	}
}

func TestSessionsTakeBoundedMemory(t *testing.T) {
	t.Parallel()
	s := &sessionStore{sessions: make(map[string]session)}
	begun := time.Now()
	for i := range mostSessions + 5 {
		if err := s.Commit(fmt.Sprint(i), []byte{byte(i)}, begun.Add(time.Hour+time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range map[int]bool{0: false, 4: false, 5: true, mostSessions + 4: true} {
		if _, found, _ := s.Find(fmt.Sprint(i)); found != want {
			t.Errorf("session %d is there: %t", i, found)
		}
	}
	if len(s.sessions) != mostSessions {
		t.Errorf("%d sessions", len(s.sessions))
	}
	if err := s.Commit("7", nil, begun.Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, found, _ := s.Find("7"); found || len(s.sessions) != mostSessions {
		t.Error("a session that has expired is found")
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 1000 {
		s := NewSecret()
		if seen[s] || len(s) < 24 {
			t.Fatalf("%q", s)
		}
		seen[s] = true
		if other := strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"); other != "" {
			t.Fatalf("%q in %q", other, s)
		}
	}
}
