package main

import (
	"os"
	"strconv"

	"invoicer/config"
	"invoicer/internal/lifecycle"
	"invoicer/internal/report"
	"invoicer/migrations"
	"invoicer/worker/queue"
)

// newPresence returns the presence of a worker in Redis, and the part that keeps it.
func (w *workplace) newPresence(name string, queues map[string]int) (*queue.Presence, lifecycle.Part, error) {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	presence, err := queue.NewPresence(w.redis, report.Worker{
		Name: name, Host: host, PID: os.Getpid(), Version: buildVersion().Version, Migration: migrations.Newest(), Installation: w.databaseID, Schema: w.cfg.Database.Schema,
		Queues: queues, Concurrency: w.cfg.Worker.Concurrency, Settings: settingsOf(w.cfg),
	}, w.log)
	if err != nil {
		return nil, lifecycle.Part{}, err
	}
	return presence, lifecycle.Part{Name: "the presence of worker " + name, Run: presence.Run}, nil
}

// settingsOf returns the settings that should be the same for all workers of an installation. None is a secret.
func settingsOf(cfg *config.Config) map[string]string {
	n := cfg.Numbering
	settings := map[string]string{
		"idempotency.cache_ttl":        cfg.Idempotency.CacheTTL.String(),
		"lock.ttl":                     cfg.Lock.TTL.String(),
		"lock.wait":                    cfg.Lock.Wait.String(),
		"numbering.credit_note_series": n.CreditNoteSeries,
		"numbering.format":             n.Format,
		"numbering.invoice_series":     n.InvoiceSeries,
		"numbering.period":             n.Period,
		"numbering.timezone":           n.Timezone,
		"worker.concurrency":           strconv.Itoa(cfg.Worker.Concurrency),
		"worker.direct":                cfg.Worker.Direct,
		"worker.job_timeout":           cfg.Worker.JobTimeout.String(),
		"worker.max_retry":             strconv.Itoa(cfg.Worker.MaxRetry),
		"worker.queues":                weights(cfg.Worker.Queues),
		"worker.retention":             cfg.Worker.Retention.String(),
		"worker.shutdown_timeout":      cfg.Worker.ShutdownTimeout.String(),
	}
	if i := cfg.Idempotency; i.CacheTTL == config.Auto {
		settings["idempotency.cache_ttl"] = "auto"
		settings["idempotency.cache_quantile"] = strconv.FormatFloat(i.CacheQuantile, 'g', -1, 64)
		settings["idempotency.cache_ttl_min"], settings["idempotency.cache_ttl_max"] = i.CacheTTLMin.String(), i.CacheTTLMax.String()
	}
	return settings
}
