// Package web serves the pages of a process, behind a listener that no visitor can exhaust and a guard that lets nobody
// read from elsewhere what is for those on the same machine.
package web

import (
	"net"
	"net/http"
	"strings"
)

// mostBody bounds what a request may bring along: asynqmon's longest list of tasks has less.
const mostBody = 1 << 20

// GuardHeaders are on every answer. What is shown here is for who asked, now, and for no other page.
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

// Guarded is in front of every page. On a loopback address all but health is answered under a loopback name only: a page
// of somebody else's, whose name was made to lead here, could read it otherwise.
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
		next.ServeHTTP(w, r)
	})
}

func isHealth(path string) bool {
	return path == "/livez" || path == "/healthz" || path == "/readyz"
}

// LocalOnly serves asynqmon and profiles, which know no users and no rights, only to visitors on this machine, or with a port
// forwarded to it. Another site's page in such a visitor's browser can change nothing here, and can't put these pages into a
// frame.
func LocalOnly(next http.Handler) http.Handler {
	sameOrigin := http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !IsLocal(r) {
			http.Error(w, "this is shown on loopback only: forward a port, or put a proxy with authentication beside it", http.StatusForbidden)
			return
		}
		// Its page links a web font; nobody else needs to know who looks at it.
		w.Header().Set("Content-Security-Policy", "default-src 'self' 'unsafe-inline' data:; frame-ancestors 'none'")
		sameOrigin.ServeHTTP(w, r)
	})
}

// IsLocal tells whether who asks is on this machine, as far as that can be seen.
func IsLocal(r *http.Request) bool {
	return onLoopback(r) && isLoopback(r.RemoteAddr) && isLoopback(r.Host) && !isForwarded(r.Header)
}

// onLoopback tells whether the request came to a loopback address.
func onLoopback(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return local != nil && isLoopback(local.String())
}

// isForwarded tells whether a proxy on this machine has passed the request on for somebody elsewhere. Proxies say so in
// many ways; what a header says, or whether it is empty, makes no difference.
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

// isLoopback tells whether an address with or without a port is this machine's own.
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
