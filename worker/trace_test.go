package worker_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/internal/tracing"
	"invoicer/invoice"
	"invoicer/worker"
	"invoicer/worker/client"
)

// The trace of an attempt that lost says to whom and that it went back; that of a failure says so; each trace is its own.
func TestTheTraceOfALostRace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	spans := tracetest.NewSpanRecorder()
	winner := rig.NewGate(fault.Locked)
	said := newBook()
	w := b.start(t, "w1", withGate(winner), func(p *parts) {
		p.Logger = slog.New(slog.NewTextHandler(said, nil))
		p.Tracer = tracing.New(sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)))
		p.generator = &panicking{p.generator}
		p.LockWait, p.MaxRetry = 0, 0
	})
	first := b.enqueue(t, job("T1"))
	<-winner.Reached
	loser := b.enqueue(t, job("T1"))
	w.await(t, worker.PutBack)
	winner.Open()
	for range 2 {
		w.ended(t)
	}
	b.enqueueRaw(t, client.TaskType, []byte("{}"))
	w.ended(t)
	failed := b.enqueue(t, job("panic"))
	w.ended(t)
	w.Shutdown()

	one := func(what string, all ...attribute.KeyValue) sdk.ReadOnlySpan {
		t.Helper()
		for _, s := range spans.Ended() {
			has := func(a attribute.KeyValue) bool { return slices.Contains(s.Attributes(), a) }
			if !slices.ContainsFunc(all, func(a attribute.KeyValue) bool { return !has(a) }) {
				return s
			}
		}
		t.Fatalf("%s has no span", what)
		return nil
	}
	is := func(name, value string) attribute.KeyValue { return attribute.String("invoicer."+name, value) }
	won := one("the winner", is("job_id", first), is("outcome", "created"), is("transaction_id", "T1"), is("invoice_number", "INV-000001"))
	if !slices.ContainsFunc(strings.Split(said.text(), "\n"), func(l string) bool {
		return strings.Contains(l, "outcome=created") && strings.Contains(l, "trace_id="+won.SpanContext().TraceID().String())
	}) {
		t.Errorf("no line has the winner's trace:\n%s", said.text())
	}
	one("the loser's end", is("job_id", loser), is("outcome", "duplicate"), is("invoice_number", "INV-000001"))
	one("a bad job", is("outcome", string(invoice.Invalid)))
	held := one("the lock that was held", is("lock", "held"), is("lost_to_job_id", first))
	if s := one("the failure", is("job_id", failed), is("outcome", "failed")); s.Status().Code != codes.Error {
		t.Errorf("status %v", s.Status())
	}
	traces := make(map[string]bool)
	for _, s := range spans.Ended() {
		if s.Name() != "process job" {
			continue
		}
		traces[s.SpanContext().TraceID().String()] = true
		if s.SpanContext().SpanID() == held.Parent().SpanID() && !slices.ContainsFunc(s.Attributes(), func(a attribute.KeyValue) bool {
			return a.Key == "invoicer.put_back" && a.Value.AsString() != ""
		}) {
			t.Errorf("the attempt that lost has %v", s.Attributes())
		}
	}
	if len(traces) < 5 {
		t.Errorf("%d traces of 5 attempts", len(traces))
	}
}
