package access

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Options configure a [Gate].
type Options struct {
	// Loopback says that the listener is bound to a loopback address. Otherwise nobody is local, whatever the request's address.
	Loopback bool
	// TLS says that the listener speaks TLS.
	TLS bool
	// Insecure says that a listener beyond loopback takes tokens without TLS. Otherwise it serves health alone.
	Insecure bool
	// Hosts are the names by which the pages may be asked for, beside those of loopback on loopback. If there are none, a listener
	// beyond loopback takes any.
	Hosts []string
	// OpenMetrics says that everybody may read /metrics.
	OpenMetrics bool
	// Programs is the beginning of the paths at which programs ask, which get problems of RFC 9457 as errors. "" stands for none.
	Programs string
	// Open is the beginning of the paths that may be read by everybody, by whatever host name: what is there knows by itself who may see it, and
	// is told of no visitor. "" stands for none.
	Open string
	// Tokens returns all valid tokens. Nil means that there are none.
	Tokens func(context.Context) ([]Token, error)
	// OIDC lets people sign in with an OpenID provider as well. Nil means that they can't.
	OIDC   *OIDC
	Logger *slog.Logger
}

// A Gate decides which requests reach the pages, and finds out from whom they come. It is safe for concurrent use.
type Gate struct {
	options    Options
	hosts      map[string]struct{}
	tokens     *tokens
	failures   *failures
	sessions   *sessions
	oidc       *signInsByOIDC // nil if no provider is configured
	own        http.Handler   // sign-in
	sameOrigin *http.CrossOriginProtection
}

// New returns a gate without tokens. They count once [Gate.Start] has read them.
func New(o Options) *Gate {
	if o.Tokens == nil {
		o.Tokens = func(context.Context) ([]Token, error) { return nil, nil }
	}
	g := &Gate{
		options: o, hosts: make(map[string]struct{}), tokens: newTokens(o.Tokens), failures: newFailures(time.Now),
		sessions: newSessions(), oidc: newSignInsByOIDC(o.OIDC), sameOrigin: http.NewCrossOriginProtection(),
	}
	for _, host := range o.Hosts {
		g.hosts[hostName(host)] = struct{}{}
	}
	g.own = g.signInPages()
	return g
}

// Start reads the tokens for the first time, and logs what isn't served and why, if the listener isn't bound to loopback.
func (g *Gate) Start(ctx context.Context) error {
	err := g.tokens.read(ctx)
	served := "only health checks are served"
	if g.options.OpenMetrics {
		served = "only health checks and metrics are served"
	}
	log := g.options.Logger
	switch {
	case err != nil:
		log.Warn(served+", except on loopback, until the tokens can be read", "error", err)
	case g.options.Loopback:
	case g.closed():
		log.Warn(served + ", because the address is not loopback and has no TLS: " +
			"set http.tls_cert and http.tls_key, or http.insecure if something else encrypts")
	case !g.canSignIn():
		log.Warn(served + ", because there is no token: make one with 'invoicer token make'")
	}
	if !g.options.Loopback && !g.closed() && !g.options.TLS {
		log.Warn("tokens and pages cross the network without TLS, as http.insecure allows")
	}
	return nil
}

// canSignIn reports whether there is a way to sign in.
func (g *Gate) canSignIn() bool { return g.tokens.count() > 0 || g.oidc != nil }

// Watch reads the tokens every two seconds, and asks for the OpenID provider until it answers, until ctx ends. Of failures it logs the
// first, and the end.
func (g *Gate) Watch(ctx context.Context) {
	var discovery sync.WaitGroup
	discovery.Go(func() { g.discover(ctx) })
	defer discovery.Wait()
	ticks := time.NewTicker(readInterval)
	defer ticks.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		err := g.tokens.read(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			g.options.Logger.Warn("the tokens can't be read: those that were read last are valid until they expire", "error", err)
		case err == nil && failing:
			g.options.Logger.Info("the tokens can be read again")
		}
		failing = err != nil
	}
}

// closed reports whether the listener serves health alone, because whatever else it serves would cross the network readable.
func (g *Gate) closed() bool { return !g.options.Loopback && !g.options.TLS && !g.options.Insecure }

