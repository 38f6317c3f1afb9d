package tracing

import (
	"context"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"
)

// Below returns a provider for libraries that trace the commands of a client. It starts spans only below others: what a process
// does all the time, such as waiting for a queue, has none. It drops the text of errors, as a server's message may quote what it
// was sent.
func Below(p trace.TracerProvider) trace.TracerProvider { return belowProvider{provider: p} }

type belowProvider struct {
	embedded.TracerProvider
	provider trace.TracerProvider
}

func (p belowProvider) Tracer(name string, o ...trace.TracerOption) trace.Tracer {
	return belowTracer{tracer: p.provider.Tracer(name, o...)}
}

type belowTracer struct {
	embedded.Tracer
	tracer trace.Tracer
}

func (t belowTracer) Start(ctx context.Context, name string, o ...trace.SpanStartOption) (context.Context, trace.Span) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, noop.Span{}
	}
	ctx, span := t.tracer.Start(ctx, name, o...)
	wordless := wordlessSpan{span}
	return trace.ContextWithSpan(ctx, wordless), wordless
}

// A wordlessSpan keeps that there was an error, but not its text.
type wordlessSpan struct{ trace.Span }

func (s wordlessSpan) RecordError(error, ...trace.EventOption) {}

func (s wordlessSpan) SetStatus(code codes.Code, _ string) { s.Span.SetStatus(code, "") }
