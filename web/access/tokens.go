package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"maps"
	"slices"
	"sync/atomic"
	"time"
)

// A Token is a valid token, of which only the hash is known.
type Token struct {
	Visitor

	ID    int64
	Hash  [sha256.Size]byte // of the token, by [HashOf]
	Until time.Time         // by this process's clock; zero if it doesn't expire
}

// How often tokens are read, and how long reading may take. Together they are less than the five seconds within which a change must
// count.
const (
	readInterval = 2 * time.Second
	readTimeout  = 2 * time.Second
)

// tokens are the valid tokens as they were last read. It is safe for concurrent use, but read may only be called by one goroutine at
// a time.
type tokens struct {
	source func(context.Context) ([]Token, error)
	valid  atomic.Pointer[map[int64]*holding] // by id
}

// A holding is a valid token with a context that ends when it is revoked.
type holding struct {
	Token

	revoked context.Context //nolint:containedctx // it is no call's: it says that the token is void
	revoke  context.CancelFunc
}

func newTokens(source func(context.Context) ([]Token, error)) *tokens {
	t := &tokens{source: source}
	t.valid.Store(new(map[int64]*holding))
	return t
}

// read reads the tokens anew. If that fails, those that were read last stay valid until they expire.
func (t *tokens) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	list, err := t.source(ctx)
	if err != nil {
		return err
	}
	before := *t.valid.Load()
	now := make(map[int64]*holding, len(list))
	for _, token := range list {
		h := &holding{Token: token}
		if old := before[token.ID]; old != nil {
			h.revoked, h.revoke = old.revoked, old.revoke
		} else {
			h.revoked, h.revoke = context.WithCancel(context.WithoutCancel(ctx))
		}
		now[token.ID] = h
	}
	t.valid.Store(&now)
	for id, old := range before {
		if now[id] == nil {
			old.revoke()
		}
	}
	return nil
}

// count returns the number of valid tokens.
func (t *tokens) count() int {
	return len(slices.DeleteFunc(slices.Collect(maps.Values(*t.valid.Load())), (*holding).expired))
}

// find returns the token, or nil if it isn't valid. It compares with all tokens, each in constant time, so that the time that it
// takes says nothing about the hashes.
func (t *tokens) find(secret string) *holding {
	ofAll, ofSome := HashOf(secret, false), HashOf(secret, true)
	var found *holding
	for _, h := range *t.valid.Load() {
		hash := ofAll
		if h.Issuers.Limited() {
			hash = ofSome
		}
		if subtle.ConstantTimeCompare(h.Hash[:], hash[:]) == 1 {
			found = h
		}
	}
	if found == nil || found.expired() {
		return nil
	}
	return found
}

// withID returns the token, or nil if it isn't valid any more.
func (t *tokens) withID(id int64) *holding {
	h := (*t.valid.Load())[id]
	if h == nil || h.expired() {
		return nil
	}
	return h
}

// personal returns the session of a person whom an OpenID provider knows as if it were a token, which nobody revokes.
func personal(v Visitor, until time.Time) *holding {
	return &holding{Token: Token{Visitor: v, Until: until}, revoked: context.Background()}
}

func (h *holding) expired() bool { return !h.Until.IsZero() && !time.Now().Before(h.Until) }

// bound returns a context that ends when the token is revoked or expires, so that a page that is kept open ends with its token.
func (h *holding) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(h.revoked, cancel)
	var expiry *time.Timer
	if !h.Until.IsZero() {
		expiry = time.AfterFunc(time.Until(h.Until), cancel)
	}
	return ctx, func() {
		forget()
		if expiry != nil {
			expiry.Stop()
		}
		cancel()
	}
}
