// Package openidtest is an OpenID provider for tests, with keys of its own. It checks what a client sends as a strict provider does,
// and can be told to lie.
package openidtest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The client that the provider knows.
const (
	ClientID     = "invoicer"
	ClientSecret = "secret-of-the-client"
)

// A Provider is an OpenID provider on a loopback address. Whoever comes to sign in is sent back at once, as the person that the test
// has chosen.
type Provider struct {
	URL string // is the issuer

	mu        sync.Mutex
	redirects []string // where browsers may be sent back to
	claims    map[string]any
	sign      func(claims map[string]any) string
	key       *rsa.PrivateKey
	keyID     int
	codes     map[string]request // by code; each is redeemed once
	down      bool
	redeemed  int
}

// A request is what a browser came with, for which a code was made.
type request struct{ redirect, nonce, challenge string }

// New starts a provider, which sends browsers back to the address that [Provider.Allow] names.
func New(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{codes: make(map[string]request)}
	p.Rotate(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.down {
			http.Error(w, "<h1>down for maintenance</h1>", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.URL = server.URL
	p.As("ada", "staff")
	return p
}

// Allow has the provider send browsers back to this address only.
func (p *Provider) Allow(redirect string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.redirects = append(p.redirects, redirect)
}

// As chooses who signs in from now on, and in which groups the person is.
func (p *Provider) As(name string, groups ...string) {
	p.Claim(map[string]any{"sub": "subject-of-" + name, "preferred_username": name, "groups": groups})
}

// Claim chooses what ID tokens say from now on, beside or instead of what they must say. A nil value leaves a claim out.
func (p *Provider) Claim(claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims, p.sign = claims, p.Signed
}

// Sign has ID tokens made by a function from now on, which gets their claims.
func (p *Provider) Sign(sign func(claims map[string]any) string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sign = sign
}

// Down takes the provider down, or up again: all requests are answered with 503.
func (p *Provider) Down(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// Redeemed returns how many codes were redeemed.
func (p *Provider) Redeemed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.redeemed
}

// Rotate replaces the key that ID tokens are signed with.
func (p *Provider) Rotate(t testing.TB) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key, p.keyID = key, p.keyID+1
}

// Signed returns an ID token that is signed as it should be.
func (p *Provider) Signed(claims map[string]any) string {
	signed := Unsigned(map[string]any{"alg": "RS256", "typ": "JWT", "kid": fmt.Sprint(p.keyID)}, claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, p.key, crypto.SHA256, digest[:])
	if err != nil {
		return err.Error()
	}
	return signed + "." + encoded(signature)
}

// Unsigned returns the first two parts of an ID token.
func Unsigned(header, claims map[string]any) string {
	return encoded(inJSON(header)) + "." + encoded(inJSON(claims))
}

func encoded(text []byte) string { return base64.RawURLEncoding.EncodeToString(text) }

func inJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return []byte(err.Error())
	}
	return text
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(inJSON(v))
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
		"id_token_signing_alg_values_supported": []string{"RS256", "none", "HS256"},
	})
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"keys": []any{map[string]any{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": fmt.Sprint(p.keyID),
		"n": encoded(p.key.N.Bytes()), "e": encoded(big.NewInt(int64(p.key.E)).Bytes()),
	}}})
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	redirect, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || !slices.Contains(p.redirects, redirect.String()) || q.Get("client_id") != ClientID {
		http.Error(w, "unknown client or redirect_uri", http.StatusBadRequest)
		return
	}
	for name, ok := range map[string]bool{
		"response_type": q.Get("response_type") == "code", "scope": slices.Contains(strings.Fields(q.Get("scope")), "openid"),
		"state": len(q.Get("state")) >= 20, "nonce": len(q.Get("nonce")) >= 20,
		"code_challenge": len(q.Get("code_challenge")) == 43, "code_challenge_method": q.Get("code_challenge_method") == "S256",
	} {
		if !ok {
			http.Error(w, name+" is missing or weak: "+r.URL.RawQuery, http.StatusBadRequest)
			return
		}
	}
	code := rand.Text()
	p.codes[code] = request{redirect.String(), q.Get("nonce"), q.Get("code_challenge")}
	redirect.RawQuery = url.Values{"code": {code}, "state": {q.Get("state")}, "session_state": {"x"}}.Encode()
	http.Redirect(w, r, redirect.String(), http.StatusFound) //nolint:gosec // only to an address that the test allows
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	if id != ClientID || secret != ClientSecret {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	code, known := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	verifier := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	fits := r.PostFormValue("grant_type") == "authorization_code" && r.PostFormValue("redirect_uri") == code.redirect
	if !known || !fits || encoded(verifier[:]) != code.challenge {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "<script>alert(1)</script>"})
		return
	}
	p.redeemed++
	claims := map[string]any{
		"iss": p.URL, "aud": ClientID, "nonce": code.nonce, "iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix(),
	}
	for name, value := range p.claims {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	answer(w, http.StatusOK, map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 300, "id_token": p.sign(claims)})
}
