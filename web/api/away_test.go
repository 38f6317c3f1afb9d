package api_test

import (
	"context"
	"sync/atomic"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/handover"
	"invoicer/invoice/ledger"
	"invoicer/invoice/outbox"
	"invoicer/invoice/postgres"
	"invoicer/web/api"
)

// These ask another database while there is one.
type (
	sometimes struct {
		api.Ledger
		away *atomic.Pointer[postgres.DB]
	}
	reports struct {
		api.Reports
		away *atomic.Pointer[postgres.DB]
	}
	inquiries struct {
		api.Inquiry
		away *atomic.Pointer[postgres.DB]
	}
	forecasts struct {
		api.Forecaster
		away *atomic.Pointer[postgres.DB]
	}
	payloads struct {
		api.Payloads
		away *atomic.Pointer[postgres.DB]
	}
	bulks struct {
		api.Replays
		away *atomic.Pointer[postgres.DB]
	}
	endpointsOf = api.Endpoints // embedded, it would have the name of its method
	endpoints   struct {
		endpointsOf
		away *atomic.Pointer[postgres.DB]
	}
	deliveries struct {
		api.Deliveries
		away *atomic.Pointer[postgres.DB]
	}
	handed struct {
		api.Handovers
		away *atomic.Pointer[postgres.DB]
	}
	settings struct {
		api.Settings
		away *atomic.Pointer[postgres.DB]
	}
)

func (s sometimes) Asked(ctx context.Context, r ledger.Request) (bool, error) {
	if db := s.away.Load(); db != nil {
		return db.Ledger.Asked(ctx, r)
	}
	return s.Ledger.Asked(ctx, r)
}

func (s sometimes) AcceptRequest(ctx context.Context, r ledger.Request) (ledger.Acceptance, error) {
	if db := s.away.Load(); db != nil {
		return db.Ledger.AcceptRequest(ctx, r)
	}
	return s.Ledger.AcceptRequest(ctx, r)
}

func (s settings) Current(ctx context.Context, issuer string) (*invoice.Settings, error) {
	if db := s.away.Load(); db != nil {
		return db.Settings.Current(ctx, issuer)
	}
	return s.Settings.Current(ctx, issuer)
}

func (r reports) of() api.Reports {
	if db := r.away.Load(); db != nil {
		return db.Reports
	}
	return r.Reports
}

func (r reports) JobStates(ctx context.Context, ids []string, ended bool) (map[string]*report.JobState, error) {
	return r.of().JobStates(ctx, ids, ended)
}

func (r reports) Numbered(ctx context.Context, issuers []string, number string) ([]report.Invoice, error) {
	return r.of().Numbered(ctx, issuers, number)
}

func (r reports) Jobs(ctx context.Context, f report.Filter, after string, limit int) (report.Page[report.ListedJob], error) {
	return r.of().Jobs(ctx, f, after, limit)
}

func (r reports) Invoices(ctx context.Context, f report.Filter, after string, limit int) (report.Page[report.Invoice], error) {
	return r.of().Invoices(ctx, f, after, limit)
}

func (r reports) Duplicates(ctx context.Context, f report.Filter, after string, limit int) (report.Page[report.ListedDuplicate], error) {
	return r.of().Duplicates(ctx, f, after, limit)
}

func (r reports) SeriesStates(ctx context.Context, issuers []string, name string, limit int) ([]report.Series, error) {
	return r.of().SeriesStates(ctx, issuers, name, limit)
}

func (i inquiries) Story(ctx context.Context, issuers []string, id string, limit int) (*report.Story, error) {
	if db := i.away.Load(); db != nil {
		_, err := db.Reports.Identify(ctx, issuers, id)
		return nil, err
	}
	return i.Inquiry.Story(ctx, issuers, id, limit)
}

func (f forecasts) Place(ctx context.Context, job *invoice.Job) (*invoice.Series, string, error) {
	if db := f.away.Load(); db != nil {
		_, err := db.Settings.Current(ctx, job.Issuer)
		return nil, "", err
	}
	return f.Forecaster.Place(ctx, job)
}

// forgetful loses answers of the ledger.
type forgetful struct {
	api.Ledger
	lost *atomic.Bool
}

func (f forgetful) AcceptRequest(ctx context.Context, r ledger.Request) (ledger.Acceptance, error) {
	accepted, err := f.Ledger.AcceptRequest(ctx, r)
	if f.lost.Load() && err == nil {
		return ledger.Acceptance{}, invoice.ErrUnavailable
	}
	return accepted, err
}

func (p payloads) Payload(ctx context.Context, issuers []string, jobID string) ([]byte, error) {
	if db := p.away.Load(); db != nil {
		return db.Reports.Payload(ctx, issuers, jobID)
	}
	return p.Payloads.Payload(ctx, issuers, jobID)
}

func (b bulks) of() api.Replays {
	if db := b.away.Load(); db != nil {
		return db.Replays
	}
	return b.Replays
}

func (b bulks) Begin(ctx context.Context, r *ledger.BulkReplay, key ledger.ReplayKey) (*ledger.BulkReplay, bool, error) {
	return b.of().Begin(ctx, r, key)
}

func (b bulks) Get(ctx context.Context, id string) (*ledger.BulkReplay, error) {
	return b.of().Get(ctx, id)
}

func (b bulks) List(ctx context.Context, before string, most int) ([]ledger.BulkReplay, error) {
	return b.of().List(ctx, before, most)
}

func (b bulks) Cancel(ctx context.Context, id string, by ledger.Actor) (*ledger.BulkReplay, error) {
	return b.of().Cancel(ctx, id, by)
}

func (e endpoints) Endpoints(ctx context.Context, counts bool) ([]outbox.Endpoint, error) {
	if db := e.away.Load(); db != nil {
		return db.Outbox.Endpoints(ctx, counts)
	}
	return e.endpointsOf.Endpoints(ctx, counts)
}

func (e endpoints) Add(ctx context.Context, one outbox.Endpoint, by ledger.Actor) error {
	if db := e.away.Load(); db != nil {
		return db.Outbox.Add(ctx, one, by)
	}
	return e.endpointsOf.Add(ctx, one, by)
}

func (h handed) Page(ctx context.Context, f handover.Filter, after string) (report.Page[handover.Handover], error) {
	if db := h.away.Load(); db != nil {
		return db.Handovers.Page(ctx, f, after)
	}
	return h.Handovers.Page(ctx, f, after)
}

func (h handed) List(ctx context.Context, f handover.Filter) ([]handover.Handover, error) {
	if db := h.away.Load(); db != nil {
		return db.Handovers.List(ctx, f)
	}
	return h.Handovers.List(ctx, f)
}
