package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"invoicer/internal/rig"
	"invoicer/worker/client"
)

// A receiver takes what processes send over OTLP.
type receiver struct {
	*httptest.Server

	mu    sync.Mutex
	raw   bytes.Buffer
	spans []*spans.Span
	named map[string]string // of the resource
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{named: make(map[string]string)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		if err := r.take(request); err != nil {
			t.Errorf("%s: %v", request.URL, err)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) take(request *http.Request) error {
	var body io.Reader = request.Body
	if request.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = unpacked
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var sent collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(raw, &sent); err != nil {
		return err
	}
	r.mu.Lock()
	r.raw.Write(raw)
	r.mu.Unlock()
	r.keep(&sent)
	return nil
}

func (r *receiver) keep(sent *collector.ExportTraceServiceRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range sent.GetResourceSpans() {
		for _, a := range of.GetResource().GetAttributes() {
			r.named[a.GetKey()] = a.GetValue().GetStringValue()
		}
		for _, scope := range of.GetScopeSpans() {
			r.spans = append(r.spans, scope.GetSpans()...)
		}
	}
}

// Over gRPC a receiver takes the same.
type grpcReceiver struct {
	collector.UnimplementedTraceServiceServer
	*receiver
}

func (r grpcReceiver) Export(_ context.Context, sent *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.keep(sent)
	return &collector.ExportTraceServiceResponse{}, nil
}

// traced returns the site with processes that send their spans to the receiver.
func (s *site) traced(r *receiver, environ ...string) *site {
	return s.with(append([]string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + r.URL, "OTEL_BSP_SCHEDULE_DELAY=100"}, environ...)...)
}

const (
	producersTrace = "0af7651916cd43dd8448eb211c80319c"
	producersSpan  = "b7ad6b7169203331"
)

// acceptTraced accepts a job in SQL, as a service in any language does.
func (s *site) acceptTraced(t *testing.T, payload string) {
	t.Helper()
	tx, err := s.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), "SELECT set_config('invoicer.traceparent', $1, true)", "00-"+producersTrace+"-"+producersSpan+"-01"); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "SELECT accept($1, $2)", payload, s.queue); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

const secretJob = `{"transaction_id":"T1","customer_id":"Secret-1","customer_name":"Secret-2","country":"Secret-3","issued_at":"2010-12-01T08:26:00Z",
	"currency":"GBP","lines":[{"sku":"Secret-4","description":"Secret-5","quantity":1,"unit_price":"7654.32"}],"metadata":{"Secret-6":"Secret-7"}}`

