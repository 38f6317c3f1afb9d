// Package export sends spans to where the standard OTEL_… variables say.
package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/go-logr/logr"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/extra/redisotel/v9"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"invoicer/internal/tracing"
)

// Options of an [Exporter].
type Options struct {
	// Environ is the process's environment, as os.Environ returns it. The rest of the OTEL_… variables are read by the
	// OpenTelemetry SDK itself, from the process.
	Environ []string
	// Worker and Version describe the process in each trace.
	Worker, Version string
	// Logger gets a line when spans can't be sent, once a minute at most.
	Logger *slog.Logger
}

// An Exporter sends spans in the background. Nobody waits for it: if the receiver is away or slow, spans are dropped. A nil Exporter
// is one that is off: all of its methods work.
type Exporter struct {
	provider *sdk.TracerProvider
	tracer   *tracing.Tracer
}

// Wanted reports whether the environment asks for traces: it names an exporter or an endpoint, and doesn't turn the SDK off.
func Wanted(environ []string) bool {
	set := make(map[string]string)
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		set[name] = strings.TrimSpace(value)
	}
	if strings.EqualFold(set["OTEL_SDK_DISABLED"], "true") {
		return false
	}
	if named := set["OTEL_TRACES_EXPORTER"]; named != "" {
		return named != "none"
	}
	return set["OTEL_EXPORTER_OTLP_ENDPOINT"] != "" || set["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] != ""
}

// Open returns an exporter, or nil if the environment asks for none. It opens no connection. Call Close. It sets what OpenTelemetry
// logs for the whole process, so only commands call it.
func Open(ctx context.Context, o Options) (*Exporter, error) {
	if !Wanted(o.Environ) {
		return nil, nil //nolint:nilnil // a nil Exporter works
	}
	otel.SetLogger(logr.FromSlogHandler(messagesAlone{o.Logger.With("from", "opentelemetry").Handler()}))
	otel.SetErrorHandler(&failures{log: o.Logger})
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER must be otlp, console or none, and OTEL_EXPORTER_OTLP_PROTOCOL grpc or http/protobuf: %w", err)
	}
	// Later ones take precedence: the environment may name the service otherwise.
	described, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "invoicer"), attribute.String("service.version", o.Version), attribute.String("service.instance.id", o.Worker),
	), resource.WithFromEnv())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err), exporter.Shutdown(ctx))
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(described))
	return &Exporter{provider: provider, tracer: tracing.New(provider)}, nil
}

// Tracer returns the tracer whose spans are sent, nil if none are.
func (e *Exporter) Tracer() *tracing.Tracer {
	if e == nil {
		return nil
	}
	return e.tracer
}

// Postgres returns what a connection needs to trace its statements, without their text; nil if none are traced.
func (e *Exporter) Postgres() pgx.QueryTracer {
	if e == nil {
		return nil
	}
	return batchTracer{otelpgx.NewTracer(otelpgx.WithTracerProvider(tracing.Below(e.provider)), otelpgx.WithDisableSQLStatementInAttributes(),
		otelpgx.WithDisableConnectionDetailsInAttributes(), otelpgx.WithTracerAttributes(attribute.String("db.system.name", "postgresql")))}
}

// A batchTracer has one span for a batch. otelpgx has one more for each statement in it, which takes no time, as the answers are read
// together.
type batchTracer struct{ *otelpgx.Tracer }

func (batchTracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// Redis has a client trace its commands, without their arguments.
func (e *Exporter) Redis(client redis.UniversalClient) error {
	if e == nil {
		return nil
	}
	return redisotel.InstrumentTracing(client, redisotel.WithTracerProvider(tracing.Below(e.provider)), redisotel.WithDBStatement(false),
		redisotel.WithCallerEnabled(false), redisotel.WithDialFilter(true))
}

// closeTimeout bounds [Exporter.Close]: a process whose receiver is away must not take longer to end.
const closeTimeout = 2 * time.Second

// Close sends what is left, for two seconds at most.
func (e *Exporter) Close() {
	if e == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := e.provider.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}

// quietFor is the shortest time between two lines about spans that can't be sent.
const quietFor = time.Minute

// failures logs why spans can't be sent.
type failures struct {
	log *slog.Logger

	mu   sync.Mutex
	last time.Time
}

func (f *failures) Handle(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	level := slog.LevelDebug
	if time.Since(f.last) >= quietFor {
		level, f.last = slog.LevelWarn, time.Now()
	}
	f.log.Log(context.Background(), level, "traces can't be sent: jobs go on without them", "error", err)
}

// messagesAlone drops the attributes of what OpenTelemetry logs: about a variable that it can't read they have its value, which may
// be a password.
type messagesAlone struct{ slog.Handler }

func (h messagesAlone) Handle(ctx context.Context, r slog.Record) error {
	return h.Handler.Handle(ctx, slog.NewRecord(r.Time, r.Level, r.Message, r.PC))
}

func (h messagesAlone) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h messagesAlone) WithGroup(string) slog.Handler { return h }
