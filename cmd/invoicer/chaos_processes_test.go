package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"invoicer/events"
	"invoicer/internal/chaos"
	"invoicer/internal/checker"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
	"invoicer/invoice"
)

// Many processes of several kinds share the work on a Redis of several servers, whose masters die in mid-load. Each transaction that came by HTTP or
// by SQL gets one invoice, the numbers have no gap, and the service that asked gets the event.
func TestChaosManyProcesses(t *testing.T) {
	t.Parallel()
	if *chaosSeed > 0 {
		t.Skip("-chaos.seed asks for one seed alone")
	}
	counts := map[string][]int{"cluster": {1, 2, 4, 8}, "sentinel": {1, 2, 4, 8}}
	if !everything() {
		counts = map[string][]int{"cluster": {4}, "sentinel": {2}}
	}
	var scenes []scene
	for kind, start := range map[string]func(*testing.T) *manyServers{"cluster": onCluster, "sentinel": behindSentinel} {
		for _, n := range counts[kind] {
			scenes = append(scenes, scene{fmt.Sprintf("%s, %d workers", kind, n), func(t *testing.T) { playMany(t, start(t), n) }})
		}
	}
	playTogether(t, scenes)
}

// manyServers are a Redis of several servers.
type manyServers struct {
	url string
	// losses kill a master each, and return when another one has taken its place.
	losses []func(t *testing.T)
}

// onCluster loses two of three masters, one after the other, as a Cluster can.
func onCluster(t *testing.T) *manyServers {
	t.Helper()
	c := sandboxtest.RedisCluster(t)
	m := &manyServers{url: c.URL()}
	for i := range 2 {
		replica := redis.NewClient(&redis.Options{Addr: c.Addrs[i+3]})
		t.Cleanup(func() { replica.Close() })
		m.losses = append(m.losses, func(t *testing.T) {
			t.Helper()
			must(t, c.Servers[i].Kill())
			rig.Eventually(t, "the replica is a master, and the Cluster whole", func() bool {
				return strings.Contains(replica.Info(t.Context(), "replication").Val(), "role:master") &&
					strings.Contains(replica.ClusterInfo(t.Context()).Val(), "cluster_state:ok")
			})
			must(t, c.Servers[i].Restart(t.Context())) // it follows the one that took its place
		})
	}
	return m
}

