package api

import (
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/web/access"
)

// An operation is what [huma.Operation] says, in short.
type operation struct {
	id, method, path, tag string
	summary, text         string
	role                  access.Role // "" for everybody whom the gate lets in
	status                int         // of success
	errors                []int       // beside those that every operation has
	most                  int64       // bytes of the body
	json                  bool        // the body must be JSON
	open                  bool        // for everybody, at a route that the caller adds
}

// everywhere are the errors that every operation may answer with.
func everywhere() []int {
	return []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable}
}

func (a *API) describe(o operation) huma.Operation {
	op := huma.Operation{
		OperationID: o.id, Method: o.method, Path: o.path, Summary: o.summary, Description: o.text, Tags: []string{o.tag},
		DefaultStatus: o.status, MaxBodyBytes: o.most, Responses: map[string]*huma.Response{},
	}
	role := "Any role."
	if o.role != "" {
		role = "Role `" + string(o.role) + "`."
	}
	op.Description = strings.TrimSpace(o.text + "\n\n" + role)
	for _, status := range append(everywhere(), o.errors...) {
		op.Responses[strconv.Itoa(status)] = a.problemResponse(status)
	}
	op.Responses["default"] = a.problemResponse(http.StatusInternalServerError)
	op.Responses["default"].Description = "Anything else"
	if o.most > 0 {
		op.Middlewares = append(op.Middlewares, a.bounded(o.most))
	}
	if o.json {
		op.Middlewares = append(op.Middlewares, a.wantsJSON)
	}
	if !o.open {
		a.route(o.role, o.method+" "+o.path)
		return op
	}
	op.Description = o.text
	op.Security = []map[string][]string{{}}
	delete(op.Responses, strconv.Itoa(http.StatusUnauthorized))
	delete(op.Responses, strconv.Itoa(http.StatusForbidden))
	return op
}

func (a *API) problemResponse(status int) *huma.Response {
	r := &huma.Response{
		Description: http.StatusText(status),
		Content:     map[string]*huma.MediaType{problemType: {Schema: a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[ProblemError](), true, "Problem")}},
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		r.Headers = map[string]*huma.Param{"Retry-After": {Description: "after how many seconds to send it again", Schema: &huma.Schema{Type: huma.TypeInteger}}}
	}
	if status == http.StatusNotModified {
		r.Content = nil
		r.Description = "It is what If-None-Match names"
	}
	return r
}

// wantsJSON refuses bodies that don't say that they are JSON, so that no page of another site can send one unasked.
func (a *API) wantsJSON(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	if sent := ctx.Header("Content-Type"); mediaType(sent) != "application/json" && (sent != "" || r.ContentLength != 0) {
		a.answer(ctx, unsupported("application/json"))
		return
	}
	next(ctx)
}

func mediaType(header string) string {
	kind, _, err := mime.ParseMediaType(header)
	if err != nil {
		return ""
	}
	return kind
}