// One trace leads from the asking service's request to the invoice, and tells nothing of what the job states.
func TestAJobIsOneTrace(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := sharedSite(t).traced(r)
	s.acceptTraced(t, secretJob)
	w := s.start(t, "worker")
	s.awaitEnds(t, 1)
	s.acceptTraced(t, secretJob) // a duplicate
	s.awaitEnds(t, 2)
	s.acceptTraced(t, strings.Replace(secretJob, "7654.32", "7654.33", 1)) // a conflict
	s.awaitEnds(t, 3)
	// A command that shares a round trip with those of others is in nobody's trace, which chance may bring about.
	for ends := 4; ends < 40 && !r.hasCommandBelow("take lock"); ends++ {
		s.acceptTraced(t, secretJob)
		s.awaitEnds(t, ends)
	}
	w.signal(t, syscall.SIGTERM)
	if code := w.exit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	byID := make(map[string]*spans.Span)
	names := make(map[string]int)
	for _, span := range r.spans {
		byID[hex.EncodeToString(span.GetSpanId())] = span
		names[span.GetName()]++
		if got := hex.EncodeToString(span.GetTraceId()); got != producersTrace {
			t.Errorf("%q is in a trace of its own", span.GetName())
		}
	}
	for name, above := range map[string]string{
		"relay job": "the producer's", "process job": "relay job", "take lock": "process job", "write invoice": "process job", "write group": "write invoice",
		"record end": "process job", "record group": "record end", "postgresql": "write group", "redis": "take lock",
	} {
		found := false
		for _, span := range r.spans {
			parent := hex.EncodeToString(span.GetParentSpanId())
			of := byID[parent].GetName()
			if parent == producersSpan {
				of = "the producer's"
			}
			system := attribute(span, "db.system.name") + attribute(span, "db.system")
			found = found || (span.GetName() == name || system == name) && of == above
			if span.GetName() == name && of != above {
				t.Errorf("%q is below %q", name, of)
			}
		}
		if !found {
			t.Errorf("no %q is below %q: %v", name, above, names)
		}
	}
	outcomes := make(map[string]int)
	for _, span := range r.spans {
		switch span.GetName() {
		case "process job":
			outcomes[attribute(span, "invoicer.outcome")]++
			if attribute(span, "invoicer.transaction_id") != "T1" || attribute(span, "invoicer.outcome") == "created" && attribute(span, "invoicer.invoice_number") != "INV-000001" {
				t.Errorf("%v", span)
			}
		case "write group":
			if len(span.GetLinks()) != 1 || byID[hex.EncodeToString(span.GetLinks()[0].GetSpanId())].GetName() != "write invoice" {
				t.Errorf("links %v", span.GetLinks())
			}
		}
	}
	if outcomes["duplicate"] = min(outcomes["duplicate"], 1); fmt.Sprint(outcomes) != "map[conflict:1 created:1 duplicate:1]" {
		t.Errorf("outcomes %v", outcomes)
	}
	if r.named["service.name"] != "invoicer" || r.named["service.instance.id"] == "" {
		t.Errorf("the process is %v", r.named)
	}
	for _, secret := range []string{"Secret", "7654", "SELECT ", "INSERT INTO", "asynq:", ":lock:", "invoicer:", "evalsha "} {
		if bytes.Contains(r.raw.Bytes(), []byte(secret)) {
			t.Errorf("the spans tell %q", secret)
		}
	}
}

