// Package web serves the HTTP pages of a process, through a listener that bounds the connections, so that clients can't exhaust
// it, and a gate that lets in visitors on this machine, holders of tokens, and people whom an OpenID provider knows.
package web

import (
	"net/http"
	"slices"
	"strings"
)

// mostBody is the largest body of a request in bytes. asynqmon's longest list of tasks is smaller.
const mostBody = 1 << 20

// GuardHeaders returns the headers of every answer. They forbid caches to store the answer, and other pages to embed it.
func GuardHeaders() http.Header {
	return http.Header{
		"Cache-Control":                {"no-store"},
		"Content-Security-Policy":      {"default-src 'none'; frame-ancestors 'none'"},
		"Cross-Origin-Opener-Policy":   {"same-origin"},
		"Cross-Origin-Resource-Policy": {"same-origin"},
		"Referrer-Policy":              {"no-referrer"},
		"X-Content-Type-Options":       {"nosniff"},
		"X-Frame-Options":              {"DENY"},
	}
}

// Guarded returns a handler that adds the [GuardHeaders] and bounds the body, for every page but those below the given paths, which bound
// it themselves.
func Guarded(next http.Handler, unbounded ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range GuardHeaders() {
			w.Header()[name] = values
		}
		if !slices.ContainsFunc(unbounded, func(path string) bool { return strings.HasPrefix(r.URL.Path, path) }) {
			r.Body = http.MaxBytesReader(w, r.Body, mostBody)
		}
		next.ServeHTTP(w, r)
	})
}
