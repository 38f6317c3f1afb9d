package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"

	"invoicer/internal/tracing/export"
)

// The contestants that trace, which only -only measures.
const (
	tracedName       = "traced"
	tracedSampleName = "traced-0.01"
)

// tracing are the worker with traces of all jobs, and with those of a hundredth.
func tracing() []contestant {
	return []contestant{
		{name: tracedName, title: "**invoicer**, each job traced", guess: 800, single: true, open: traced{"1"}.open},
		{name: tracedSampleName, title: "**invoicer**, 1 % traced", guess: 1500, single: true, open: traced{"0.01"}.open},
	}
}

// traced is the worker that sends traces to a receiver in this process, which throws them away. The receiver's CPU time counts as the
// worker's.
type traced struct{ ratio string }

func (o traced) open(ctx context.Context, b *bench, s setting, schema string) (*system, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	receiver := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = receiver.Serve(listener)
	}()
	end := func() {
		_ = receiver.Close()
		<-served
	}
	at := *b
	if at.traces, err = openTraces(ctx, "http://"+listener.Addr().String(), o.ratio); err != nil {
		end()
		return nil, err
	}
	all, err := ours{at: &at}.open(ctx, b, s, schema)
	if err != nil {
		at.traces.Close()
		end()
		return nil, err
	}
	worker := all.close
	all.close = func() {
		worker()
		at.traces.Close()
		end()
	}
	return all, nil
}

// openTraces says to OpenTelemetry by the process's variables what a worker is told by them.
func openTraces(ctx context.Context, endpoint, ratio string) (*export.Exporter, error) {
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": ratio,
	} {
		if err := os.Setenv(name, value); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return export.Open(ctx, export.Options{Environ: os.Environ(), Worker: "benchmark", Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
}
