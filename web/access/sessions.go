package access

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
)

// sessionLifetime is how long somebody stays signed in, unless the token ends before.
const sessionLifetime = 12 * time.Hour

// mostSessions is how many sessions are kept. A further one ends the one that began first.
const mostSessions = 1000

// sessions remember who has signed in, and with which token. They are kept in memory: with the process, they end. Only a sign-in
// begins one.
type sessions struct{ manager *scs.SessionManager }

func newSessions() *sessions {
	// Not scs.New: it starts a goroutine, for a store of its own, that never ends.
	return &sessions{&scs.SessionManager{
		Store: &sessionStore{sessions: make(map[string]session)}, Lifetime: sessionLifetime, Codec: scs.GobCodec{}, HashTokenInStore: true,
	}}
}

const tokenKey = "token"

// isEncrypted reports whether the visitor speaks TLS, with this listener or with a proxy that says so. Whoever forges the proxy's
// header only spoils the own cookie.
func isEncrypted(r *http.Request) bool {
	proto, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return r.TLS != nil || strings.EqualFold(strings.TrimSpace(proto), "https")
}

// cookieName returns the name of the session's cookie. A browser takes one that begins with __Host- only from this very host and over
// TLS, so another host of the same domain can't plant it.
func cookieName(r *http.Request) string {
	if isEncrypted(r) {
		return "__Host-invoicer"
	}
	return "invoicer"
}

func setCookie(w http.ResponseWriter, r *http.Request, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever the visitor speaks TLS; without TLS a browser would drop the cookie
		Name: cookieName(r), Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: isEncrypted(r), SameSite: http.SameSiteLaxMode,
	})
}

// tokenID returns the id of the token of the request's session, or 0 if there is no session.
func (s *sessions) tokenID(r *http.Request) int64 {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return 0
	}
	ctx, err := s.manager.Load(r.Context(), cookie.Value)
	if err != nil {
		return 0 // of another release, say
	}
	return s.manager.GetInt64(ctx, tokenKey)
}

// begin begins a session, and ends the one that the request may have. The new one has a new cookie, so that nobody can sign in to a
// session that was begun for them (session fixation).
func (s *sessions) begin(w http.ResponseWriter, r *http.Request, tokenID int64) error {
	s.end(w, r)
	ctx, err := s.manager.Load(r.Context(), "")
	if err != nil {
		return err
	}
	s.manager.Put(ctx, tokenKey, tokenID)
	value, _, err := s.manager.Commit(ctx)
	if err != nil {
		return err
	}
	w.Header().Del("Set-Cookie") // of end
	setCookie(w, r, value, 0)
	return nil
}

// end ends the request's session, if it has one.
func (s *sessions) end(w http.ResponseWriter, r *http.Request) {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return
	}
	setCookie(w, r, "", -1)
	if ctx, err := s.manager.Load(r.Context(), cookie.Value); err == nil {
		_ = s.manager.Destroy(ctx) // a store in memory returns no error
	}
}

// A sessionStore is a [scs.Store] that keeps a bounded number of sessions.
type sessionStore struct {
	mu       sync.Mutex
	sessions map[string]session
}

type session struct {
	data  []byte
	until time.Time // the earliest began first, as all last equally long
}

// Find implements [scs.Store].
func (s *sessionStore) Find(key string) (data []byte, found bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, found := s.sessions[key]
	if !found || !time.Now().Before(kept.until) {
		return nil, false, nil
	}
	return kept.data, true, nil
}

// Commit implements [scs.Store].
func (s *sessionStore) Commit(key string, data []byte, until time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.sessions[key]; !known && len(s.sessions) >= mostSessions {
		oldest := ""
		for other, kept := range s.sessions {
			if oldest == "" || kept.until.Before(s.sessions[oldest].until) {
				oldest = other
			}
		}
		delete(s.sessions, oldest)
	}
	s.sessions[key] = session{data, until}
	return nil
}

// Delete implements [scs.Store].
func (s *sessionStore) Delete(key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, key)
	return nil
}
