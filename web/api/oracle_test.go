package api_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"invoicer/web/api"
)

// An oracle sends requests, and compares them and their answers with the API's description. Requests are compared if the API accepts them.
type oracle struct {
	t        *testing.T
	next     *http.Transport
	router   routers.Router
	document *openapi3.T

	mu       sync.Mutex
	provoked map[string]bool // operation and status
}

func newOracle(t *testing.T, a *api.API) *oracle {
	t.Helper()
	text, err := a.Description()
	if err != nil {
		t.Fatal(err)
	}
	document, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(document)
	if err != nil {
		t.Fatal(err)
	}
	return &oracle{t: t, next: &http.Transport{MaxIdleConnsPerHost: 100}, router: router, document: document, provoked: make(map[string]bool)}
}

// RoundTrip implements [http.RoundTripper].
func (o *oracle) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	streams := r.Header.Get("Content-Type") == "application/x-ndjson"
	if r.Body != nil && !streams {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	answer, err := o.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	again := r.Clone(r.Context())
	again.Body = io.NopCloser(bytes.NewReader(sent))
	again.URL.Host, again.URL.Scheme = "", ""
	route, parameters, err := o.router.FindRoute(again)
	if err != nil {
		if answer.StatusCode < http.StatusBadRequest && !strings.HasPrefix(r.URL.Path, "/v1/docs") && r.URL.Path != "/v1/openapi.json" {
			o.t.Errorf("%s %s isn't described: %v", r.Method, r.URL, err)
		}
		return answer, nil
	}
	o.mu.Lock()
	o.provoked[fmt.Sprintf("%s %d", route.Operation.OperationID, answer.StatusCode)] = true
	o.mu.Unlock()
	asked := &openapi3filter.RequestValidationInput{Request: again, PathParams: parameters, Route: route, Options: &openapi3filter.Options{
		AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true,
	}}
	// A preview says what is wrong with a job, and a batch may have bad ones.
	asked.Options.ExcludeRequestBody = route.Operation.OperationID == "postPreview" || route.Operation.OperationID == "postBatch"
	if answer.StatusCode < http.StatusBadRequest && !streams {
		if err := openapi3filter.ValidateRequest(r.Context(), asked); err != nil {
			o.t.Errorf("%s %s: the request isn't as described: %v", r.Method, r.URL, err)
		}
	}
	if kind := answer.Header.Get("Content-Type"); strings.HasPrefix(kind, "application/x-ndjson") || strings.HasPrefix(kind, "text/event-stream") {
		return answer, nil
	}
	got, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(got))
	if err := openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: asked, Status: answer.StatusCode, Header: answer.Header, Body: io.NopCloser(bytes.NewReader(got)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}); err != nil {
		o.t.Errorf("%s %s: the answer %d isn't as described: %v\n%s", r.Method, r.URL, answer.StatusCode, err, got)
	}
	return answer, nil
}

// missing returns the described statuses that no request has met.
func (o *oracle) missing() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	missing := make(map[string]bool)
	for _, item := range o.document.Paths.Map() {
		for _, op := range item.Operations() {
			for status := range op.Responses.Map() {
				if key := op.OperationID + " " + status; status != "default" && !o.provoked[key] {
					missing[key] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(missing))
}
