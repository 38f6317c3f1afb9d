package tracing_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"invoicer/internal/tracing"
)

const traceID, spanID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

func record(t *testing.T) (*tracing.Tracer, *tracetest.SpanRecorder, trace.TracerProvider) {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))
	return tracing.New(provider), recorder, provider
}

// Nothing is traced by nil, and nothing fails.
func TestOff(t *testing.T) { //nolint:paralleltest // allocations of other tests would be counted
	var tracer *tracing.Tracer
	ctx, span := tracer.Continue(t.Context(), "00-"+traceID+"-"+spanID+"-01", tracing.Consumer, "process job", "job_id", "j")
	ctx, below := tracer.Start(ctx, "take lock")
	ctx, together := tracing.Together(ctx, tracer, "write group", []int{1}, func(int) context.Context { panic("asked") })
	for _, s := range []*tracing.Span{span, below, together} {
		s.Set("outcome", "created")
		s.Fail(errors.New("no"))
		s.End()
		if s != nil || s.Traceparent() != "" || s.TraceID() != "" {
			t.Error("there is a span")
		}
	}
	if ctx != t.Context() {
		t.Error("the context is wrapped")
	}
	allocated := testing.AllocsPerRun(100, func() {
		ctx, span := tracer.Continue(ctx, traceID, tracing.Consumer, "process job", "job_id", traceID, "queue", spanID)
		span.Set("transaction_id", traceID, "outcome", spanID)
		_, span = tracer.Start(ctx, "take lock")
		span.End()
	})
	if allocated > 0 {
		t.Errorf("%v allocations for nothing", allocated)
	}
}

// A job's spans hang together over processes.
func TestContinue(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		parent, trace string
		recorded      bool
	}{
		"00-" + traceID + "-" + spanID + "-01": {spanID, traceID, true},
		"00-" + traceID + "-" + spanID + "-00": {spanID, traceID, false}, // its producer doesn't record it
		"":                                     {"", "", true},
		"00-" + traceID:                        {"", "", true},
		"00-" + strings.Repeat("0", 32) + "-" + spanID + "-01": {"", "", true},
		"\xff\x00": {"", "", true},
	} {
		tracer, recorder, _ := record(t)
		outer, over := tracer.Start(t.Context(), "something else that goes on")
		_, relay := tracer.Continue(outer, in, tracing.Producer, "relay job", "job_id", "j1")
		_, process := tracer.Continue(outer, relay.Traceparent(), tracing.Consumer, "process job")
		process.End()
		relay.End()
		over.End()
		if !strings.HasPrefix(relay.Traceparent(), "00-"+want.trace) {
			t.Errorf("%q continues as %q", in, relay.Traceparent())
		}
		spans := recorder.Ended()
		if (len(spans) == 3) != want.recorded {
			t.Errorf("%q: %d spans", in, len(spans))
			continue
		}
		if !want.recorded {
			continue
		}
		second, first := spans[0], spans[1]
		if got := first.Parent().SpanID(); got.IsValid() != (want.parent != "") || got.IsValid() && got.String() != want.parent {
			t.Errorf("%q: its parent is %s", in, got)
		}
		if second.Parent().SpanID() != first.SpanContext().SpanID() || second.SpanContext().TraceID() != first.SpanContext().TraceID() {
			t.Errorf("%q: the second is below %s", in, second.Parent().SpanID())
		}
		if first.SpanKind() != trace.SpanKindProducer || second.SpanKind() != trace.SpanKindConsumer {
			t.Errorf("%q: kinds %s, %s", in, first.SpanKind(), second.SpanKind())
		}
		if !slices.Contains(first.Attributes(), attribute.String("invoicer.job_id", "j1")) {
			t.Errorf("%q: attributes %v", in, first.Attributes())
		}
	}
}

