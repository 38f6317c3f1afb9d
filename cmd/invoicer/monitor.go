package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"

	"invoicer/config"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/web"
	"invoicer/worker/queue"
)

// monitorConnections is the largest number of connections to Redis that the monitors open.
const monitorConnections = connectionsBeside

// monitorRedis is the client that the pages and the monitors share. It has few connections, because only visitors use it.
type monitorRedis struct{ client redis.UniversalClient }

func newMonitorRedis(cfg *config.Config) (monitorRedis, error) {
	o, err := cfg.Redis.Options()
	if err != nil {
		return monitorRedis{}, err
	}
	o.PoolSize = monitorConnections
	client := redis.NewUniversalClient(o)
	client.AddHook(&queue.OutageBackoff{})
	return monitorRedis{client}, nil
}

// MakeRedisClient implements asynq.RedisConnOpt.
func (r monitorRedis) MakeRedisClient() any { return r.client }

// newMonitor returns asynqmon, which shows payloads and results in brief, without personal data, and finds the task of a job by the
// job's id.
func newMonitor(rdb monitorRedis, store *postgres.DB, readOnly bool) http.Handler {
	return byJobID{store.Reports.TaskOf, asynqmon.New(asynqmon.Options{
		RootPath: web.MonitorPath, RedisConnOpt: rdb, ReadOnly: readOnly,
		PayloadFormatter: asynqmon.PayloadFormatterFunc(func(_ string, payload []byte) string { return payloadInBrief(payload) }),
		ResultFormatter:  asynqmon.ResultFormatterFunc(func(_ string, result []byte) string { return resultInBrief(result) }),
	})}
}

func payloadInBrief(payload []byte) string {
	brief, err := json.Marshal(invoice.Summarize(payload))
	if err != nil {
		return "not readable: " + err.Error()
	}
	return string(brief)
}

// resultInBrief returns what the monitor shows of a result, such as "created INV-2026-000017". A result that no worker has written isn't
// shown, as nobody knows what it holds.
func resultInBrief(result []byte) string {
	var r struct {
		Outcome       string `json:"outcome"`
		InvoiceNumber string `json:"invoice_number"`
		Reason        string `json:"reason"`
	}
	if len(result) == 0 {
		return ""
	}
	if err := json.Unmarshal(result, &r); err != nil || r.Outcome == "" {
		return "not a worker’s result"
	}
	if r.Reason != "" {
		r.Reason = "(" + r.Reason + ")"
	}
	return strings.Join(strings.Fields(r.Outcome+" "+r.InvoiceNumber+" "+r.Reason), " ")
}

// byJobID lets the monitor be asked for a task by the id of its job: the ledger's tasks have ids of their own, one for each time that
// their job was sent.
type byJobID struct {
	taskOf func(ctx context.Context, jobID string) (string, error) // "" if the ledger doesn't have the job
	next   http.Handler
}

// ServeHTTP implements [http.Handler].
func (m byJobID) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// If the database doesn't answer, the monitor says that there is no such task.
	if before, id, found := strings.Cut(r.URL.Path, "/tasks/"); found && r.Method == http.MethodGet && strings.HasPrefix(before, web.MonitorPath+"/api/queues/") {
		if task, err := m.taskOf(r.Context(), id); err == nil && task != "" {
			r = r.Clone(r.Context())
			r.URL = &url.URL{Path: before + "/tasks/" + task}
		}
	}
	m.next.ServeHTTP(w, r)
}
