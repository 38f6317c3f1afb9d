package main

import (
	"context"
	"math/rand/v2"

	"invoicer/events"
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
	return events.New(events.Options{
		Outbox: w.store.Outbox, Secrets: secrets, Allow: w.cfg.Events.Networks(), Version: buildVersion().Version,
		Attempted: m.ObserveDelivery, Seen: m.SeeEndpoints, Random: rand.Float64, Logger: w.log,
	})
}
