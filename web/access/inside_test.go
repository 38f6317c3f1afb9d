package access

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"invoicer/web/access/openid"
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

// An attempt to sign in with an OpenID provider counts for ten minutes, and only as this process made it.
func TestAttemptsCantBeMadeUp(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s, other := newAttempts(func() time.Time { return now }), newAttempts(time.Now)
	begun := attempt{Attempt: openid.NewAttempt(), Next: "/jobs"}
	bring := func(cookie *http.Cookie) (attempt, bool) {
		r := httptest.NewRequest(http.MethodGet, callbackPath, nil)
		r.AddCookie(cookie)
		return s.of(r)
	}
	kept := func(s *attempts) *http.Cookie {
		w := httptest.NewRecorder()
		s.keep(w, httptest.NewRequest(http.MethodGet, beginPath, nil), begun)
		return w.Result().Cookies()[0]
	}
	own := kept(s)
	if a, ok := bring(own); !ok || a.Attempt != begun.Attempt || a.Next != begun.Next {
		t.Errorf("%+v %t", a, ok)
	}
	begun.Until = now.Add(time.Hour)
	madeUp, err := json.Marshal(begun)
	if err != nil {
		t.Fatal(err)
	}
	changed := *own
	changed.Value = own.Value[:len(own.Value)-4] + "AAAA"
	for what, cookie := range map[string]*http.Cookie{
		"another process's": kept(other), "changed": &changed, "made up": {Name: own.Name, Value: base64.RawURLEncoding.EncodeToString(madeUp)},
		"empty": {Name: own.Name}, "another name": {Name: "invoicer", Value: own.Value},
	} {
		if a, ok := bring(cookie); ok {
			t.Errorf("%s: %+v", what, a)
		}
	}
	now = now.Add(attemptLifetime)
	if _, ok := bring(own); ok {
		t.Error("it counts after ten minutes")
	}
}

func TestUsedAttemptsTakeBoundedMemory(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := newAttempts(func() time.Time { return now })
	use := func(i int) bool {
		return s.use(attempt{Attempt: openid.Attempt{State: fmt.Sprint(i)}, Until: now.Add(attemptLifetime)})
	}
	for i := range 3 * mostUsed {
		if !use(i) || use(i) {
			t.Fatalf("attempt %d isn't used once", i)
		}
	}
	if len(s.used) != mostUsed {
		t.Errorf("%d are remembered", len(s.used))
	}
	now = now.Add(attemptLifetime)
	if use(-1); len(s.used) != 1 {
		t.Errorf("%d are remembered when they are too old", len(s.used))
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

// A worker of the release before takes whatever has the SHA-256 that is kept, and would show it all issuers. So no limited token is found
// by its SHA-256, neither there nor here.
func TestLimitedTokensHaveNoSHA256(t *testing.T) {
	t.Parallel()
	const secret = "invoicer_abc"
	of := func(issuers Issuers, hash [sha256.Size]byte) *holding {
		all := newTokens(func(context.Context) ([]Token, error) {
			return []Token{{ID: 1, Hash: hash, Visitor: Visitor{Name: "a", Issuers: issuers}}}, nil
		})
		if err := all.read(t.Context()); err != nil {
			t.Fatal(err)
		}
		return all.find(secret)
	}
	for name, test := range map[string]struct {
		issuers Issuers
		hash    [sha256.Size]byte
		found   bool
	}{
		"one of all issuers":          {nil, sha256.Sum256([]byte(secret)), true},
		"a limited one":               {Issuers{"A"}, sha512.Sum512_256([]byte(secret)), true},
		"a limited one of all":        {nil, sha512.Sum512_256([]byte(secret)), false},
		"one of all that is limited":  {Issuers{"A"}, sha256.Sum256([]byte(secret)), false},
		"one that is limited to none": {Issuers{}, sha256.Sum256([]byte(secret)), false},
	} {
		found := of(test.issuers, test.hash)
		if (found != nil) != test.found || found != nil && found.Issuers.String() != test.issuers.String() {
			t.Errorf("%s: %+v", name, found)
		}
		if test.found && HashOf(secret, test.issuers.Limited()) != test.hash {
			t.Errorf("%s: another hash is kept", name)
		}
	}
}
