package access

import (
	"slices"
	"strings"
)

// Issuers are legal entities that issue invoices, by their codes; "" is the one without a name. Nil are all of them, those too that are
// opened later.
type Issuers []string

// NamelessIssuer stands for the issuer without a name where people name issuers. It can't be a code.
const NamelessIssuer = "none"

// Limited reports whether there are others.
func (is Issuers) Limited() bool { return is != nil }

// Has reports whether an issuer is one of them.
func (is Issuers) Has(code string) bool { return !is.Limited() || slices.Contains(is, code) }

// Cover reports whether all of others are among them.
func (is Issuers) Cover(others Issuers) bool {
	return !is.Limited() || others.Limited() && !slices.ContainsFunc(others, func(code string) bool { return !is.Has(code) })
}

// Names returns them as people name them, none if they are all.
func (is Issuers) Names() []string {
	var names []string
	for _, code := range is {
		if code == "" {
			code = NamelessIssuer
		}
		names = append(names, code)
	}
	return names
}

// String names them for people.
func (is Issuers) String() string {
	if !is.Limited() {
		return "all"
	}
	return strings.Join(is.Names(), ", ")
}
