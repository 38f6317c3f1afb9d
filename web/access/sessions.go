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

// mostSessions is how many sessions are kept. A further one ends the one that would end first.
const mostSessions = 1000

// sessions remember who has signed in, and with which token or that it was with an OpenID provider. They are kept in memory: with the
// process, they end. Only a sign-in begins one.
type sessions struct{ manager *scs.SessionManager }

func newSessions() *sessions {
	// Not scs.New: it starts a goroutine, for a store of its own, that never ends.
	return &sessions{&scs.SessionManager{
		Store: &sessionStore{sessions: make(map[string]session)}, Lifetime: sessionLifetime, Codec: scs.GobCodec{}, HashTokenInStore: true,
	}}
}

// A signedIn is whom a session belongs to: the holder of a token, or a person whom an OpenID provider knows.
type signedIn struct {
	token  int64     // its id; 0 for a person
	person Visitor   // without a producer
	until  time.Time // of a person: when the session ends. That of a token ends with the token
}

// The keys of a session.
const (
	tokenKey = "token"
	nameKey  = "name"
	rolesKey = "roles"
)

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

func setCookie(w http.ResponseWriter, r *http.Request, name, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever the visitor speaks TLS; without TLS a browser would drop the cookie
		Name: name, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: isEncrypted(r), SameSite: http.SameSiteLaxMode,
	})
}

// of returns whom the request's session belongs to. It reports false if there is no session.
func (s *sessions) of(r *http.Request) (who signedIn, ok bool) {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return signedIn{}, false
	}
	ctx, err := s.manager.Load(r.Context(), cookie.Value)
	if err != nil {
		return signedIn{}, false // of another release, say
	}
	who = signedIn{token: s.manager.GetInt64(ctx, tokenKey), person: Visitor{Name: s.manager.GetString(ctx, nameKey)}}
	for role := range strings.FieldsSeq(s.manager.GetString(ctx, rolesKey)) {
		who.person.Roles = append(who.person.Roles, Role(role))
	}
	who.until = s.manager.Deadline(ctx)
	return who, who.token != 0 || who.person.Name != ""
}

// begin begins a session, and ends the one that the request may have. The new one has a new cookie, so that nobody can sign in to a
// session that was begun for them (session fixation).
func (s *sessions) begin(w http.ResponseWriter, r *http.Request, who signedIn) error {
	s.end(w, r)
	ctx, err := s.manager.Load(r.Context(), "")
	if err != nil {
		return err
	}
	if who.token != 0 {
		s.manager.Put(ctx, tokenKey, who.token)
	} else {
		var roles []string
		for _, role := range who.person.Roles {
			roles = append(roles, string(role))
		}
		s.manager.Put(ctx, nameKey, who.person.Name)
		s.manager.Put(ctx, rolesKey, strings.Join(roles, " "))
		s.manager.SetDeadline(ctx, who.until)
	}
	value, _, err := s.manager.Commit(ctx)
	if err != nil {
		return err
	}
	w.Header().Del("Set-Cookie") // of end
	setCookie(w, r, cookieName(r), value, 0)
	return nil
}

// end ends the request's session, if it has one.
func (s *sessions) end(w http.ResponseWriter, r *http.Request) {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return
	}
	setCookie(w, r, cookieName(r), "", -1)
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
	until time.Time
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
		earliest := ""
		for other, kept := range s.sessions {
			if earliest == "" || kept.until.Before(s.sessions[earliest].until) {
				earliest = other
			}
		}
		delete(s.sessions, earliest)
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
