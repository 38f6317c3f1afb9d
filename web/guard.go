// Package web serves the HTTP pages of a process, through a listener that bounds the connections, so that clients can't exhaust
// it, and a guard that shows payloads and profiles only to clients on the same machine.
package web

import (
	"net"
	"net/http"
	"strings"

	"invoicer/web/access"
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

// Guarded returns a handler that adds the [GuardHeaders] and bounds the body, for every page. A request to a loopback address must
// also name a loopback host, except for health: otherwise another site could make its own name resolve to this address, and its
// page in a local browser could read the answers (DNS rebinding).
func Guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range GuardHeaders() {
			w.Header()[name] = values
		}
		r.Body = http.MaxBytesReader(w, r.Body, mostBody)
		if !isHealth(r.URL.Path) && onLoopback(r) && !isLoopback(r.Host) {
			http.Error(w, "this is a loopback address: ask for it as 127.0.0.1, [::1] or localhost", http.StatusForbidden)
			return
		}
		if IsLocal(r) {
			r = access.With(r, access.Visitor{Name: access.LocalName, Roles: []access.Role{access.Read, access.Operate}})
		}
		next.ServeHTTP(w, r)
	})
}

func isHealth(path string) bool {
	return path == "/livez" || path == "/healthz" || path == "/readyz"
}

// LocalOnly returns a handler that serves next only to clients on this machine, or through a port forwarded to it. It is for
// asynqmon and profiles, which have no users and no rights. A page of another site in such a client's browser can't send requests
// that change something, and can't embed these pages in a frame.
func LocalOnly(next http.Handler) http.Handler {
	sameOrigin := http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !IsLocal(r) {
			http.Error(w, "this is shown on loopback only: forward a port, or put a proxy with authentication beside it", http.StatusForbidden)
			return
		}
		// asynqmon's page links a web font of another site. The policy blocks it, so that the other site isn't contacted.
		w.Header().Set("Content-Security-Policy", "default-src 'self' 'unsafe-inline' data:; frame-ancestors 'none'")
		sameOrigin.ServeHTTP(w, r)
	})
}

// IsLocal reports whether the client is on this machine, as far as the addresses, the host name and the headers show.
func IsLocal(r *http.Request) bool {
	return onLoopback(r) && isLoopback(r.RemoteAddr) && isLoopback(r.Host) && !isForwarded(r.Header)
}

// onLoopback reports whether the request came to a loopback address.
func onLoopback(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return local != nil && isLoopback(local.String())
}

// isForwarded reports whether a proxy on this machine may have forwarded the request for a client elsewhere. Proxies add different
// headers; only the name of a header counts, not its value, which may be empty.
func isForwarded(h http.Header) bool {
	for name := range h {
		name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		switch name {
		case "forwarded", "via", "x-host", "x-rewrite-url", "x-url-scheme", "cdn-loop", "x-arr-log-id", "x-scheme", "front-end-https":
			return true
		}
		for _, prefix := range []string{"x-forward", "x-original-", "x-proxy", "x-envoy-", "cf-", "x-amzn-", "x-azure-", "x-appengine-"} {
			if strings.HasPrefix(name, prefix) {
				return true
			}
		}
		for _, part := range []string{"real-ip", "client-ip", "clientip", "connecting-ip", "user-ip", "remote-ip", "remote-addr", "forwarded"} {
			if strings.Contains(name, part) {
				return true
			}
		}
	}
	return false
}

// isLoopback reports whether an address, with or without a port, is a loopback address or localhost.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
		if inner, ok := strings.CutPrefix(host, "["); ok {
			host, ok = strings.CutSuffix(inner, "]")
			if !ok {
				return false
			}
		}
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
