package access_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"invoicer/web/access"
)

func TestRolesOpenWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		visitor                access.Visitor
		read, operate, enqueue int
	}{
		{access.Visitor{}, 401, 401, 401},
		{access.Visitor{Name: "r", Roles: []access.Role{access.Read}}, 200, 403, 403},
		{access.Visitor{Name: "o", Roles: []access.Role{access.Operate}}, 200, 200, 403},
		{access.Visitor{Name: "e", Roles: []access.Role{access.Enqueue}}, 403, 403, 200},
		{access.Visitor{Name: "re", Roles: []access.Role{access.Read, access.Enqueue}}, 200, 403, 200},
		{access.Visitor{Name: "without"}, 403, 403, 403},
		{access.Visitor{Name: "unknown", Roles: []access.Role{"", "admin"}}, 403, 403, 403},
	} {
		for role, want := range map[access.Role]int{access.Read: test.read, access.Operate: test.operate, access.Enqueue: test.enqueue} {
			var seen access.Visitor
			handler := access.Require(role, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = access.Of(r) }))
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, access.With(httptest.NewRequest(http.MethodGet, "/", nil), test.visitor))
			if answer.Code != want {
				t.Errorf("%q is answered with %d where %s is needed, want %d", test.visitor.Name, answer.Code, role, want)
			}
			if want == http.StatusOK && seen.Name != test.visitor.Name {
				t.Errorf("the handler sees %q, want %q", seen.Name, test.visitor.Name)
			}
			if challenge := answer.Header().Get("WWW-Authenticate"); (challenge != "") != (want == http.StatusUnauthorized) {
				t.Errorf("%q: WWW-Authenticate is %q", test.visitor.Name, challenge)
			}
		}
	}
}

// Whatever doesn't say that it keeps to issuers is refused to visitors who are limited to some.
func TestLimitedVisitorsAreRefused(t *testing.T) {
	t.Parallel()
	limited := access.Issuers{"", "ACME-DE"}
	for _, test := range []struct {
		visitor      access.Visitor
		open, within int
	}{
		{access.Visitor{Issuers: limited}, 401, 401},
		{access.Visitor{Name: "r", Roles: []access.Role{access.Read}}, 200, 200},
		{access.Visitor{Name: "r", Roles: []access.Role{access.Read}, Issuers: limited}, 403, 200},
		{access.Visitor{Name: "o", Roles: []access.Role{access.Operate}, Issuers: limited}, 403, 200},
		{access.Visitor{Name: "n", Roles: []access.Role{access.Read}, Issuers: access.Issuers{}}, 403, 200}, // who sees nothing
		{access.Visitor{Name: "e", Roles: []access.Role{access.Enqueue}, Issuers: limited}, 403, 403},
	} {
		reached := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		for want, handler := range map[*int]http.Handler{&test.open: access.Require(access.Read, reached), &test.within: access.RequireWithin(access.Read, reached)} {
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, access.With(httptest.NewRequest(http.MethodGet, "/", nil), test.visitor))
			if answer.Code != *want {
				t.Errorf("%+v is answered with %d, want %d", test.visitor, answer.Code, *want)
			}
			if body := answer.Body.String(); test.within == 200 && *want == 403 && len(test.visitor.Issuers) > 0 && !strings.Contains(body, "your token is limited to none, ACME-DE: / leads to") {
				t.Errorf("it doesn't say why: %s", body)
			}
		}
	}
}

func TestIssuers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		issuers access.Issuers
		limited bool
		has     []string // of "", A and B
		text    string
	}{
		{nil, false, []string{"", "A", "B"}, "all"},
		{access.Issuers{}, true, nil, ""},
		{access.Issuers{""}, true, []string{""}, "none"},
		{access.Issuers{"", "A"}, true, []string{"", "A"}, "none, A"},
	} {
		var has []string
		for _, code := range []string{"", "A", "B"} {
			if test.issuers.Has(code) {
				has = append(has, code)
			}
		}
		if test.issuers.Limited() != test.limited || !slices.Equal(has, test.has) || test.issuers.String() != test.text {
			t.Errorf("%#v: limited %t, has %q, %s", test.issuers, test.issuers.Limited(), has, test.issuers)
		}
	}
	if issuers := (access.Issuers{""}); issuers.Names()[0] != access.NamelessIssuer || issuers[0] != "" {
		t.Errorf("naming them changes them: %q", issuers)
	}
}
