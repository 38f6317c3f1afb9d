package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"invoicer/config"
	"invoicer/internal/documents"
	"invoicer/internal/health"
	"invoicer/internal/inquiry"
	"invoicer/internal/lifecycle"
	"invoicer/internal/links"
	"invoicer/internal/metrics"
	"invoicer/internal/races"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/web"
	"invoicer/web/access"
	"invoicer/web/api"
	"invoicer/web/pages"
	"invoicer/worker/dispatch"
)

// servedPages are the pages of a worker, with their connections, which must be closed.
type servedPages struct {
	*web.Pages
	shown *pages.Pages
	api   *servedAPI
	store *postgres.DB
	redis monitorRedis
}

// openPages listens on the address, and returns nil if that is empty. The pages answer once their part runs. They share what is known of
// producers with the rest of the process.
func openPages(
	ctx context.Context, cfg *config.Config, addr string, h *health.Health, m *metrics.Metrics, producers *races.Follower, log *slog.Logger,
) (_ *servedPages, err error) {
	if addr == "" {
		return nil, nil
	}
	p := &servedPages{}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.redis, err = newMonitorRedis(cfg); err != nil {
		return nil, err
	}
	turns := newTurns()
	reporter, err := p.show(cfg, producers, turns, log)
	if err != nil {
		return nil, err
	}
	if p.api, err = openAPI(ctx, cfg, reporter, turns, m, log); err != nil {
		return nil, err
	}
	p.Pages, err = web.Open(ctx, web.Options{
		Addr: addr, Room: roomForVisitors(cfg), TLSCert: cfg.HTTP.TLSCert, TLSKey: cfg.HTTP.TLSKey,
		Access: access.Options{
			Insecure: cfg.HTTP.Insecure, Hosts: cfg.HTTP.Hosts, OpenMetrics: cfg.HTTP.Metrics == "open", Tokens: validTokens(cfg, p.store),
			OIDC: openIDProvider(cfg.HTTP.OIDC), Programs: api.Prefix, Open: links.Path,
		},
		Ready: h, Metrics: promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true}), // which alone has exemplars
		Monitor:     newMonitor(p.redis, p.store, false),
		MonitorRead: newMonitor(p.redis, p.store, true),
		Routes:      append(p.api.Routes(), web.Route{Pattern: "/", Role: access.Read, Within: true, Handler: p.shown}),
		Pprof:       cfg.HTTP.Pprof == "on", Logger: log,
	})
	if unusable := new(web.CertificateError); errors.As(err, &unusable) {
		return nil, fmt.Errorf("http.tls_cert %s and http.tls_key %s can't be used: %w", cfg.HTTP.TLSCert, cfg.HTTP.TLSKey, err)
	}
	if err != nil {
		return nil, fmt.Errorf("http.addr %s can't be used (%w): choose another one, or leave it empty to turn the pages off", addr, errors.Unwrap(err))
	}
	return p, nil
}

// openIDProvider returns how people sign in with an OpenID provider, or nil if none is configured.
func openIDProvider(o config.OIDC) *access.OIDC {
	if o.Issuer == "" {
		return nil
	}
	return &access.OIDC{
		Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: string(o.ClientSecret), BaseURL: o.BaseURL, Scopes: o.Scopes,
		GroupsClaim: o.GroupsClaim, Read: o.Read, Operate: o.Operate, Session: o.Session,
	}
}

// visitorConnections is the largest number of connections to Postgres that the pages open. They are not those of the workers, so that
// visitors can't hold up invoices.
const visitorConnections = 4