// behindSentinel loses the master that Sentinel names.
func behindSentinel(t *testing.T) *manyServers {
	t.Helper()
	master, masterAddr := startTCPRedis(t)
	_, replicaAddr := startTCPRedis(t)
	host, port, _ := strings.Cut(masterAddr, ":")
	replica := redis.NewClient(&redis.Options{Addr: replicaAddr})
	t.Cleanup(func() { replica.Close() })
	must(t, replica.ReplicaOf(t.Context(), host, port).Err())
	rig.Eventually(t, "the replica follows", func() bool {
		return strings.Contains(replica.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	sentinel, err := servers.StartSentinel(t.Context(), masterAddr, "main")
	must(t, err)
	t.Cleanup(func() { sentinel.Close() })
	where, err := url.Parse(sentinel.URL)
	must(t, err)
	watch := redis.NewSentinelClient(&redis.Options{Addr: where.Host})
	t.Cleanup(func() { watch.Close() })
	rig.Eventually(t, "the sentinel knows the replica", func() bool {
		replicas, err := watch.Replicas(t.Context(), "main").Result()
		return err == nil && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
	})
	return &manyServers{url: sentinel.URL, losses: []func(*testing.T){func(t *testing.T) {
		t.Helper()
		must(t, master.Kill())
		rig.Eventually(t, "the replica is the master", func() bool {
			return strings.Contains(replica.Info(t.Context(), "replication").Val(), "role:master")
		})
	}}}
}

// playMany has that many workers, and a process that only serves, work on what comes in while masters are lost.
func playMany(t *testing.T, many *manyServers, workers int) {
	t.Helper()
	seed := uint64(400 + workers)
	t.Logf("seed %d", seed)
	secret := events.NewSecret()
	h := startHearing(t, secret)
	x := newTrial(t, newSite(t, many.url))
	x.site = x.with(
		`INVOICER_EVENTS_ENDPOINTS=[{"name":"erp","url":"`+h.URL+`/hook","secret":"`+secret+`","types":["invoice.created","credit_note.created"]}]`,
		"INVOICER_EVENTS_ALLOW=127.0.0.1")
	all := newAskings(t, chaos.NewRand(seed), 400, 4, 3)
	running := []*process{x.start(t, "worker")}
	running[0].await(t, "worker started") // the endpoint is known from here on
	for range workers - 1 {
		running = append(running, x.start(t, "worker"))
	}
	served := x.start(t, "serve")
	for _, p := range append(running, served) {
		p.awaitReadyz(t, http.StatusOK)
	}
	base := served.pages(t) + "/v1/jobs?queue=" + url.QueryEscape(x.queue)
	part := (len(all) + len(many.losses)) / (len(many.losses) + 1)
	for i, lose := range append(many.losses, func(*testing.T) {}) {
		some := all[min(i*part, len(all)):min((i+1)*part, len(all))]
		var sending errgroup.Group
		sending.Go(func() error { return x.post(t.Context(), base, some) })
		rig.Eventually(t, "more jobs have ended", func() bool {
			n, err := x.ended()
			return err == nil && n >= i*part/2+10
		})
		lose(t)
		if err := sending.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	x.settle(t)
	rig.Within(t, trialPatience, func() error {
		x.change(t, `UPDATE event_deliveries d SET due_at = now() FROM (SELECT event_id FROM event_deliveries WHERE state = 'pending' AND due_at > now() + interval '1 second' AND attempts > 0
ORDER BY event_id FOR UPDATE) AS late WHERE d.event_id = late.event_id`)
		heard, forged := h.count()
		if want := x.Count(t, "SELECT count(*) FROM invoices"); heard != want || forged > 0 {
			return fmt.Errorf("%d invoices were heard of, of %d, and %d weren't signed; deliveries: %s", heard, want, forged,
				x.Text(t, "SELECT string_agg(told, '; ') FROM (SELECT concat_ws(' ', count(*), state, attempts, min(due_at), error) AS told FROM event_deliveries GROUP BY state, attempts, error) AS d"))
		}
		return nil
	})
	served.signal(t, syscall.SIGTERM)
	if code := served.exit(t); code != exitOK {
		t.Errorf("serve: exit code %d", code)
	}
	x.stopAll(t, running)
	report := x.verdict(t)
	if report.Ledger != len(all) || report.Invoices == 0 || report.Invalid != 3 {
		t.Errorf("%d of %d jobs are known, %d invoices, %d invalid", report.Ledger, len(all), report.Invoices, report.Invalid)
	}
	made := x.Count(t, "SELECT count(DISTINCT worker) FROM producer_counts")
	if made < min(workers, 2) {
		t.Errorf("%d of %d workers have made invoices", made, workers)
	}
	t.Logf("%d invoices by %d of %d workers, %d jobs by HTTP", report.Invoices, made, workers, len(all)-3)
}

// post asks for invoices by HTTP, as a service does that repeats blindly what isn't answered. What the API would refuse is accepted
// by SQL.
func (x *trial) post(ctx context.Context, address string, all []chaos.Asking) error {
	jobs := make([]checker.Job, len(all))
	var sending errgroup.Group
	sending.SetLimit(8)
	for i, a := range all {
		if a.Fingerprint == "" {
			if err := x.accept(ctx, all[i:i+1]); err != nil {
				return err
			}
			continue
		}
		job, err := invoice.Decode(a.Payload)
		if err != nil {
			return err
		}
		kept, err := job.Encode() // the API keeps a job in its usual form
		if err != nil {
			return err
		}
		key := uuid.NewString()
		sending.Go(func() error {
			for begun := time.Now(); ; {
				id, err := postOnce(ctx, address, key, a.Payload)
				if err == nil {
					jobs[i] = checker.Job{ID: id, Ledger: true, Payload: kept}
					return nil
				}
				if time.Since(begun) > time.Minute || ctx.Err() != nil {
					return err
				}
			}
		})
	}
	err := sending.Wait()
	for _, j := range jobs {
		if j.ID != "" {
			x.jobs = append(x.jobs, j)
		}
	}
	return err
}

// postOnce returns the id of the job that was accepted.
func postOnce(ctx context.Context, address, key string, payload []byte) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(payload))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", strconv.Quote(key))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	var accepted struct {
		JobID string `json:"job_id"`
	}
	if err := json.Unmarshal(body, &accepted); err != nil || accepted.JobID == "" || answer.StatusCode != http.StatusAccepted {
		return "", errors.Join(err, fmt.Errorf("%s: %s", answer.Status, body))
	}
	return accepted.JobID, nil
}
