package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
)

// A Secret is a password. Printing, logging and marshalling it give none of it. string(s) is the password.
type Secret string

// String returns a placeholder, or "" if there is no password.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// GoString returns the same as [Secret.String], for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText returns the same as [Secret.String], for JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue returns the same as [Secret.String], for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// webAddress is a URL of http or https without a password. It may be empty.
func webAddress(p *string) value {
	return checked[string]{p, "url", "https://, http:// on loopback or with http.insecure", func(text string) error {
		if text == "" {
			return nil
		}
		_, err := parseWebAddress(text)
		return err
	}}
}

// baseURL is a web address without a path. It is stored without a / at the end.
func baseURL(p *string) value { return base{checked[string]{p: p}} }

type base struct{ checked[string] }

func (v base) form() (kind, allowed string) { return webAddress(v.p).form() }

func (v base) parse(text string) error {
	if text != "" {
		u, err := parseWebAddress(text)
		if err != nil {
			return err
		}
		if strings.Trim(u.Path, "/") != "" {
			return errors.New("has a path: the pages are served at / only")
		}
	}
	*v.p = strings.TrimRight(text, "/")
	return nil
}

func parseWebAddress(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" {
		return nil, errors.New("is not an address such as https://login.example")
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, errors.New("has more than a host and a path: leave out user, password, ? and #")
	}
	return u, nil
}

// oidcProblems returns what is missing for signing in with an OpenID provider, if any of it is configured, and what would keep people
// from coming back from there.
func oidcProblems(c *Config) []Problem {
	o := c.HTTP.OIDC
	var problems []Problem
	required := []struct{ key, value string }{
		{"http.oidc.issuer", o.Issuer},
		{"http.oidc.client_id", o.ClientID},
		{"http.oidc.client_secret", string(o.ClientSecret)},
		{"http.oidc.base_url", o.BaseURL},
	}
	for _, r := range required {
		if r.value == "" {
			problems = append(problems, Problem{Key: r.key, Message: "is missing: signing in with an OpenID provider needs it"})
		}
	}
	noGroups := len(o.Read)+len(o.Operate) == 0
	if len(problems) == len(required) && noGroups {
		return nil // nothing is configured
	}
	if noGroups {
		message := "is missing, and so is http.oidc.operate: name the groups of the provider that get these roles"
		problems = append(problems, Problem{Key: "http.oidc.read", Message: message})
	}
	for _, a := range []struct{ key, address string }{{"http.oidc.issuer", o.Issuer}, {"http.oidc.base_url", o.BaseURL}} {
		if u, err := url.Parse(a.address); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) && !c.HTTP.Insecure {
			message := fmt.Sprintf("%q must begin with https://, unless something else encrypts and http.insecure is true", a.address)
			problems = append(problems, Problem{Key: a.key, Message: message})
		}
	}
	return append(problems, c.HTTP.hostProblems()...)
}

// hostProblems returns a problem if the pages may not be asked for by the host of the base URL, to which the provider sends people back.
func (h HTTP) hostProblems() []Problem {
	u, err := url.Parse(h.OIDC.BaseURL)
	if err != nil || u.Hostname() == "" {
		return nil
	}
	address, _, _ := net.SplitHostPort(h.Addr) // was checked
	local := isLoopback(address)
	spelled := func(host string) string { return strings.ToLower(strings.Trim(strings.TrimSuffix(host, "."), "[]")) }
	listed := slices.ContainsFunc(h.Hosts, func(host string) bool { return spelled(host) == spelled(u.Hostname()) })
	if listed || len(h.Hosts) == 0 && !local || local && isLoopback(u.Hostname()) {
		return nil
	}
	return []Problem{{Key: "http.hosts", Message: "lacks " + u.Hostname() +
		", the host of http.oidc.base_url, to which the provider sends people back: add it"}}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
