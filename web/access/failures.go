package access

import (
	"crypto/sha256"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// How many sign-ins may fail in a minute: from one address, and in all. More of them are answered with 429.
const (
	mostFailures    = 10
	mostFailuresAll = 300
	failureWindow   = time.Minute
)

// mostAddresses is how many addresses are counted one by one. Failures from further ones count only in all, so that memory is bounded.
const mostAddresses = 4096

// failures count failed sign-ins, by minute. They never keep a valid token out: a token is compared first, and can't be guessed in
// any number of tries. Over the limit the answer to a void token is 429 instead of 401, so that a client that guesses backs off, and
// nothing more is logged. A client that goes on sending the same void token guesses nothing: its answer stays 401.
type failures struct {
	now func() time.Time

	mu    sync.Mutex
	since time.Time
	all   int
	from  map[netip.Prefix]tries
	told  bool // of the first refusal
}

// tries are the failed sign-ins from one address.
type tries struct {
	count int
	last  [sha256.Size]byte // of the token
}

func newFailures(now func() time.Time) *failures {
	return &failures{now: now, from: make(map[netip.Prefix]tries)}
}

// A failure says what follows from a failed sign-in.
type failure struct {
	refused bool // there were too many: the answer is 429
	tell    bool // it is the first one in this minute, or the first one that is refused
}

// note counts a failed sign-in with a token.
func (f *failures) note(r *http.Request, secret string) failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.now(); f.since.IsZero() || now.Sub(f.since) >= failureWindow {
		f.since, f.all, f.told = now, 0, false
		clear(f.from)
	}
	key, hash := addressOf(r), sha256.Sum256([]byte(secret))
	from, known := f.from[key]
	if known && from.last == hash {
		return failure{}
	}
	f.all++
	if known || len(f.from) < mostAddresses {
		from = tries{from.count + 1, hash}
		f.from[key] = from
	}
	refused := from.count > mostFailures || f.all > mostFailuresAll
	tell := f.all == 1 || refused && !f.told
	f.told = f.told || refused
	return failure{refused, tell}
}

// addressOf returns the address that a request comes from. Of an IPv6 address it is the network, since a visitor there has as many
// addresses as there are.
func addressOf(r *http.Request) netip.Prefix {
	address, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := address.Addr().Unmap(), 32
	if ip.Is6() {
		bits = 64
	}
	prefix, _ := ip.Prefix(bits) // bits fit the address
	return prefix
}
