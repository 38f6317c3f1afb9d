package access

import (
	"context"
	"crypto/subtle"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"invoicer/web/access/openid"
)

// The paths of signing in with an OpenID provider: where it begins, and where the provider sends people back to.
const (
	beginPath    = "/login/oidc"
	callbackPath = "/login/oidc/callback"
)

// OIDC configures signing in with an OpenID provider. All but Scopes and one of Read and Operate are required.
type OIDC struct {
	Issuer       string // exactly as the provider calls itself
	ClientID     string
	ClientSecret string
	BaseURL      string        // where people open the pages, without a / at the end
	Scopes       []string      // asked for beside openid
	GroupsClaim  string        // the claim of the ID token that lists a person's groups
	Read         []string      // groups whose members have the role read
	Operate      []string      // groups whose members have the role operate
	Session      time.Duration // how long a sign-in lasts
}

// discoverInterval is how long after a failure the provider is discovered again.
const discoverInterval = 5 * time.Second

// signInsByOIDC is signing in with an OpenID provider.
type signInsByOIDC struct {
	OIDC
	provider *openid.Provider
	attempts *attempts
	host     string // of the provider, for people
}

// newSignInsByOIDC returns nil if no provider is configured.
func newSignInsByOIDC(o *OIDC) *signInsByOIDC {
	if o == nil {
		return nil
	}
	host := o.Issuer
	if issuer, err := url.Parse(o.Issuer); err == nil && issuer.Host != "" {
		host = issuer.Host
	}
	return &signInsByOIDC{OIDC: *o, attempts: newAttempts(time.Now), host: host, provider: openid.New(openid.Options{
		Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: o.ClientSecret, RedirectURL: o.BaseURL + callbackPath,
		Scopes: o.Scopes, GroupsClaim: o.GroupsClaim,
	})}
}

// discover discovers the provider. It tries again until it succeeds or ctx ends. Of failures it logs the first, and the end.
func (g *Gate) discover(ctx context.Context) {
	if g.oidc == nil {
		return
	}
	log := g.options.Logger.With("issuer", g.oidc.Issuer)
	for failing := false; ; failing = true {
		err := g.oidc.provider.Discover(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && failing:
			log.Info("the OpenID provider can be reached: people can sign in with it")
			return
		case err == nil:
			return
		case !failing:
			log.Warn("the OpenID provider can't be used until it answers: tokens go on working", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(discoverInterval):
		}
	}
}

// rolesOf returns the roles of a person in these groups.
func (o OIDC) rolesOf(groups []string) []Role {
	isIn := func(members []string) bool {
		return slices.ContainsFunc(groups, func(group string) bool { return slices.Contains(members, group) })
	}
	var roles []Role
	if isIn(o.Read) {
		roles = append(roles, Read)
	}
	if isIn(o.Operate) {
		roles = append(roles, Operate)
	}
	return roles
}

// visitorOf returns a person as a visitor. No token has a name with a blank in it, so the record always shows whether somebody came
// with a token or from the provider.
func visitorOf(p openid.Person, roles []Role) Visitor {
	return Visitor{Name: p.Name + " (oidc)", Roles: roles}
}

// begin sends a person to the provider.
func (g *Gate) begin(w http.ResponseWriter, r *http.Request, page *template.Template) {
	a := attempt{Attempt: openid.NewAttempt(), Next: ownPath(r.URL.Query().Get("next"))}
	to, err := g.oidc.provider.SignInURL(a.Attempt)
	if err != nil {
		g.unreachable(w, page, a.Next)
		return
	}
	g.oidc.attempts.keep(w, r, a)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// finish signs a person in whom the provider has sent back. Only the browser that began the attempt can, and only once.
func (g *Gate) finish(w http.ResponseWriter, r *http.Request, page *template.Template) {
	brought := r.URL.Query()
	a, ok := g.oidc.attempts.of(r)
	if !ok || subtle.ConstantTimeCompare([]byte(brought.Get("state")), []byte(a.State)) != 1 || !g.oidc.attempts.use(a) {
		g.failedOIDC(w, r, page, "/", "it was begun by another browser, more than ten minutes ago, or is over",
			"This sign-in can't be finished: it was begun in another browser, more than ten minutes ago, or is over. Please sign in again.")
		return
	}
	if brought.Get("code") == "" {
		g.failedOIDC(w, r, page, a.Next, "the provider says "+printable(brought.Get("error"), 40), "The provider has not signed you in. Please try again.")
		return
	}
	person, err := g.oidc.provider.Person(r.Context(), a.Attempt, brought.Get("code"))
	switch {
	case errors.Is(err, openid.ErrUnreachable):
		g.options.Logger.Warn("a sign-in with the OpenID provider can't be finished", "error", err)
		g.unreachable(w, page, a.Next)
	case err != nil:
		g.failedOIDC(w, r, page, a.Next, err.Error(),
			"The provider's answer could not be verified. Please try again; if it stays like this, the log of this process says why.")
	default:
		g.admit(w, r, page, person, a.Next)
	}
}

// admit begins a session for a person, if their groups have a role.
func (g *Gate) admit(w http.ResponseWriter, r *http.Request, page *template.Template, person openid.Person, next string) {
	visitor := visitorOf(person, g.oidc.rolesOf(person.Groups))
	log := g.options.Logger.With("name", visitor.Name, "subject", person.Subject)
	if len(visitor.Roles) == 0 {
		g.oidc.attempts.forget(w, r)
		log.Info("a person without a role was turned away: none of their groups is in http.oidc.read or http.oidc.operate")
		g.show(w, page, http.StatusForbidden, signIn{Next: next, Stranger: g.stranger(person)})
		return
	}
	if err := g.sessions.begin(w, r, signedIn{person: visitor, until: time.Now().Add(g.oidc.Session)}); err != nil {
		log.Error("a session can't be begun", "error", err)
		g.show(w, page, http.StatusInternalServerError, signIn{Next: next, Problem: "Signing in failed. Please try again."})
		return
	}
	g.oidc.attempts.forget(w, r)
	log.Info("signed in with the OpenID provider")
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (g *Gate) unreachable(w http.ResponseWriter, page *template.Template, next string) {
	w.Header().Set("Retry-After", "10")
	g.show(w, page, http.StatusServiceUnavailable, signIn{
		Next: next, Problem: g.oidc.host + " can't be reached. Please try again in a moment, or sign in with a token.",
	})
}

// failedOIDC counts a failed sign-in, and answers it. The reason is for the log.
func (g *Gate) failedOIDC(w http.ResponseWriter, r *http.Request, page *template.Template, next, reason, problem string) {
	f := g.failures.note(r, r.URL.RawQuery)
	if f.refused {
		g.tellFailure(f)
		g.tooMany(w, page, next)
		return
	}
	g.options.Logger.Info("a sign-in with the OpenID provider has failed", "reason", reason)
	g.show(w, page, http.StatusUnauthorized, signIn{Next: next, Problem: problem})
}

// A stranger is somebody whom the provider knows, but who has no role here.
type stranger struct {
	Name   string
	Claim  string   // in which groups are looked for
	Groups []string // the first of them
	More   bool     // there are more
}

func (g *Gate) stranger(p openid.Person) *stranger {
	const most, longest = 20, 100
	s := &stranger{Name: p.Name, Claim: g.oidc.GroupsClaim, More: len(p.Groups) > most}
	for _, group := range p.Groups[:min(most, len(p.Groups))] {
		s.Groups = append(s.Groups, printable(group, longest))
	}
	return s
}

// printable returns at most so many characters of somebody else's text, with a blank in place of those that can't be printed.
func printable(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
