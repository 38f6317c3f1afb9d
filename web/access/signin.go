package access

import (
	_ "embed"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"
)

// The paths of sign-in.
const (
	signInPath  = "/login"
	SignOutPath = "/logout" // takes a POST from a page that lets people sign out
	stylePath   = "/login/style.css"
)

// signInPolicy is the Content-Security-Policy of the page for signing in.
const signInPolicy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// mostForm is the largest form for signing in, in bytes.
const mostForm = 4 << 10

//go:embed signin.html
var signInHTML string

//go:embed signin.css
var signInStyle []byte

func isSignIn(path string) bool {
	return path == signInPath || path == SignOutPath || path == stylePath || path == beginPath || path == callbackPath
}

// signInPages returns the handler of signing in and out.
func (g *Gate) signInPages() http.Handler {
	page := template.Must(template.New("signin").Parse(signInHTML))
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+signInPath, func(w http.ResponseWriter, r *http.Request) {
		asked := r.URL.Query()
		g.show(w, page, http.StatusOK, signIn{Visitor: Of(r), Next: ownPath(asked.Get("next")), SignedOut: asked.Has("out") && Of(r).Name == ""})
	})
	mux.HandleFunc("POST "+signInPath, func(w http.ResponseWriter, r *http.Request) { g.signIn(w, r, page) })
	mux.HandleFunc("POST "+SignOutPath, func(w http.ResponseWriter, r *http.Request) {
		to := signInPath
		if who, ok := g.sessions.of(r); ok && who.token == 0 {
			to += "?out" // the page then says that the provider's session goes on
		}
		g.sessions.end(w, r)
		http.Redirect(w, r, to, http.StatusSeeOther)
	})
	if g.oidc != nil {
		mux.HandleFunc("GET "+beginPath, func(w http.ResponseWriter, r *http.Request) { g.begin(w, r, page) })
		mux.HandleFunc("GET "+callbackPath, func(w http.ResponseWriter, r *http.Request) { g.finish(w, r, page) })
	}
	mux.HandleFunc("GET "+stylePath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(signInStyle)
	})
	return mux
}

// A signIn is what the page for signing in shows.
type signIn struct {
	Visitor Visitor // who is signed in already, or on this machine
	Next    string  // where to go afterwards
	Problem string

	Provider  string    // the host of the OpenID provider, "" if there is none
	Begin     string    // where signing in with it begins
	SignedOut bool      // of a session that began with the provider
	Stranger  *stranger // whom the provider knows, but who has no role
}

// show shows the page for signing in.
func (g *Gate) show(w http.ResponseWriter, page *template.Template, code int, s signIn) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", signInPolicy)
	w.Header().Set("Referrer-Policy", "same-origin") // no-referrer would have a browser send the form with Origin: null
	w.WriteHeader(code)
	if g.oidc != nil {
		s.Provider, s.Begin = g.oidc.host, g.oidc.BaseURL+beginPath // an attempt must begin and end under the same name
	}
	_ = page.Execute(w, s) // the visitor may be gone
}

func (g *Gate) signIn(w http.ResponseWriter, r *http.Request, page *template.Template) {
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	if err := r.ParseForm(); err != nil {
		code := http.StatusBadRequest
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			code = http.StatusRequestEntityTooLarge
		}
		g.show(w, page, code, signIn{Problem: "The form could not be read. Please try again."})
		return
	}
	next := ownPath(r.PostForm.Get("next"))
	secret := strings.TrimSpace(r.PostForm.Get("token"))
	held := g.tokens.find(secret)
	switch {
	case held == nil && g.failed(r, secret):
		g.tooMany(w, page, next)
	case held == nil:
		w.Header().Set("WWW-Authenticate", challenge)
		g.show(w, page, http.StatusUnauthorized, signIn{Next: next, Problem: "This token is not valid. It may be revoked, or have expired."})
	case !held.May(Read):
		g.show(w, page, http.StatusForbidden, signIn{Next: next, Problem: "This token opens no page: it has neither the role read nor operate."})
	default:
		if err := g.sessions.begin(w, r, signedIn{token: held.ID}); err != nil {
			g.options.Logger.Error("a session can't be begun", "error", err)
			g.show(w, page, http.StatusInternalServerError, signIn{Next: next, Problem: "Signing in failed. Please try again."})
			return
		}
		g.options.Logger.Info("signed in", "token", held.Name)
		http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // ownPath leads to no other site
	}
}

func (g *Gate) tooMany(w http.ResponseWriter, page *template.Template, next string) {
	w.Header().Set("Retry-After", "60")
	g.show(w, page, http.StatusTooManyRequests, signIn{Next: next, Problem: "Too many sign-ins have failed. Please try again in a minute."})
}

// ownPath returns the path if it leads to a page of this listener, and the first page otherwise. A browser reads //host and /\host as
// another host. It leaves out tabs and line ends, which url.Parse refuses.
func ownPath(path string) string {
	to, err := url.Parse(path)
	if err != nil || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.Contains(path, `\`) || isSignIn(to.Path) {
		return "/"
	}
	return path
}
