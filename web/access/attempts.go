package access

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"invoicer/web/access/openid"
)

// An attempt is one attempt to sign in with an OpenID provider.
type attempt struct {
	openid.Attempt

	Next  string    // where to go afterwards
	Until time.Time // it must be finished by then
}

const (
	attemptLifetime = 10 * time.Minute
	longestNext     = 2000 // bytes, so that a browser takes the cookie
	mostUsed        = 4096 // attempts that are remembered as used
)

// attempts keep each attempt in a cookie of the browser that began it, sealed with a key of this process. So whoever asks for sign-ins
// without finishing them takes no memory, and nobody can make up an attempt, or finish one in another browser. An attempt that was used
// is remembered until it would be too old; if more than mostUsed are, some may be tried again, but the provider redeems no code twice.
type attempts struct {
	now  func() time.Time
	seal cipher.AEAD

	mu   sync.Mutex
	used map[string]time.Time // by state: when it may be forgotten
}

func newAttempts(now func() time.Time) *attempts {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	block, _ := aes.NewCipher(key[:])
	seal, _ := cipher.NewGCMWithRandomNonce(block) // neither fails with a key of this length
	return &attempts{now: now, seal: seal, used: make(map[string]time.Time)}
}

// attemptCookie returns the name of the cookie. It begins with __Host- wherever the session's does.
func attemptCookie(r *http.Request) string { return cookieName(r) + "-signin" }

// keep gives the attempt to the browser.
func (s *attempts) keep(w http.ResponseWriter, r *http.Request, a attempt) {
	a.Until = s.now().Add(attemptLifetime)
	if len(a.Next) > longestNext {
		a.Next = "/"
	}
	text, _ := json.Marshal(a)                 // it is made of texts and a time
	sealed := s.seal.Seal(nil, nil, text, nil) //nolint:gosec // no nonce is given: the seal takes a random one each time
	setCookie(w, r, attemptCookie(r), base64.RawURLEncoding.EncodeToString(sealed), int(attemptLifetime/time.Second))
}

// of returns the attempt that the browser has begun. It reports false if it has begun none, or one that is too old.
func (s *attempts) of(r *http.Request) (a attempt, ok bool) {
	cookie, err := r.Cookie(attemptCookie(r))
	if err != nil {
		return attempt{}, false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return attempt{}, false
	}
	text, err := s.seal.Open(nil, nil, sealed, nil)
	if err != nil || json.Unmarshal(text, &a) != nil || !s.now().Before(a.Until) {
		return attempt{}, false
	}
	return a, true
}

// use reports whether the attempt is used for the first time.
func (s *attempts) use(a attempt) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, again := s.used[a.State]; again {
		return false
	}
	if len(s.used) >= mostUsed {
		s.makeRoom()
	}
	s.used[a.State] = a.Until
	return true
}

// makeRoom forgets the attempts that are too old, or else one of them.
func (s *attempts) makeRoom() {
	for state, until := range s.used {
		if !s.now().Before(until) {
			delete(s.used, state)
		}
	}
	for state := range s.used {
		if len(s.used) < mostUsed {
			return
		}
		delete(s.used, state)
	}
}

// forget takes the attempt from the browser.
func (s *attempts) forget(w http.ResponseWriter, r *http.Request) {
	setCookie(w, r, attemptCookie(r), "", -1)
}
