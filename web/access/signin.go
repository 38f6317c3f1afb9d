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
	return path == signInPath || path == SignOutPath || path == stylePath
}

// signInPages returns the handler of signing in and out.
func (g *Gate) signInPages() http.Handler {
	page := template.Must(template.New("signin").Parse(signInHTML))
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+signInPath, func(w http.ResponseWriter, r *http.Request) {
		show(w, page, http.StatusOK, signIn{Visitor: Of(r), Next: ownPath(r.URL.Query().Get("next"))})
	})
	mux.HandleFunc("POST "+signInPath, func(w http.ResponseWriter, r *http.Request) { g.signIn(w, r, page) })
	mux.HandleFunc("POST "+SignOutPath, func(w http.ResponseWriter, r *http.Request) {
		g.sessions.end(w, r)
		http.Redirect(w, r, signInPath, http.StatusSeeOther)
	})
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
}

func show(w http.ResponseWriter, page *template.Template, code int, s signIn) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", signInPolicy)
	w.Header().Set("Referrer-Policy", "same-origin") // no-referrer would have a browser send the form with Origin: null
	w.WriteHeader(code)
	_ = page.Execute(w, s) // the visitor may be gone
}

func (g *Gate) signIn(w http.ResponseWriter, r *http.Request, page *template.Template) {
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	if err := r.ParseForm(); err != nil {
		code := http.StatusBadRequest
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			code = http.StatusRequestEntityTooLarge
		}
		show(w, page, code, signIn{Problem: "The form could not be read. Please try again."})
		return
	}
	next := ownPath(r.PostForm.Get("next"))
	secret := strings.TrimSpace(r.PostForm.Get("token"))
	held := g.tokens.find(secret)
	switch {
	case held == nil && g.failed(r, secret):
		w.Header().Set("Retry-After", "60")
		show(w, page, http.StatusTooManyRequests, signIn{Next: next, Problem: "Too many sign-ins have failed. Please try again in a minute."})
	case held == nil:
		w.Header().Set("WWW-Authenticate", challenge)
		show(w, page, http.StatusUnauthorized, signIn{Next: next, Problem: "This token is not valid. It may be revoked, or have expired."})
	case !held.May(Read):
		show(w, page, http.StatusForbidden, signIn{Next: next, Problem: "This token opens no page: it has neither the role read nor operate."})
	default:
		if err := g.sessions.begin(w, r, held.ID); err != nil {
			g.options.Logger.Error("a session can't be begun", "error", err)
			show(w, page, http.StatusInternalServerError, signIn{Next: next, Problem: "Signing in failed. Please try again."})
			return
		}
		g.options.Logger.Info("signed in", "token", held.Name)
		http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // ownPath leads to no other site
	}
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
