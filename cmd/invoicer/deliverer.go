package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"invoicer/config"
	"invoicer/events"
	"invoicer/internal/links"
	"invoicer/internal/metrics"
	"invoicer/invoice/outbox"
)

// newDeliverer makes the configured endpoints known, and returns what posts events to all of them.
func (w *workplace) newDeliverer(ctx context.Context, m *metrics.Metrics) (*events.Deliverer, error) {
	var endpoints []outbox.Endpoint
	secrets := make(map[string][]string)
	for i := range w.cfg.Events.Endpoints {
		e := &w.cfg.Events.Endpoints[i]
		endpoints = append(endpoints, outbox.Endpoint{Name: e.Name, URL: e.URL, Types: e.Types, Issuers: e.Issuers})
		secrets[e.Name] = e.Secrets()
	}
	if err := w.store.Outbox.Configure(ctx, endpoints, w.cfg.Events.Record); err != nil {
		return nil, err
	}
	link, err := newLinker(w.cfg)
	if err != nil {
		return nil, err
	}
	return events.New(events.Options{
		Outbox: w.store.Outbox, Secrets: secrets, Link: link, Allow: w.cfg.Events.Networks(), Version: buildVersion().Version,
		Attempted: m.ObserveDelivery, Seen: m.SeeEndpoints, Random: rand.Float64, Logger: w.log,
	})
}

// newLinks returns what makes links to documents and reads them, or nil if there are none.
func newLinks(cfg *config.Config) (*links.Links, error) {
	l := &cfg.Documents.Links
	if l.URL == "" {
		return nil, nil //nolint:nilnil // none is a choice
	}
	return links.New(l.URL, l.Secrets(), l.Lifetime)
}

// newLinker returns what gives events of documents a link, for the endpoints of the configuration that are to get one. Who adds an endpoint by the API or a
// command may not be allowed to see documents.
func newLinker(cfg *config.Config) (func(*outbox.Endpoint, *outbox.Event) (string, time.Time, error), error) {
	made, err := newLinks(cfg)
	if made == nil {
		return nil, err
	}
	wanted := make(map[string]bool)
	for i := range cfg.Events.Endpoints {
		wanted[cfg.Events.Endpoints[i].Name] = cfg.Events.Endpoints[i].Documents
	}
	return func(to *outbox.Endpoint, e *outbox.Event) (string, time.Time, error) {
		if to.Origin != outbox.OfConfiguration || !wanted[to.Name] || e.Type != outbox.InvoiceCreated && e.Type != outbox.CreditNoteCreated {
			return "", time.Time{}, nil
		}
		var data struct {
			Number string `json:"invoice_number"`
		}
		if err := json.Unmarshal(e.Data, &data); err != nil {
			return "", time.Time{}, fmt.Errorf("its document can't be linked to: %w", err)
		}
		return made.Make(time.Now(), e.Issuer, data.Number, to.Name)
	}, nil
}