// operations registers all operations.
func (a *API) operations() error {
	const jobs, reads, acts = "jobs", "what became of them", "failed jobs"
	notFound, invalid, conflict := http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusConflict
	tooLong, notJSON, same := http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusNotModified

	// What is kept as JSON is JSON of any kind.
	a.huma.OpenAPI().Components.Schemas.RegisterTypeAlias(reflect.TypeFor[report.Masked](), reflect.TypeFor[json.RawMessage]())

	huma.Register(a.huma, a.describe(operation{
		id: "postJob", method: http.MethodPost, path: "/v1/jobs", tag: jobs, role: access.Enqueue, status: http.StatusAccepted,
		errors: []int{http.StatusBadRequest, conflict, tooLong, notJSON, invalid}, most: invoice.MaxPayload, json: true,
		summary: "Ask for an invoice",
		text: `The answer comes once the job is committed: from then on it ends as an invoice, a recorded duplicate or a visible failed job. ` +
			`With Prefer: wait=N the answer is 201 as soon as the job has made its invoice, 200 as soon as it is a recorded duplicate of one, and else 202. ` +
			`A job that is refused with 422 isn't kept. It is always safe to ask again: there is one invoice for a transaction.`,
	}), a.postJob)
	huma.Register(a.huma, a.describe(operation{
		id: "postPreview", method: http.MethodPost, path: "/v1/previews", tag: jobs, role: access.Enqueue, status: http.StatusOK,
		errors: []int{http.StatusBadRequest, tooLong, notJSON}, most: invoice.MaxPayload, json: true,
		summary: "See what would become of a job", text: "Nothing is stored.",
	}), a.postPreview)
	a.batch(operation{
		id: "postBatch", method: http.MethodPost, path: "/v1/jobs/batch", tag: jobs, role: access.Enqueue, status: http.StatusOK, most: mostBatch,
		errors:  []int{tooLong, notJSON, invalid},
		summary: "Ask for many invoices",
		text: `A JSON array of up to 1,000 jobs and 16 MiB; each job has a result of its own. As application/x-ndjson the body is a stream of any length, one job on ` +
			`each line, and the answer has one result on each line, while the body is still being sent. Send again what is unavailable or has no result. ` +
			`An Idempotency-Key isn't looked at.`,
	})
	huma.Register(a.huma, a.describe(operation{
		id: "getJob", method: http.MethodGet, path: "/v1/jobs/{job_id}", tag: reads, status: http.StatusOK, errors: []int{same, notFound, invalid},
		summary: "How a job stands", text: "A token that only hands jobs in sees those of its producer.",
	}), a.getJob)
	huma.Register(a.huma, a.describe(operation{
		id: "getTransaction", method: http.MethodGet, path: "/v1/transactions/{transaction_id}", tag: reads, role: access.Read, status: http.StatusOK,
		errors: []int{same, notFound, conflict, invalid}, summary: "The whole story of a transaction", text: "As `invoicer status --json` prints it.",
	}), a.getTransaction)
	huma.Register(a.huma, a.describe(operation{
		id: "getInvoice", method: http.MethodGet, path: "/v1/invoices/{invoice_number}", tag: reads, role: access.Read, status: http.StatusOK,
		errors: []int{same, notFound, conflict, invalid}, summary: "An invoice or credit note", text: "As `invoicer list invoices --json` prints it.",
	}), a.getInvoice)
	const pages = "As `invoicer list --json` prints it. A page may have fewer rows than its limit, or none, and yet a next. The newest come first, unless order says " +
		"otherwise. With order=oldest, whoever goes on after each next, again and again, gets each row once, whenever it is committed."
	huma.Register(a.huma, a.describe(operation{
		id: "listInvoices", method: http.MethodGet, path: "/v1/invoices", tag: reads, role: access.Read, status: http.StatusOK, errors: []int{same, invalid},
		summary: "Invoices and credit notes", text: pages,
	}), a.listInvoices)
	huma.Register(a.huma, a.describe(operation{
		id: "listJobs", method: http.MethodGet, path: "/v1/jobs", tag: reads, role: access.Read, status: http.StatusOK, errors: []int{same, invalid},
		summary: "Jobs of the ledger", text: pages,
	}), a.listJobs)
	huma.Register(a.huma, a.describe(operation{
		id: "listDuplicates", method: http.MethodGet, path: "/v1/duplicates", tag: reads, role: access.Read, status: http.StatusOK, errors: []int{same, invalid},
		summary: "Recorded duplicates", text: pages,
	}), a.listDuplicates)
	huma.Register(a.huma, a.describe(operation{
		id: "listSeries", method: http.MethodGet, path: "/v1/series", tag: reads, role: access.Read, status: http.StatusOK, errors: []int{same, invalid},
		summary: "Series with their counters", text: "As `invoicer series list --json` prints it.",
	}), a.listSeries)
	huma.Register(a.huma, a.describe(operation{
		id: "listEvents", method: http.MethodGet, path: "/v1/events", tag: reads, role: access.Read, status: http.StatusOK, errors: []int{same, invalid},
		summary: "What has happened", text: "The oldest first, for whoever catches up without webhooks. No event is passed over, and none comes twice after the same cursor. " +
			"Events are recorded if an endpoint wants them, or events.record names their type.",
	}), a.listEvents)
	a.eventStream(operation{
		id: "streamEvents", method: http.MethodGet, path: "/v1/stream", tag: reads, role: access.Read, status: http.StatusOK, errors: []int{invalid},
		summary: "What happens, as server-sent events", text: "A client that connects again with Last-Event-ID misses none.",
	})
	huma.Register(a.huma, a.describe(operation{
		id: "replayJob", method: http.MethodPost, path: "/v1/jobs/{job_id}/replay", tag: acts, role: access.Operate, status: http.StatusAccepted,
		errors: []int{http.StatusBadRequest, notFound, conflict, tooLong, notJSON, invalid}, most: 16 << 10, json: true,
		summary: "Try a failed job again", text: "Under its own job id. The token's name goes on record.",
	}), a.replayJob)
	huma.Register(a.huma, a.describe(operation{
		id: "dismissJob", method: http.MethodPost, path: "/v1/jobs/{job_id}/dismiss", tag: acts, role: access.Operate, status: http.StatusOK,
		errors: []int{http.StatusBadRequest, notFound, conflict, tooLong, notJSON, invalid}, most: 16 << 10, json: true,
		summary: "Mark a failed job as dealt with", text: "The token's name and the note go on record. `invoicer restore` undoes it.",
	}), a.dismissJob)
	huma.Register(a.huma, a.describe(operation{
		id: "showPayload", method: http.MethodPost, path: "/v1/jobs/{job_id}/payload", tag: reads, role: access.Read, status: http.StatusOK,
		errors: []int{http.StatusBadRequest, notFound, tooLong, notJSON, invalid}, most: 16 << 10, json: true,
		summary: "A job as it was asked for", text: "With whatever personal data it holds, so `http.personal_data` says who may. The token's name goes on record.",
	}), a.showPayload)
	a.documentOperations()
	a.replayOperations()
	a.endpointOperations()
	a.handoverOperations()
	if err := a.finish(); err != nil {
		return err
	}
	return a.pages()
}

