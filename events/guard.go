package events

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"syscall"
	"time"
)

// notPublic are networks beside those that [netip.Addr] knows, which no receiver on the internet has. Sources: the special-purpose address
// registries of IPv4 and IPv6 (RFC 6890 and its updates).
//
//nolint:gochecknoglobals // a constant list
var notPublic = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	// Each of these may lead to an IPv4 address that it contains, by a translator or a tunnel.
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/23",
	"100::/64", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10",
)

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// A ForbiddenError says that an endpoint's address is in a network that must not be called.
type ForbiddenError struct {
	Addr  netip.Addr
	Plain bool // it is refused because it would be called without TLS
}

func (e *ForbiddenError) Error() string {
	if e.Plain {
		return fmt.Sprintf("%s is called with https alone, unless events.allow has its network", e.Addr)
	}
	return fmt.Sprintf("%s is in a network that isn't public: to call it nevertheless, put the network into events.allow", e.Addr)
}

// permit returns a [*ForbiddenError] if an address must not be called: one that isn't public, or any without TLS, unless it is in an allowed
// network. It looks at the very address that is dialled, whatever a name had resolved to before.
func permit(addr netip.Addr, tls bool, allowed []netip.Prefix) error {
	addr = addr.Unmap().WithZone("")
	for _, network := range allowed {
		if network.Contains(addr) {
			return nil
		}
	}
	if !tls {
		return &ForbiddenError{Addr: addr, Plain: true}
	}
	public := addr.IsGlobalUnicast() && !addr.IsPrivate()
	for _, network := range notPublic {
		public = public && !network.Contains(addr)
	}
	if !public {
		return &ForbiddenError{Addr: addr}
	}
	return nil
}

// resolveTimeout bounds how long [PermitURL] waits for a name's addresses.
const resolveTimeout = 2 * time.Second

// endsInNumber are hosts that some resolvers take for an address, such as 2130706433 and 0x7f.1, and others for a name.
var endsInNumber = regexp.MustCompile(`(^|\.)([0-9]+|0[xX][0-9a-fA-F]*)\.?$`)

var errNoHost = errors.New("its host is neither a name nor an address")

// PermitURL returns a [*ForbiddenError] if nothing would be posted to a URL, as far as that can be seen now: by each address that its name
// resolves to. A name that doesn't resolve now is permitted. Whoever posts looks at the address that is dialled again.
func PermitURL(ctx context.Context, address string, allowed []netip.Prefix) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	var addrs []netip.Addr
	if literal, err := netip.ParseAddr(u.Hostname()); err == nil {
		addrs = append(addrs, literal)
	} else if endsInNumber.MatchString(u.Hostname()) {
		return errNoHost
	} else {
		limit, cancel := context.WithTimeout(ctx, resolveTimeout)
		defer cancel()
		if addrs, err = net.DefaultResolver.LookupNetIP(limit, "ip", u.Hostname()); err != nil {
			return nil // a name server may be away for a moment
		}
	}
	for _, addr := range addrs {
		if err := permit(addr, u.Scheme == "https", allowed); err != nil {
			return err
		}
	}
	return nil
}

// transport returns what dials public and allowed addresses alone, waits within for an answer to begin, and has up to that many connections to a
// host. No proxy is used, which would dial for it.
func transport(tls bool, allowed []netip.Prefix, within time.Duration, connections int) *http.Transport {
	dialer := &net.Dialer{
		Timeout: dialTimeout, KeepAlive: 30 * time.Second,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return permit(to.Addr(), tls, allowed)
		},
	}
	return &http.Transport{
		DialContext: dialer.DialContext, TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: within, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections, IdleConnTimeout: 30 * time.Second, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
	}
}

// A Caller calls public and allowed addresses alone, by the very address that is dialled, and others than allowed ones with TLS alone. It follows no
// redirect.
type Caller struct{ plain, secure *http.Client }

// NewCaller returns a caller that waits within for an answer to begin. It has up to that many connections to a host: give as many as there may be
// requests at the same time, since a request that finds none waits for one within its own time.
func NewCaller(allowed []netip.Prefix, within time.Duration, connections int) Caller {
	client := func(tls bool) *http.Client {
		return &http.Client{Transport: transport(tls, allowed, within, connections), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return Caller{plain: client(false), secure: client(true)}
}

// Do sends a request. Its errors may hold the URL: [Plain] takes it out.
func (c Caller) Do(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme == "https" {
		return c.secure.Do(request) //nolint:gosec // it looks at each address that it dials
	}
	return c.plain.Do(request) //nolint:gosec // likewise
}

// Close closes the connections that wait for another request.
func (c Caller) Close() {
	c.plain.CloseIdleConnections()
	c.secure.CloseIdleConnections()
}
