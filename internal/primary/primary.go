// Package primary finds the primary that counts among the hosts of a URL. After a failover an old one that was cut off, or that nobody has
// stopped, still takes connections and writes.
package primary

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// TimeoutOfHost bounds the try of one of several hosts, since the one that hangs is most likely not the one that is meant.
const TimeoutOfHost = 2 * time.Second

// A Lineage is whose history a primary has. Each promotion begins another timeline.
type Lineage struct {
	System   string // the cluster's identifier
	Timeline int64
}

// Select selects a lineage. It fails on a standby, and where a managed server keeps it to itself.
const Select = `SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system,
    ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint AS timeline`

// Of asks a server for its lineage. It returns false if that can't be read.
func Of(ctx context.Context, conn *pgconn.PgConn) (of Lineage, ok bool) {
	result := conn.ExecParams(ctx, Select, nil, nil, nil, nil).Read()
	if result.Err != nil || len(result.Rows) != 1 {
		return Lineage{}, false
	}
	timeline, err := strconv.ParseInt(string(result.Rows[0][1]), 10, 64)
	return Lineage{System: string(result.Rows[0][0]), Timeline: timeline}, err == nil
}

// Hosts returns a configuration for each host of a URL.
func Hosts(config *pgconn.Config) (hosts []*pgconn.Config) {
	type host struct {
		name string
		port uint16
	}
	ways := make(map[host]*pgconn.Config)
	add := func(f *pgconn.FallbackConfig) {
		if one := ways[host{f.Host, f.Port}]; one != nil { // with sslmode=prefer, pgx has each with TLS and without
			one.Fallbacks = append(one.Fallbacks, f)
			return
		}
		one := config.Copy()
		one.Host, one.Port, one.TLSConfig, one.Fallbacks, one.ValidateConnect = f.Host, f.Port, f.TLSConfig, nil, nil
		one.ConnectTimeout = TimeoutOfHost
		ways[host{f.Host, f.Port}] = one
		hosts = append(hosts, one)
	}
	add(&pgconn.FallbackConfig{Host: config.Host, Port: config.Port, TLSConfig: config.TLSConfig})
	for _, f := range config.Fallbacks {
		add(f)
	}
	return hosts
}

// Newest asks each host, and returns the newest lineage of the primaries that have the history of known's system, or of any if known is
// zero and they all have the same: the zero Lineage if there is none. It also returns the host. It returns once one is newer than known,
// or all have answered, which takes 2 s at most, and that only where a host hangs.
func Newest(ctx context.Context, hosts []*pgconn.Config, known Lineage) (newest Lineage, at *pgconn.Config) {
	ctx, cancel := context.WithTimeout(ctx, TimeoutOfHost)
	defer cancel()
	system := known.System
	found := make([]Lineage, len(hosts))
	var asking sync.WaitGroup
	for i, host := range hosts {
		asking.Go(func() {
			conn, err := pgconn.ConnectConfig(ctx, host)
			if err != nil {
				return // one of the others may be the primary
			}
			defer func() { _ = conn.Close(ctx) }() // nothing is lost with it
			if of, ok := Of(ctx, conn); ok {
				found[i] = of
				if system != "" && of.System == system && of.Timeline > known.Timeline {
					cancel() // the others needn't answer
				}
			}
		})
	}
	asking.Wait()
	for i, of := range found {
		switch {
		case of.System == "" || system != "" && of.System != system:
		case newest.System != "" && of.System != newest.System:
			return Lineage{}, nil // servers that have nothing to do with each other
		case of.Timeline > newest.Timeline:
			newest, at = of, hosts[i]
		}
	}
	return newest, at
}

// Choose has a configuration of several hosts lead to the primary that was promoted last, if any of them is a primary.
func Choose(ctx context.Context, config *pgconn.Config) {
	hosts := Hosts(config)
	if len(hosts) < 2 {
		return
	}
	if _, at := Newest(ctx, hosts, Lineage{}); at != nil {
		config.Host, config.Port, config.TLSConfig, config.Fallbacks = at.Host, at.Port, at.TLSConfig, at.Fallbacks
	}
}