// replayOperations registers what concerns replays of many jobs.
func (a *API) replayOperations() {
	const tag = "replays of many failed jobs"
	bad, notFound, conflict, invalid := http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity
	tooLong, notJSON, same := http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusNotModified
	huma.Register(a.huma, a.describe(operation{
		id: "postReplay", method: http.MethodPost, path: "/v1/replays", tag: tag, role: access.Operate, status: http.StatusAccepted,
		errors: []int{bad, conflict, tooLong, notJSON, invalid}, most: 1 << 20, json: true,
		summary: "Try all failed jobs again that match a filter", text: "Each under its own job id. Jobs that still can't be an invoice are left failed, and named with the reasons. " +
			"It goes on in another process if its own one dies, and no job is replayed twice by it. The token's name and the note go on record with each job.",
	}), a.postReplay)
	huma.Register(a.huma, a.describe(operation{
		id: "listReplays", method: http.MethodGet, path: "/v1/replays", tag: tag, role: access.Read, status: http.StatusOK, errors: []int{same, invalid},
		summary: "Replays", text: "The newest first. Replays that are about jobs of other issuers, too, are left out for a token that is limited to some.",
	}), a.listReplays)
	huma.Register(a.huma, a.describe(operation{
		id: "getReplay", method: http.MethodGet, path: "/v1/replays/{replay_id}", tag: tag, role: access.Read, status: http.StatusOK, errors: []int{same, notFound, invalid},
		summary: "How far a replay has come",
	}), a.getReplay)
	huma.Register(a.huma, a.describe(operation{
		id: "cancelReplay", method: http.MethodPost, path: "/v1/replays/{replay_id}/cancel", tag: tag, role: access.Operate, status: http.StatusOK,
		errors: []int{bad, notFound, conflict, tooLong, notJSON, invalid}, most: 16 << 10, json: true,
		summary: "End a replay", text: "Once it is answered, no further job is replayed by it. What was replayed stays so.",
	}), a.cancelReplay)
}

// batch registers the batch, whose body is read while it comes.
func (a *API) batch(o operation) {
	op := a.describe(o)
	schemas := a.huma.OpenAPI().Components.Schemas
	result := schemas.Schema(reflect.TypeFor[BatchResult](), true, "BatchResult")
	op.Parameters = []*huma.Param{{Name: "queue", In: "query", Description: "the queue, which a worker must have consumed before", Schema: &huma.Schema{Type: huma.TypeString, Default: "default"}}}
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/json": {Schema: &huma.Schema{Type: huma.TypeArray, Description: "up to 1,000 jobs"}},
		ndjson:             {Schema: &huma.Schema{Type: huma.TypeString, Description: "one job on each line"}},
	}}
	op.Responses["200"] = &huma.Response{Description: "The result of each job", Content: map[string]*huma.MediaType{
		"application/json": {Schema: schemas.Schema(reflect.TypeFor[Batch](), true, "Batch")},
		ndjson:             {Schema: &huma.Schema{Type: huma.TypeString, Description: "one result on each line, each of the schema BatchResult"}},
	}}
	_ = result
	a.huma.OpenAPI().AddOperation(&op)
	a.handle(&op, a.postBatch)
}

