package access_test

import (
	"net/http"
	"net/http/httptest"
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
