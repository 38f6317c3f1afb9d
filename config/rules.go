package config

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// A rule compares two durations: key's must be longer than other's, or shorter if the rule says so.
type rule struct {
	key, other string
	shorter    bool
	because    string
}

func rules() []rule {
	return []rule{
		{
			key: "worker.shutdown_timeout", other: "worker.job_timeout",
			because: "or a stopping worker would abandon a job in mid-work",
		},
		{
			key: "lock.ttl", other: "worker.job_timeout",
			because: "or a lock could expire while its holder still works",
		},
		{
			key: "lock.wait", other: "worker.job_timeout", shorter: true,
			because: "or a job could spend all its time waiting",
		},
		{
			key: "idempotency.cache_ttl_max", other: "idempotency.cache_ttl_min",
			because: "or auto would have no choice",
		},
	}
}

// CheckQueues returns an [*Error] that names the queues that a worker is to consume and that lie on another Redis, nil if there are none.
func (c *Config) CheckQueues() error {
	if len(c.Redis.Queues) == 0 {
		return nil
	}
	var problems []Problem
	for _, name := range slices.Sorted(maps.Keys(c.Worker.Queues)) {
		if !slices.Contains(c.Redis.Queues, name) {
			problems = append(problems, Problem{Key: "worker.queues", Source: c.Origins["worker.queues"], Message: fmt.Sprintf("names the queue %q, which redis.queues doesn't: its jobs would never come; name it in both, or consume it where it lies", name)})
		}
	}
	if len(problems) > 0 {
		return &Error{Problems: problems}
	}
	return nil
}

func (r rule) holds(c *Config) bool {
	d, other := r.durations(c)
	if r.shorter {
		return d < other
	}
	return d > other
}

func (r rule) message(c *Config) string {
	d, other := r.durations(c)
	comparison, cure := "longer", "raise %s or lower %s"
	if r.shorter {
		comparison, cure = "shorter", "lower %s or raise %s"
	}
	return fmt.Sprintf("%s must be %s than %s (%s), %s; "+cure,
		FormatDuration(d), comparison, r.other, FormatDuration(other), r.because, r.key, r.other)
}

func (r rule) durations(c *Config) (d, other time.Duration) {
	keys := keysByName()
	at := func(name string) time.Duration {
		v, _ := keys[name].value(c).(duration)
		return *v.p
	}
	return at(r.key), at(r.other)
}

// tlsProblems returns what is wrong if only one of certificate and key is given.
func tlsProblems(c *Config) []Problem {
	switch cert, key := c.HTTP.TLSCert != "", c.HTTP.TLSKey != ""; {
	case cert && !key:
		return []Problem{{Key: "http.tls_key", Message: "is missing: http.tls_cert needs its private key"}}
	case key && !cert:
		return []Problem{{Key: "http.tls_cert", Message: "is missing: http.tls_key needs its certificate"}}
	}
	return nil
}