// handle registers a handler that reads and writes by itself. Here, too, a parameter that there isn't is refused: a queue or a filter that is
// mistyped would else be the default, or everything.
func (a *API) handle(op *huma.Operation, handler func(huma.Context)) {
	a.huma.Adapter().Handle(op, a.huma.Middlewares().Handler(op.Middlewares.Handler(func(ctx huma.Context) {
		var faults []Fault
		r, _ := humago.Unwrap(ctx)
		query := r.URL.Query()
		for _, name := range slices.Sorted(maps.Keys(query)) {
			i := slices.IndexFunc(op.Parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == name })
			switch {
			case i < 0:
				faults = append(faults, Fault{Detail: "isn't a parameter of this request", Parameter: name})
			case len(query[name]) > 1 && op.Parameters[i].Schema.Type != huma.TypeArray:
				faults = append(faults, Fault{Detail: "is stated more than once", Parameter: name})
			}
		}
		if len(faults) > 0 {
			a.answer(ctx, problemOf(http.StatusUnprocessableEntity, "the request isn't valid: correct it and send it again", faults...))
			return
		}
		handler(ctx)
	})))
}

func (a *API) description() *huma.OpenAPI {
	version := a.o.Version
	if version == "" {
		version = "unknown"
	}
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{Title: "invoicer", Version: version, Description: "Asks for invoices, exactly one for each transaction, and tells what became of them. " +
			"Amounts are integers in the currency's minor units. Errors are problems of RFC 9457, which name all that is wrong at once."},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", func(t reflect.Type, hint string) string {
				return strings.TrimSuffix(huma.DefaultSchemaNamer(t, hint), "Error")
			}),
			SecuritySchemes: map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", Description: "made by `invoicer token make`"}},
		},
		Security: []map[string][]string{{"token": {}}},
		Webhooks: webhooks(),
	}
}

// finish adds to the description what huma can't find in types.
func (a *API) finish() error {
	document := a.huma.OpenAPI()
	schemas := document.Components.Schemas.Map()
	for _, unused := range []string{"ErrorModel", "ErrorDetail"} { // huma's own
		delete(schemas, unused)
	}
	nullObjects(document.Components.Schemas)
	text, err := invoice.Schema()
	if err != nil {
		return err
	}
	var job map[string]any
	if err := json.Unmarshal(text, &job); err != nil {
		return err
	}
	delete(job, "$schema") // it is that of OpenAPI 3.1
	schemas["JobRequest"] = &huma.Schema{Extensions: job}
	reference := func() *huma.Schema { return &huma.Schema{Ref: "#/components/schemas/JobRequest"} }
	for _, path := range []string{"/v1/jobs", "/v1/previews"} {
		document.Paths[path].Post.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: reference()}}}
	}
	document.Paths["/v1/jobs/batch"].Post.RequestBody.Content["application/json"].Schema.Items = reference()
	answers := document.Paths["/v1/jobs"].Post.Responses
	for status, text := range map[string]string{"200": "The job is a recorded duplicate of the invoice", "201": "The job has made the invoice", "202": "The job is accepted"} {
		one := *answers["202"]
		one.Description = text
		answers[status] = &one
	}
	return nil
}

// nullObjects has pointers to objects take null, and what is kept as JSON be an object or null, which huma can't say.
func nullObjects(registry huma.Registry) {
	for _, name := range slices.Sorted(maps.Keys(registry.Map())) {
		of := registry.TypeFromRef("#/components/schemas/" + name)
		if of == nil || of.Kind() != reflect.Struct {
			continue
		}
		for _, f := range reflect.VisibleFields(of) {
			member, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			property := registry.Map()[name].Properties[member]
			if f.Type == reflect.TypeFor[json.RawMessage]() || f.Type == reflect.TypeFor[report.Masked]() {
				registry.Map()[name].Properties[member] = &huma.Schema{Extensions: map[string]any{"type": []string{"object", "null"}}}
				continue
			}
			if property == nil || property.Ref == "" || f.Type.Kind() != reflect.Pointer || strings.Contains(options, "omitempty") {
				continue
			}
			registry.Map()[name].Properties[member] = &huma.Schema{
				Description: property.Description, AnyOf: []*huma.Schema{{Ref: property.Ref}, {Type: "null"}},
			}
		}
	}
}
