package outbox

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// A Problem is what is wrong with a field.
type Problem struct {
	Field   string // such as url or types[1]
	Message string // to be read after the field's name
}

var (
	endpointName = regexp.MustCompile(`^[A-Za-z0-9._:/@+=-]{1,64}$`)
	issuerCode   = regexp.MustCompile(`^[A-Z0-9-]{1,32}$`)
)

// Problems returns what is wrong with an endpoint, apart from its secrets. Fields are named like its columns.
func (e *Endpoint) Problems() (list []Problem) {
	add := func(field, message string) {
		list = append(list, Problem{field, message})
	}
	if !endpointName.MatchString(e.Name) {
		add("name", "must be 1 to 64 of A-Z a-z 0-9 . _ : / @ + = -")
	}
	u, err := url.Parse(e.URL)
	switch {
	case err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || len(e.URL) > 2000:
		add("url", "must be https://host/path")
	case u.User != nil:
		add("url", "must not hold a user or a password: receivers know events by their signature")
	case u.Fragment != "":
		add("url", "has a #: nothing after it is ever sent")
	}
	known := strings.Join(Types(), ", ")
	if len(e.Types) == 0 {
		add("types", "is empty; name some of: "+known)
	}
	for i, one := range e.Types {
		if !slices.Contains(Types(), one) {
			add(fmt.Sprintf("types[%d]", i), "is none of: "+known)
		}
	}
	if e.Issuers != nil && len(e.Issuers) == 0 {
		add("issuers", "is empty: leave it out for all of them")
	}
	for i, issuer := range e.Issuers {
		if issuer != "" && !issuerCode.MatchString(issuer) {
			add(fmt.Sprintf("issuers[%d]", i), "must be 1 to 32 characters of A-Z 0-9 -")
		}
	}
	return list
}