// show makes the pages, with a store of their own.
func (p *servedPages) show(cfg *config.Config, producers *races.Follower, turns *documents.Turns, log *slog.Logger) (reporter *inquiry.Reporter, err error) {
	o, err := storeOptions(cfg)
	if err != nil {
		return nil, err
	}
	o.MaxConns, o.Producers = visitorConnections, producers
	if p.store, err = postgres.Open(o); err != nil {
		return nil, err
	}
	numbering, err := invoice.NewNumbering(cfg.Numbering)
	if err != nil {
		return nil, err
	}
	if reporter, err = newReporter(cfg, p.store, p.redis.client); err != nil {
		return nil, err
	}
	forecaster := invoice.NewForecaster(invoice.NewGenerator(p.store.Invoices, numbering))
	maker, err := newMaker(cfg, p.store)
	if err != nil {
		return nil, err
	}
	maker.Turns = turns
	p.shown, err = pages.New(pages.Options{
		Reports: p.store.Reports, Lists: p.store.Reports, Issuers: p.store.Issuers, Inquiry: reporter, Failures: p.store.Ledger, Actions: p.store.Ledger, Events: p.store.Outbox,
		Controller: inquiry.Controller{Record: p.store.Ledger, Redis: p.redis.client, DatabaseID: p.store.DatabaseID, Issuers: p.store.Issuers.Codes},
		Documents:  maker, Kept: p.store.Documents, Handovers: p.store.Handovers, InvoiceSeries: cfg.Numbering.InvoiceSeries,
		Replays:     p.store.Replays,
		ReplayBegun: func() { p.api.bulk.Begun() },
		Replayer:    dispatch.NewReplayer(p.store.Ledger, forecaster), DatabaseTime: p.store.Now, Visitor: visitor(cfg), Place: cfg.Database.Schema + " in " + cfg.Database.Addr(), Logger: log,
	})
	return reporter, err
}

// parts are the parts of a process that serve the pages and the API.
func (p *servedPages) parts() lifecycle.Stage { return append(p.api.parts(), p.Part()) }

func (p *servedPages) close() {
	if p == nil {
		return
	}
	if p.Pages != nil {
		p.Close()
	}
	if p.shown != nil {
		p.shown.Close()
	}
	p.api.close()
	if p.store != nil {
		_ = p.store.Close()
	}
	if p.redis.client != nil {
		_ = p.redis.client.Close()
	}
}

// visitor returns who sent a request, for the pages. Nothing is known of visitors on this machine, so these say their names themselves.
func visitor(cfg *config.Config) func(r *http.Request) pages.Visitor {
	sees := cfg.HTTP.PersonalData
	return func(r *http.Request) pages.Visitor {
		v := access.Of(r)
		seen := pages.Visitor{MayAct: v.May(access.Operate), MaySeePersonalData: sees != "hidden" && v.May(access.Role(sees)), Issuers: v.Issuers}
		if !v.Local() {
			seen.Name = v.Name
		}
		return seen
	}
}

// validTokens returns a function that reads the valid tokens from the store. If the role may not read them, its error says what to
// grant.
func validTokens(cfg *config.Config, store *postgres.DB) func(context.Context) ([]access.Token, error) {
	return func(ctx context.Context) ([]access.Token, error) {
		read := time.Now()
		active, err := store.Tokens.Active(ctx)
		if forbidden(err) {
			lacking, otherwise := store.Lacking(ctx, []postgres.Right{{Kind: "table", Name: "tokens", Privileges: []string{"SELECT"}}})
			if otherwise == nil && len(lacking.Grants) > 0 {
				return nil, fmt.Errorf("role %s may not read table tokens: as %s, run %s", lacking.Role, lacking.Owner, strings.Join(lacking.Grants, " "))
			}
		}
		if err != nil {
			return nil, withoutTables(cfg.Database.Schema, err)
		}
		tokens := make([]access.Token, len(active))
		for i, a := range active {
			t := access.Token{ID: a.ID, Hash: a.Hash, Visitor: access.Visitor{Name: a.Name, Producer: a.Producer, Issuers: a.Issuers}}
			for _, role := range a.Roles {
				t.Roles = append(t.Roles, access.Role(role))
			}
			if a.Expires {
				t.Until = read.Add(a.Left)
			}
			tokens[i] = t
		}
		return tokens, nil
	}
}

// roomForVisitors returns how many connections the pages may have, so that enough descriptors are left for the work.
func roomForVisitors(cfg *config.Config) int {
	const fewest, files = 8, 64
	limit := descriptors()
	if limit == 0 {
		return web.MostVisitors
	}
	work := cfg.Worker.Concurrency + connectionsBeside + len(cfg.Worker.Queues) + mostDatabaseConnections + visitorConnections + apiConnections + 2*apiSends + monitorConnections + files
	return max(fewest, min((limit-work)/2, web.MostVisitors))
}
