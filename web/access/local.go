package access

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// isLocal reports whether the visitor is on this machine. The listener must be bound to a loopback address: on all addresses, a
// proxy on this machine could forward requests from anywhere. The Host must be a loopback name, since otherwise another site could
// have its own name resolve to this address (DNS rebinding). HTTP/1.0 is spoken by hardly anybody but nginx before 1.29.7 as a proxy,
// which by default adds no header by which it could be recognized. Nothing tells a newer one that adds none from a program on this machine:
// docs/access.md has what a proxy must send.
func (g *Gate) isLocal(r *http.Request) bool {
	return g.options.Loopback && r.ProtoAtLeast(1, 1) && arrivedOnLoopback(r) && IsLoopback(r.RemoteAddr) && IsLoopback(r.Host) && !isForwarded(r.Header)
}

// arrivedOnLoopback reports whether the request came to a loopback address.
func arrivedOnLoopback(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return local != nil && IsLoopback(local.String())
}

// allowsHost reports whether the pages may be asked for by the request's Host.
func (g *Gate) allowsHost(r *http.Request) bool {
	if g.options.Loopback && IsLoopback(r.Host) {
		return true
	}
	if len(g.hosts) == 0 {
		return !g.options.Loopback
	}
	_, listed := g.hosts[hostName(r.Host)]
	return listed
}

// hostName returns the name in a Host header in one spelling: without a port, brackets, upper case and a dot at the end.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().WithZone("").String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
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

// IsLoopback reports whether an address, with or without a port, is a loopback address or localhost.
func IsLoopback(address string) bool {
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
