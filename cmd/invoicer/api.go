package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/events"
	"invoicer/internal/autopipeline"
	"invoicer/internal/documents"
	"invoicer/internal/lifecycle"
	"invoicer/internal/metrics"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/web/access"
	"invoicer/web/api"
	"invoicer/worker/dispatch"
	"invoicer/worker/queue"
)

// apiConnections is the largest number of connections to Postgres that the API of a process opens. They are neither those of the workers
// nor those of the pages, so that requests can't hold up invoices.
const apiConnections = 8

// apiKeyWait is how long a request waits for an earlier one with the same Idempotency-Key.
const apiKeyWait = 3 * time.Second

// apiSends is the size of the pool for what the API sends to Redis.
const apiSends = 8

// servedAPI is the API of a process, with its connections, which must be closed.
type servedAPI struct {
	*api.API
	store   *postgres.DB
	redis   redis.UniversalClient
	express *dispatch.Express
	bulk    *dispatch.Bulk
}

// openAPI makes the API, with connections of its own.
func openAPI(ctx context.Context, cfg *config.Config, inquiry api.Inquiry, turns *documents.Turns, m *metrics.Metrics, log *slog.Logger) (_ *servedAPI, err error) {
	s := &servedAPI{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	o, err := storeOptions(cfg)
	if err != nil {
		return nil, err
	}
	o.MaxConns, o.LockTimeout = apiConnections, apiKeyWait
	if s.store, err = postgres.Open(o); err != nil {
		return nil, err
	}
	sized := *cfg
	sized.Worker.Concurrency = apiSends
	rdb, err := newRedis(&sized, 0)
	if err != nil {
		return nil, err
	}
	s.redis = autopipeline.New(rdb)
	databaseID, err := s.store.DatabaseID(ctx)
	if err != nil {
		return nil, err
	}
	// It claims no queue, and knows by the owners which are others'.
	keeper, err := queue.NewKeeper(s.redis, s.store, queue.Options{Installation: installation(cfg, databaseID), Worker: workerName(), Queues: []string{"(none)"}, Logger: log})
	if err != nil {
		return nil, err
	}
	ledger := s.store.Ledger.Of(cfg.Redis.Queues...)
	s.express = dispatch.NewExpress(dispatch.NewRelay(ledger, s.redis, dispatch.RelayOptions{
		Retention: cfg.Worker.Retention, Installation: databaseID, Owners: keeper, Logger: log, Observe: m.ObserveDispatch,
	}), ledger)
	numbering, err := invoice.NewNumbering(cfg.Numbering)
	if err != nil {
		return nil, err
	}
	forecaster := invoice.NewForecaster(invoice.NewGenerator(s.store.Invoices, numbering))
	s.bulk = dispatch.NewBulk(dispatch.BulkOptions{
		Bulks: s.store.Replays, Failures: s.store.Ledger, Forecaster: forecaster, Holder: workerName() + " " + rand.Text(), Sent: s.express.Send, Logger: log,
	})
	maker, err := newMaker(cfg, s.store)
	if err != nil {
		return nil, err
	}
	maker.Turns = turns
	followed, err := newLinks(cfg)
	if err != nil {
		return nil, err
	}
	options := api.Options{
		Documents: maker, Formats: handedOut(cfg), Links: followed,
		Ledger: s.store.Ledger, Reports: s.store.Reports, Inquiry: inquiry, Settings: s.store.Settings, Forecaster: forecaster,
		Endpoints: s.store.Outbox, Deliveries: s.store.Outbox, NewSecret: events.NewSecret,
		PermitURL: func(ctx context.Context, url string) error { return events.PermitURL(ctx, url, cfg.Events.Networks()) },
		Replays:   s.store.Replays, ReplayBegun: s.bulk.Begun, InvoiceSeries: cfg.Numbering.InvoiceSeries,
		Handovers: s.store.Handovers, Payloads: s.store.Reports, Events: s.store.Outbox, Mark: s.store.Reports.MarkLists,
		Replayer: dispatch.NewReplayer(s.store.Ledger, forecaster), Accepted: s.express.Send, Requested: m.ObserveRequest, Refused: m.ObserveRefusal,
		AtOnce: apiConnections * 8, Version: buildVersion().Version, Logger: log,
	}
	if cfg.HTTP.PersonalData != "hidden" {
		options.PersonalData = access.Role(cfg.HTTP.PersonalData)
	}
	if cfg.HTTP.RateLimit > 0 {
		options.Limit = api.NewRedisLimit(s.redis, s.store.DatabaseID, cfg.HTTP.RateLimit)
	}
	s.API, err = api.New(options)
	return s, err
}

// parts are the parts of a process that the API needs.
func (s *servedAPI) parts() lifecycle.Stage {
	return lifecycle.Stage{lasting("the API", s.Run), lasting("the API's dispatcher", s.express.Run), lasting("replays", s.bulk.Run)}
}

func (s *servedAPI) close() {
	if s == nil {
		return
	}
	if s.store != nil {
		_ = s.store.Close()
	}
	if s.redis != nil {
		_ = s.redis.Close()
	}
}

func openapiCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "openapi",
		Short:   "Print the description of the HTTP API in OpenAPI 3.1",
		GroupID: groupSetup,
		Args:    noArgs,
		Long: `Prints what a worker serves under /v1/openapi.json: the description of the HTTP
API in OpenAPI 3.1, for code generators and tests. No server is asked. For
people there is the page /v1/docs.`,
		Example: `  invoicer openapi > openapi.json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			described, err := api.New(api.Options{Version: buildVersion().Version})
			if err != nil {
				return err
			}
			text, err := described.Description()
			if err == nil {
				_, err = cmd.OutOrStdout().Write(text)
			}
			return err
		},
	}
}
