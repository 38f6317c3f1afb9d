package config

import (
	"errors"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
)

// A URL is a server's address with its credentials. Printing, logging and marshalling it leave out the password.
// string(u) is the whole URL.
type URL string

const mask = "xxxxx"

// String returns the URL without its password. For an invalid URL, in which the password can't be located, it returns
// a placeholder.
func (u URL) String() string {
	p, err := splitURL(string(u))
	if err != nil {
		return "(not a valid URL)"
	}
	return p.redacted()
}

// GoString returns the same as [URL.String], for %#v.
func (u URL) GoString() string { return u.String() }

// MarshalText returns the same as [URL.String], for JSON and YAML.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// LogValue returns the same as [URL.String], for slog.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// urlParts is a URL whose authority may name several hosts, which net/url doesn't accept.
type urlParts struct {
	scheme string
	user   *url.Userinfo // nil if there is none
	hosts  []string      // as written: host, host:port, [v6]:port
	path   string        // decoded
	query  url.Values
	tail   string // path and query as written
}

// errURL contains nothing of the URL: if its parts can't be separated, any of them may be the password.
var errURL = errors.New("is not a URL of the form scheme://user:password@host:port/…; " +
	"inside user and password write @ as %40, / as %2F, ? as %3F, # as %23 and % as %25")

// splitURL splits a URL into its parts. It refuses a URL that two parsers could read differently. Its only error is
// errURL.
func splitURL(raw string) (urlParts, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || !regexp.MustCompile(`^[a-z][a-z0-9+-]*$`).MatchString(scheme) {
		return urlParts{}, errURL
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	// A stray @ or # belongs to a password that wasn't encoded.
	if strings.Count(authority, "@") > 1 || strings.Contains(tail, "@") || strings.Contains(rest, "#") {
		return urlParts{}, errURL
	}
	userinfo, hosts := "", authority
	if before, after, ok := strings.Cut(authority, "@"); ok {
		userinfo, hosts = before+"@", after
	}
	u, err := url.Parse(scheme + "://" + userinfo + "host" + tail)
	if err != nil {
		return urlParts{}, errURL
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return urlParts{}, errURL
	}
	p := urlParts{scheme: scheme, user: u.User, path: u.Path, query: query, tail: tail}
	if hosts != "" {
		p.hosts = strings.Split(hosts, ",")
	}
	return p, nil
}

func (p urlParts) password() string {
	password, _ := p.user.Password()
	return password
}

// discreet returns an error's detail as the end of a message, without the detail if it could contain a part of a
// password.
func (p urlParts) discreet(detail string) string {
	for name := range p.query {
		if isSecretParameter(name) { // in password=a&b, a parser takes b for a parameter
			return "; the reason isn't shown because it may contain a part of the password"
		}
	}
	if password := p.password(); password != "" && strings.Contains(detail, password) {
		return ""
	}
	return ": " + detail
}

func (p urlParts) redacted() string {
	var b strings.Builder
	b.WriteString(p.scheme + "://")
	if p.user != nil {
		b.WriteString(p.redactedUser() + "@")
	}
	b.WriteString(strings.Join(p.hosts, ","))
	path, query, hasQuery := strings.Cut(p.tail, "?")
	b.WriteString(path)
	if hasQuery {
		pairs := strings.Split(query, "&")
		for i, pair := range pairs {
			name, _, _ := strings.Cut(pair, "=")
			if isSecretParameter(name) {
				pairs[i] = name + "=" + mask
			}
		}
		b.WriteString("?" + strings.Join(pairs, "&"))
	}
	return b.String()
}

func (p urlParts) redactedUser() string {
	name := url.User(p.user.Username()).String()
	if _, ok := p.user.Password(); ok {
		return name + ":" + mask
	}
	if strings.HasPrefix(p.scheme, "postgres") {
		return name
	}
	return mask // Redis passwords are often written without the colon before them
}

// isSecretParameter reports whether a parameter is a secret: password, sslpassword, sentinel_password.
func isSecretParameter(name string) bool {
	if decoded, err := url.QueryUnescape(name); err == nil {
		name = decoded
	}
	return strings.Contains(strings.ToLower(name), "password")
}
