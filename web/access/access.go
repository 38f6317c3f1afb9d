// Package access decides who may see and do what on the pages of a process: visitors on this machine, people and programs that have a
// token, and people whom an OpenID provider knows.
package access

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
)

// A Role says what a token allows.
type Role string

// The roles.
const (
	Read    Role = "read"    // sees all pages and the metrics
	Operate Role = "operate" // sees them, and changes things
	Enqueue Role = "enqueue" // hands jobs in, and sees no page
)

// Roles returns all roles.
func Roles() []Role { return []Role{Read, Operate, Enqueue} }

// LocalName is the name of a [Visitor] on this machine. No token may have it.
const LocalName = "local"

// A Visitor is the person or program that a request comes from. The zero Visitor may do nothing.
type Visitor struct {
	// Name is the name of the token, or [LocalName], or "" for somebody unknown. It has 1 to 64 characters of
	// A-Z a-z 0-9 . _ : / @ + = -
	Name string
	// Roles are the roles of the token. A visitor on this machine has all.
	Roles []Role
	// Producer is the only producer that jobs from this visitor may name, "" if any.
	Producer string
	// Issuers are those whose data the visitor may see.
	Issuers Issuers
}

// May reports whether the visitor has a role. Whoever has Operate has Read as well.
func (v Visitor) May(role Role) bool {
	return slices.Contains(v.Roles, role) || role == Read && slices.Contains(v.Roles, Operate)
}

// Local reports whether the visitor is on this machine and has shown no token.
func (v Visitor) Local() bool { return v.Name == LocalName }

type visitorKey struct{}

// With returns the request as one of the visitor.
func With(r *http.Request, v Visitor) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), visitorKey{}, v))
}

// Of returns the visitor that a request comes from. It is the zero Visitor if that is unknown.
func Of(r *http.Request) Visitor { return In(r.Context()) }

// In is [Of] for the context of a request.
func In(ctx context.Context) Visitor {
	v, _ := ctx.Value(visitorKey{}).(Visitor)
	return v
}

// Require returns a handler that serves next only to visitors who have the role and may see the data of all issuers. It answers others
// with 403, and unknown ones with 401.
func Require(role Role, next http.Handler) http.Handler {
	return RequireWithin(role, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v := Of(r); v.Issuers.Limited() {
			refuse(w, r, http.StatusForbidden, "this shows the data of all issuers, and your token is limited to "+v.Issuers.String()+": / leads to the pages that show theirs")
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// RequireWithin returns a handler that serves next only to visitors who have the role, limited ones too: next must show each of them the
// data of no other issuers than theirs. It answers others with 403, and unknown ones with 401.
func RequireWithin(role Role, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch v := Of(r); {
		case v.May(role):
			next.ServeHTTP(w, r)
		case v.Name == "":
			unauthorized(w, r, "this needs a token")
		default:
			refuse(w, r, http.StatusForbidden, "you lack the role "+string(role))
		}
	})
}

// RequireLocal returns a handler that serves next only to visitors on this machine. It answers others with 403.
func RequireLocal(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !Of(r).Local() {
			refuse(w, r, http.StatusForbidden, "this is shown on loopback only, and not through a proxy: forward a port")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// challenge says in an answer how to show a token.
const challenge = `Bearer realm="invoicer"`

// unauthorized answers a program that must show a token.
func unauthorized(w http.ResponseWriter, r *http.Request, message string) {
	w.Header().Set("WWW-Authenticate", challenge)
	refuse(w, r, http.StatusUnauthorized, message)
}

type programKey struct{}

// refuse answers with a message: a program with a problem of RFC 9457, and everybody else with plain text.
func refuse(w http.ResponseWriter, r *http.Request, status int, message string) {
	if r.Context().Value(programKey{}) == nil {
		http.Error(w, message, status)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "title": http.StatusText(status), "detail": message}) // the client may be gone
}
