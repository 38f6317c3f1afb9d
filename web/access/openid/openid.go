// Package openid finds out who a person is by asking an OpenID provider, in the authorization code flow with PKCE.
package openid

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Options configure a [Provider]. All but Scopes are required.
type Options struct {
	Issuer       string // exactly as the provider calls itself
	ClientID     string
	ClientSecret string
	RedirectURL  string   // where the provider sends browsers back to
	Scopes       []string // asked for beside openid
	GroupsClaim  string   // the claim that lists a person's groups
}

// A Provider tells who people are. It is safe for concurrent use.
type Provider struct {
	o      Options
	client *http.Client
	found  atomic.Pointer[discovery] // nil until it has been discovered
}

// discovery is what the provider says about itself.
type discovery struct {
	oauth    *oauth2.Config
	verifier *oidc.IDTokenVerifier
}

// How long a request to the provider may take, and how much of its answer is read.
const (
	requestTimeout = 10 * time.Second
	mostAnswer     = 1 << 20
)

// New returns a provider, which must be discovered before it can be used.
func New(o Options) *Provider {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true} // people sign in too seldom to keep connections open
	return &Provider{o: o, client: &http.Client{Timeout: requestTimeout, Transport: bounded{transport}}}
}

// bounded cuts answers off after mostAnswer bytes.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, mostAnswer), answer.Body}
	}
	return answer, err
}

// Errors of [Provider.SignInURL] and [Provider.Person].
var (
	// ErrUnreachable says that the provider doesn't answer, or hasn't been discovered yet.
	ErrUnreachable = errors.New("the OpenID provider can't be reached")
	// ErrRefused says that what came back doesn't prove who the person is.
	ErrRefused = errors.New("the sign-in is refused")
)

// Discover asks the provider where its endpoints are. The error says what is wrong with it, in a line without secrets.
func (p *Provider) Discover(ctx context.Context) error {
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.o.Issuer)
	if err != nil {
		return errors.New(brief(err.Error()))
	}
	endpoint := found.Endpoint()
	if endpoint.AuthURL == "" || endpoint.TokenURL == "" {
		return errors.New("its discovery document lacks authorization_endpoint or token_endpoint")
	}
	p.found.Store(&discovery{
		oauth: &oauth2.Config{
			ClientID: p.o.ClientID, ClientSecret: p.o.ClientSecret, Endpoint: endpoint, RedirectURL: p.o.RedirectURL,
			Scopes: append([]string{oidc.ScopeOpenID}, p.o.Scopes...),
		},
		verifier: found.Verifier(&oidc.Config{ClientID: p.o.ClientID}),
	})
	return nil
}

// Discovered reports whether [Provider.Discover] has succeeded.
func (p *Provider) Discovered() bool { return p.found.Load() != nil }

// An Attempt is one attempt to sign in. Its values can't be guessed. They must be kept where only the browser that begins it brings
// them back from.
type Attempt struct {
	State    string // which the browser brings back
	Nonce    string // which the ID token must have
	Verifier string // by which the provider knows that it is us who redeem the code
}

// NewAttempt returns a new attempt.
func NewAttempt() Attempt {
	return Attempt{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier()}
}

// SignInURL returns where the person signs in. It fails with [ErrUnreachable].
func (p *Provider) SignInURL(a Attempt) (string, error) {
	found := p.found.Load()
	if found == nil {
		return "", ErrUnreachable
	}
	return found.oauth.AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), nil
}

// A Person is somebody who has signed in at the provider.
type Person struct {
	// Name is the preferred user name, else the email address unless the provider says that it isn't verified, else the subject. It
	// has 1 to 64 printable characters.
	Name string
	// Subject is what the provider identifies the person by, which never changes. It has 1 to 255 printable characters.
	Subject string
	// Groups are the person's groups; nil if the ID token has no such claim, or one that is neither a text nor a list of texts.
	Groups []string
}

// Person redeems the code that the browser has brought back, and returns whom the ID token is about. It fails with [ErrUnreachable] or
// [ErrRefused], and says in a line without secrets why.
func (p *Provider) Person(ctx context.Context, a Attempt, code string) (Person, error) {
	found := p.found.Load()
	if found == nil {
		return Person{}, ErrUnreachable
	}
	ctx = oidc.ClientContext(ctx, p.client)
	answer, err := found.oauth.Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if refused := new(oauth2.RetrieveError); errors.As(err, &refused) && refused.Response.StatusCode < http.StatusInternalServerError {
		status := brief(refused.Response.Status + " " + refused.ErrorCode)
		return Person{}, fmt.Errorf("%w: the provider answers the code with %q", ErrRefused, status)
	}
	if err != nil {
		return Person{}, fmt.Errorf("%w: %s", ErrUnreachable, brief(err.Error()))
	}
	raw, _ := answer.Extra("id_token").(string)
	token, err := found.verifier.Verify(ctx, raw)
	if err != nil {
		return Person{}, fmt.Errorf("%w: %s", ErrRefused, brief(err.Error()))
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(a.Nonce)) != 1 {
		return Person{}, fmt.Errorf("%w: the ID token was made for another attempt to sign in", ErrRefused)
	}
	return p.read(token)
}

// read returns what the claims of a verified ID token say.
func (p *Provider) read(token *oidc.IDToken) (Person, error) {
	claims := make(map[string]any)
	if err := token.Claims(&claims); err != nil {
		return Person{}, fmt.Errorf("%w: %s", ErrRefused, brief(err.Error()))
	}
	if len(token.Audience) > 1 && claims["azp"] != p.o.ClientID {
		return Person{}, fmt.Errorf("%w: the ID token was made for another client", ErrRefused)
	}
	if token.Subject == "" || !isPrintable(token.Subject, 255) {
		return Person{}, fmt.Errorf("%w: the ID token has no usable sub", ErrRefused)
	}
	person := Person{Subject: token.Subject, Groups: texts(claims[p.o.GroupsClaim])}
	for _, claim := range []string{"preferred_username", "email"} {
		name, _ := claims[claim].(string)
		name = strings.TrimSpace(name)
		doubtful := claim == "email" && slices.Contains([]any{false, "false"}, claims["email_verified"])
		if person.Name == "" && name != "" && isPrintable(name, longestName) && !doubtful {
			person.Name = name
		}
	}
	if person.Name == "" {
		person.Name = string([]rune(token.Subject)[:min(longestName, len([]rune(token.Subject)))])
	}
	return person, nil
}

// longestName is the longest name of a person, in characters.
const longestName = 64

// texts returns the texts in a claim that is a text or a list of texts, or nil.
func texts(claim any) []string {
	if one, ok := claim.(string); ok {
		return []string{one}
	}
	list, ok := claim.([]any)
	if !ok {
		return nil
	}
	all := make([]string, 0, len(list))
	for _, element := range list {
		text, ok := element.(string)
		if !ok {
			return nil
		}
		all = append(all, text)
	}
	return all
}

func isPrintable(text string, most int) bool {
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }
	return len([]rune(text)) <= most && !strings.ContainsFunc(text, unprintable)
}

// brief returns an error's text in a line, since some quote whole answers of the provider.
func brief(text string) string {
	const most = 300
	line := []rune(strings.Join(strings.Fields(text), " "))
	if len(line) > most {
		return string(line[:most]) + "…"
	}
	return string(line)
}