// Handler returns a handler that passes on, with their visitor, only requests of visitors who have some role, and those that are open
// to everybody. Which role a page needs is checked by [Require]. A request that may change something is refused if it comes from
// another site's page. People without a session are sent to sign in.
func (g *Gate) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.options.Programs != "" && strings.HasPrefix(r.URL.Path, g.options.Programs) {
			r = r.WithContext(context.WithValue(r.Context(), programKey{}, true))
		}
		if g.opens(r) && !g.closed() {
			next.ServeHTTP(w, r)
			return
		}
		local := g.isLocal(r)
		if local {
			r = With(r, Visitor{Name: LocalName, Roles: Roles()})
		}
		switch {
		case isHealth(r.URL.Path):
			next.ServeHTTP(w, r)
			return
		case !g.allowsHost(r):
			g.refuseHost(w, r)
			return
		case g.options.OpenMetrics && r.URL.Path == metricsPath:
			next.ServeHTTP(w, r)
			return
		case g.closed():
			refuse(w, r, http.StatusForbidden, "only health is served here: this address is not loopback, and has no TLS")
			return
		}
		if err := g.sameOrigin.Check(r); err != nil {
			refuse(w, r, http.StatusForbidden, "this request comes from another site's page")
			return
		}
		held, wrong, void := g.credentials(r)
		switch {
		case void:
			g.refuseToken(w, r, wrong)
		case held != nil:
			ctx, end := held.bound(r.Context())
			defer end()
			g.serve(w, With(r.WithContext(ctx), held.Visitor), next)
		case local || g.canSignIn() && isSignIn(r.URL.Path):
			g.serve(w, r, next)
		case !g.canSignIn() && !g.claims(r):
			refuse(w, r, http.StatusForbidden, "nobody can sign in: make a token with 'invoicer token make'")
		case wantsPage(r):
			http.Redirect(w, r, signInPath+"?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		default:
			unauthorized(w, r, "this needs a token: Authorization: Bearer TOKEN")
		}
	})
}

// opens reports whether everybody may read what is asked for.
func (g *Gate) opens(r *http.Request) bool {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	return reads && g.options.Open != "" && strings.HasPrefix(r.URL.Path, g.options.Open)
}

func (g *Gate) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if isSignIn(r.URL.Path) {
		next = g.own
	}
	next.ServeHTTP(w, r)
}

func (g *Gate) refuseHost(w http.ResponseWriter, r *http.Request) {
	message := "this host name is not in http.hosts"
	if g.options.Loopback {
		message = "this is a loopback address: ask for it as 127.0.0.1, [::1] or localhost, or list the name in http.hosts"
	}
	refuse(w, r, http.StatusForbidden, message)
}

// credentials returns the token that the request shows, itself or by its session, or the session as if it were a token if it is one of
// an OpenID provider's, or nil if it shows none. A session without a valid
// token counts as none. If the request shows a token that isn't valid, void is true, with that token.
func (g *Gate) credentials(r *http.Request) (held *holding, wrong string, void bool) {
	headers := r.Header.Values("Authorization")
	for _, header := range headers {
		scheme, secret, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			continue // another scheme, which is none of ours
		}
		secret = strings.TrimSpace(secret)
		held := g.tokens.find(secret)
		if held == nil || len(headers) > 1 {
			return nil, secret, true
		}
		return held, "", false
	}
	who, ok := g.sessions.of(r)
	switch {
	case !ok:
		return nil, "", false
	case who.token != 0:
		return g.tokens.withID(who.token), "", false
	}
	return personal(who.person, who.until), "", false
}

// claims reports whether the request shows a session, which may have ended.
func (g *Gate) claims(r *http.Request) bool {
	_, err := r.Cookie(cookieName(r))
	return err == nil
}

// refuseToken answers a request whose token isn't valid.
func (g *Gate) refuseToken(w http.ResponseWriter, r *http.Request, secret string) {
	if g.failed(r, secret) {
		w.Header().Set("Retry-After", "60")
		refuse(w, r, http.StatusTooManyRequests, "too many sign-ins have failed: try again in a minute")
		return
	}
	unauthorized(w, r, "the token is not valid: it may be revoked, or have expired")
}

// failed counts a failed sign-in, and reports whether there were too many.
func (g *Gate) failed(r *http.Request, secret string) bool {
	f := g.failures.note(r, secret)
	g.tellFailure(f)
	return f.refused
}

// tellFailure logs a failed sign-in, if it is to be told.
func (g *Gate) tellFailure(f failure) {
	switch {
	case f.tell && f.refused:
		g.options.Logger.Warn("so many sign-ins fail that further failures are refused for a minute; valid tokens go on working")
	case f.tell:
		g.options.Logger.Info("a sign-in has failed: the token isn't valid")
	}
}

const metricsPath = "/metrics"

func isHealth(path string) bool {
	return path == "/livez" || path == "/healthz" || path == "/readyz"
}

// wantsPage reports whether a browser asks for a page, rather than a script or a program for data.
func wantsPage(r *http.Request) bool {
	mode, reads := r.Header.Get("Sec-Fetch-Mode"), r.Method == http.MethodGet || r.Method == http.MethodHead
	return reads && strings.Contains(r.Header.Get("Accept"), "text/html") && (mode == "" || mode == "navigate")
}