// What several share has links to all of them, and they to it.
func TestTogether(t *testing.T) {
	t.Parallel()
	tracer, recorder, _ := record(t)
	stale, before := tracer.Start(t.Context(), "whoever came first, long ago")
	before.End()
	unrecorded, silent := tracer.Continue(t.Context(), "00-"+traceID+"-"+spanID+"-00", tracing.Consumer, "silent")
	members := []context.Context{unrecorded, t.Context()}
	var spans []*tracing.Span
	for range 3 {
		ctx, span := tracer.Start(t.Context(), "write invoice")
		members, spans = append(members, ctx), append(spans, span)
	}
	itself := func(ctx context.Context) context.Context { return ctx }
	ctx, group := tracing.Together(stale, tracer, "write group", members, itself)
	_, statement := tracer.Start(ctx, "statement")
	statement.End()
	group.End()
	for _, s := range append(spans, silent) {
		s.End()
	}
	ended := recorder.Ended()[1:]
	if len(ended) != 5 {
		t.Fatalf("%d spans", len(ended))
	}
	below, together, first := ended[0], ended[1], ended[2]
	if below.Parent().SpanID() != together.SpanContext().SpanID() || together.Parent().SpanID() != first.SpanContext().SpanID() {
		t.Error("the statement isn't below the group, or that not below its first member")
	}
	if len(together.Links()) != 3 {
		t.Errorf("%d links", len(together.Links()))
	}
	for i, m := range ended[2:] {
		if together.Links()[i].SpanContext.SpanID() != m.SpanContext().SpanID() {
			t.Errorf("no link to member %d", i)
		}
		if len(m.Links()) != 1 || m.Links()[0].SpanContext.SpanID() != together.SpanContext().SpanID() {
			t.Errorf("member %d has links %v", i, m.Links())
		}
	}

	ctx, none := tracing.Together(stale, tracer, "write group", members[:2], itself)
	if none != nil || trace.SpanFromContext(ctx).SpanContext().IsValid() {
		t.Error("a group of nobody's has a span, or that of whoever came first")
	}
}

// Text that isn't UTF-8 would lose a whole batch of spans.
func TestTextIsClean(t *testing.T) {
	t.Parallel()
	tracer, recorder, _ := record(t)
	_, span := tracer.Start(t.Context(), "process job", "job_id", "a\xff", "reason", "")
	span.Fail(nil)
	span.Fail(errors.New("no \xff"))
	span.End()
	ended := recorder.Ended()[0]
	if len(ended.Attributes()) != 1 || !utf8.ValidString(ended.Attributes()[0].Value.AsString()) || !utf8.ValidString(ended.Status().Description) {
		t.Errorf("%v, %v", ended.Attributes(), ended.Status())
	}
	if ended.Status().Code != codes.Error {
		t.Errorf("status %v", ended.Status())
	}
}

// Libraries trace what belongs to a job, and tell no text of errors.
func TestBelow(t *testing.T) {
	t.Parallel()
	tracer, recorder, provider := record(t)
	library := tracing.Below(provider).Tracer("library")
	ctx, alone := library.Start(t.Context(), "wait for a task")
	alone.End()
	if trace.SpanFromContext(ctx).IsRecording() || len(recorder.Started()) != 0 {
		t.Error("what nobody asked for is traced")
	}
	ctx, job := tracer.Start(t.Context(), "process job")
	ctx, command := library.Start(ctx, "evalsha")
	trace.SpanFromContext(ctx).RecordError(errors.New("secret"))
	trace.SpanFromContext(ctx).SetStatus(codes.Error, "secret")
	_, inner := library.Start(ctx, "inner")
	inner.End()
	command.End()
	job.End()
	ended := recorder.Ended()
	if len(ended) != 3 || ended[0].Parent().SpanID() != ended[1].SpanContext().SpanID() || ended[1].Parent().SpanID() != ended[2].SpanContext().SpanID() {
		t.Fatalf("%d spans, or not below each other", len(ended))
	}
	if s := ended[1].Status(); s.Code != codes.Error || s.Description != "" || len(ended[1].Events()) != 0 {
		t.Errorf("status %v, events %v", s, ended[1].Events())
	}
}