func attribute(span *spans.Span, key string) string {
	for _, a := range span.GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// What a worker counts names the traces of jobs, for those who understand it.
func TestMetricsNameTraces(t *testing.T) {
	t.Parallel()
	s := sharedSite(t).traced(newReceiver(t))
	s.acceptTraced(t, secretJob)
	w := s.start(t, "worker")
	s.awaitEnds(t, 1)
	url := w.pages(t) + "/metrics"
	rig.Await(t, func() error {
		_, shown := get(t, url, func(r *http.Request) { r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0") })
		if !strings.HasSuffix(shown, "# EOF\n") {
			return fmt.Errorf("this isn't OpenMetrics: %s", shown)
		}
		for _, name := range []string{
			`invoicer_jobs_total{outcome="created",queue="` + s.queue + `"} 1.0`, "invoicer_job_duration_seconds_bucket", "invoicer_enqueue_to_invoice_seconds_bucket",
		} {
			if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `.* # \{trace_id="` + producersTrace + `"\} `).MatchString(shown) {
				return fmt.Errorf("%s has no exemplar:\n%s", name, shown)
			}
		}
		return nil
	})
	if _, plain := get(t, url); strings.Contains(plain, "trace_id") || !strings.Contains(plain, `invoicer_jobs_total{outcome="created",queue="`+s.queue+`"} 1`+"\n") {
		t.Errorf("the plain format:\n%s", plain)
	}
}

// A service names itself and its collector as it does everywhere else.
func TestTraceVariablesCount(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := sharedSite(t)
	w := s.with("OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+r.URL+"/v1/traces", "OTEL_SERVICE_NAME=billing").start(t, "worker")
	s.enqueue(t, "T1")
	s.awaitEnds(t, 1)
	w.signal(t, syscall.SIGTERM)
	if code := w.exit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.named["service.name"] != "billing" || len(r.spans) == 0 {
		t.Errorf("%d spans of %v", len(r.spans), r.named)
	}
	for environ, want := range map[string]string{
		"OTEL_TRACES_EXPORTER=zipkin2":           "OTEL_TRACES_EXPORTER must be otlp, console or none",
		"OTEL_EXPORTER_OTLP_PROTOCOL=smoke":      "OTEL_EXPORTER_OTLP_PROTOCOL grpc or http/protobuf",
		"OTEL_RESOURCE_ATTRIBUTES=without value": "OTEL_RESOURCE_ATTRIBUTES",
	} {
		refused := s.with("OTEL_EXPORTER_OTLP_ENDPOINT="+r.URL, environ).start(t, "worker")
		if code := refused.exit(t); code == 0 || !refused.said(want) {
			t.Errorf("%s: exit code %d", environ, code)
		}
	}
}

// A collector that speaks gRPC alone is reached by the standard variable.
func TestTracesOverGRPC(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{named: make(map[string]string)}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, grpcReceiver{receiver: r})
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})
	s := sharedSite(t).with("OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+listener.Addr().String())
	s.acceptTraced(t, oneJob)
	w := s.start(t, "worker")
	s.awaitEnds(t, 1)
	w.signal(t, syscall.SIGTERM)
	if code := w.exit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make(map[string]int)
	for _, span := range r.spans {
		names[span.GetName()]++
		if got := hex.EncodeToString(span.GetTraceId()); got != producersTrace {
			t.Errorf("%q is in a trace of its own", span.GetName())
		}
	}
	if names["relay job"] != 1 || names["process job"] != 1 || names["write invoice"] != 1 || r.named["service.name"] != "invoicer" {
		t.Errorf("%v of %v", names, r.named)
	}
}

// Without these variables, or with one that says so, nothing is sent and nothing is added to a task.
func TestNothingIsTracedUnlessAskedFor(t *testing.T) {
	t.Parallel()
	for name, environ := range map[string][]string{
		"nothing": nil,
		"none":    {"OTEL_TRACES_EXPORTER=none", "OTEL_EXPORTER_OTLP_ENDPOINT="},
		"off":     {"OTEL_SDK_DISABLED=true", "OTEL_EXPORTER_OTLP_ENDPOINT="},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t)
			s := sharedSite(t)
			for i, v := range environ {
				if strings.HasSuffix(v, "ENDPOINT=") {
					environ[i] += r.URL
				}
			}
			s.acceptTraced(t, oneJob)
			w := s.with(environ...).start(t, "worker")
			s.awaitEnds(t, 1)
			w.signal(t, syscall.SIGTERM)
			if code := w.exit(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
			tasks, err := s.inspector.ListCompletedTasks(s.queue)
			if err != nil || len(tasks) != 1 {
				t.Fatalf("%d tasks, error %v", len(tasks), err)
			}
			if in, ok := tasks[0].Headers[client.TraceparentHeader]; ok {
				t.Errorf("the task has the header %q", in)
			}
			if r.mu.Lock(); r.raw.Len() > 0 {
				t.Error("something is sent")
			}
			r.mu.Unlock()
		})
	}
}

// A receiver that is away, or takes what is sent and never answers, holds up neither jobs nor the process's end.
func TestALostReceiverHoldsNothingUp(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	for name, endpoint := range map[string]string{"away": "http://127.0.0.1:1", "silent": "http://" + silent.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sharedSite(t).with("OTEL_EXPORTER_OTLP_ENDPOINT="+endpoint, "OTEL_BSP_SCHEDULE_DELAY=50", "OTEL_BSP_MAX_QUEUE_SIZE=512")
			var ids []string
			for i := range 500 {
				ids = append(ids, fmt.Sprintf("T%d", i))
			}
			s.enqueue(t, ids...)
			w := s.start(t, "worker")
			s.awaitEnds(t, len(ids))
			begun := time.Now()
			w.signal(t, syscall.SIGTERM)
			if code := w.exit(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("the worker ended after %s", took)
			}
			if n := strings.Count(w.stderr(), "traces can't be sent"); n != 1 {
				t.Errorf("%d lines say that traces can't be sent", n)
			}
		})
	}
}
