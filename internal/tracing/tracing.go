// Package tracing records the steps of a job as spans of OpenTelemetry: what happened in which order, how long each step took, and
// which jobs shared one.
//
// Everything works on nil: a nil [*Tracer] starts no spans, and a nil [*Span] takes what is set on it and does nothing. So a process
// that doesn't trace pays for a comparison at each step.
//
// Spans hold ids, names of queues and outcomes; as in logs, nothing else of what a job states. Package export sends them.
package tracing

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// A Kind says on which side of a queue a span is.
type Kind trace.SpanKind

// A producer's span ends when the task is in the queue, a consumer's begins when the task was fetched.
const (
	Producer = Kind(trace.SpanKindProducer)
	Consumer = Kind(trace.SpanKindConsumer)
)

// A Tracer starts spans. It is safe for concurrent use.
type Tracer struct{ tracer trace.Tracer }

// New returns a tracer that takes its spans from p.
func New(p trace.TracerProvider) *Tracer { return &Tracer{tracer: p.Tracer("invoicer")} }

// Start begins a span below the context's, and returns a context that has it. The attributes are pairs of a name, to which
// "invoicer." is prefixed, and a value.
func (t *Tracer) Start(ctx context.Context, name string, attributes ...string) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	return started(t.tracer.Start(ctx, name, trace.WithAttributes(pairs(attributes)...)))
}

// Continue begins a span below the one that a traceparent names, in whatever process that is. If it names none, the span begins a
// trace.
func (t *Tracer) Continue(ctx context.Context, traceparent string, kind Kind, name string, attributes ...string) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent})
	return started(t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKind(kind)), trace.WithAttributes(pairs(attributes)...)))
}

// Together begins a span for what is done once for several members, each of which has a span in its context. The span has a link to
// each of theirs, and each of theirs has one to it. It is below the first of them; if none of theirs is recorded, neither is this.
// A span in ctx is ignored: ctx may be that of an earlier caller, whose job has ended.
func Together[M any](ctx context.Context, t *Tracer, name string, members []M, of func(M) context.Context) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	var recorded []trace.Span
	var links []trace.Link
	for _, m := range members {
		if span := trace.SpanFromContext(of(m)); span.IsRecording() {
			recorded, links = append(recorded, span), append(links, trace.Link{SpanContext: span.SpanContext()})
		}
	}
	if len(recorded) == 0 {
		return trace.ContextWithSpan(ctx, nil), nil
	}
	ctx, span := started(t.tracer.Start(trace.ContextWithSpan(ctx, recorded[0]), name, trace.WithLinks(links...),
		trace.WithAttributes(attribute.Int("invoicer.members", len(members)))))
	for _, member := range recorded {
		member.AddLink(trace.Link{SpanContext: span.span.SpanContext()})
	}
	return ctx, span
}

// A Span is a step that is under way. Its methods are safe for concurrent use.
type Span struct{ span trace.Span }

func started(ctx context.Context, span trace.Span) (context.Context, *Span) { return ctx, &Span{span} }

// Traceparent returns what names the span to another process, "" if there is none.
func (s *Span) Traceparent() string {
	if s == nil || !s.span.SpanContext().IsValid() {
		return ""
	}
	c := s.span.SpanContext()
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-" + (c.TraceFlags() & trace.FlagsSampled).String()
}

// TraceID returns the id of the span's trace, by which people look it up, "" if the trace isn't recorded.
func (s *Span) TraceID() string {
	if s == nil || !s.span.IsRecording() {
		return ""
	}
	return s.span.SpanContext().TraceID().String()
}

// Set adds attributes, pairs of a name and a value. An empty value adds nothing.
func (s *Span) Set(attributes ...string) {
	if s != nil {
		s.span.SetAttributes(pairs(attributes)...)
	}
}

// Fail marks the step as failed, if err isn't nil. The text of err must hold no personal data.
func (s *Span) Fail(err error) {
	if s != nil && err != nil {
		s.span.SetStatus(codes.Error, clean(err.Error()))
	}
}

// End ends the step. Only its first call counts.
func (s *Span) End() {
	if s != nil {
		s.span.End()
	}
}

func pairs(attributes []string) []attribute.KeyValue {
	list := make([]attribute.KeyValue, 0, len(attributes)/2)
	for i := 0; i+1 < len(attributes); i += 2 {
		if attributes[i+1] != "" {
			list = append(list, attribute.String("invoicer."+attributes[i], clean(attributes[i+1])))
		}
	}
	return list
}

// clean returns text that a backend can take: because of one invalid byte, a batch of spans would be lost.
func clean(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
