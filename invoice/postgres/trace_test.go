package postgres_test

import (
	"context"
	"fmt"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"invoicer/internal/tracing"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
)

// Each draft is written in its own job's trace, and the transaction that they share has a link to each, even if it was begun for
// another job's draft.
func TestTheTraceOfAGroup(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	tracer := tracing.New(sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)))
	b := setup(t, func(o *postgres.Options) { o.Tracer = tracer })
	jobs, contexts := make(map[string]*invoice.Job), make(map[string]context.Context)
	var begun []*tracing.Span
	for i := range 5 {
		id := fmt.Sprintf("job-%d", i)
		ctx, span := tracer.Start(t.Context(), "process job")
		jobs[id], contexts[id], begun = job(t, fmt.Sprintf("T%d", i)), ctx, append(begun, span)
	}
	var created []*invoice.Ref
	for id, a := range b.togetherIn(t, contexts, jobs, nil) {
		if a.err != nil {
			t.Errorf("%s: %v", id, a.err)
			continue
		}
		created = append(created, a.result.Invoice)
	}
	for _, span := range begun {
		span.End()
	}
	b.gapless(t)
	byName := endedByName(spans)
	if len(byName["write invoice"]) != 6 || len(byName["write group"]) != 2 {
		t.Fatalf("%d drafts in %d transactions", len(byName["write invoice"]), len(byName["write group"]))
	}
	group := byName["write group"][1] // the first one's came before
	if n := len(group.Links()); n != 5 {
		t.Fatalf("the transaction has %d links", n)
	}
	traces := make(map[string]bool)
	for _, link := range group.Links() {
		traces[link.SpanContext.TraceID().String()] = true
	}
	for _, process := range byName["process job"] {
		if !traces[process.SpanContext().TraceID().String()] {
			t.Error("a job's trace isn't linked")
		}
	}
	if group.Parent().SpanID() != group.Links()[0].SpanContext.SpanID() {
		t.Error("the transaction isn't below its first draft")
	}

	// A duplicate's record likewise.
	ctx, span := tracer.Start(t.Context(), "process job")
	end := ledger.End{
		JobID: b.id("again"), Outcome: invoice.Duplicate, Invoice: created[0], Reason: invoice.AlreadyInvoiced, TransactionID: created[0].TransactionID,
		IdempotencyKey: created[0].IdempotencyKey, Worker: "w1", Queue: "default", Attempts: 1,
	}
	if err := b.store.Ledger.Record(ctx, end); err != nil {
		t.Fatal(err)
	}
	span.End()
	byName = endedByName(spans)
	if len(byName["record end"]) != 1 || len(byName["record group"]) != 1 || len(byName["record group"][0].Links()) != 1 {
		t.Fatalf("%d ends in %d statements", len(byName["record end"]), len(byName["record group"]))
	}
	if got := byName["record group"][0].Parent().SpanID(); got != byName["record end"][0].SpanContext().SpanID() {
		t.Errorf("the statement is below %s", got)
	}
}

func endedByName(spans *tracetest.SpanRecorder) map[string][]sdk.ReadOnlySpan {
	byName := make(map[string][]sdk.ReadOnlySpan)
	for _, s := range spans.Ended() {
		byName[s.Name()] = append(byName[s.Name()], s)
	}
	return byName
}
