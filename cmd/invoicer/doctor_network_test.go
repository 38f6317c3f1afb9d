package main

import (
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/doctor"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// beyond makes a server reachable at an address of this machine that isn't loopback, and returns that address.
func beyond(t *testing.T, network, target string) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	must(t, err)
	own := ""
	for _, addr := range addrs {
		if in, ok := addr.(*net.IPNet); ok && in.IP.To4() != nil && !in.IP.IsLoopback() {
			own = in.IP.String()
		}
	}
	if own == "" {
		t.Skip("NOT TESTED: this machine has loopback addresses alone")
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(own, "0"))
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial(network, target)
			if err != nil {
				from.Close()
				continue
			}
			pass := func(to, from net.Conn) {
				defer to.Close()
				_, _ = io.Copy(to, from) // it ends as one of them does
			}
			go pass(to, from)
			go pass(from, to)
		}
	}()
	return listener.Addr().String()
}

// A connection to another machine without TLS is a warning, for each of the servers, and breaks nothing.
func TestDoctorWarnsOfConnectionsWithoutTLS(t *testing.T) {
	t.Parallel()
	s := newClinic(t).patient(t)
	if d := s.diagnose(t); len(d.of(doctor.Warning, "encryption")) > 0 {
		t.Errorf("connections that don't leave the machine: %+v", d.Findings)
	}
	config, err := pgx.ParseConfig(s.URL)
	must(t, err)
	network, target := pgconn.NetworkAddress(config.Host, config.Port)
	database := &url.URL{Scheme: "postgres", User: url.User(config.User), Host: beyond(t, network, target), Path: "/" + config.Database, RawQuery: "sslmode=disable"}
	o, err := redis.ParseURL(s.redisURL)
	must(t, err)
	remote := s.with("INVOICER_DATABASE_URL="+database.String(), "INVOICER_REDIS_URL=redis://"+beyond(t, o.Network, o.Addr)+"/0")
	d := remote.diagnose(t)
	const says = "the connection crosses the network without TLS"
	d.has(t, doctor.Warning, "encryption", "sslmode", "postgres at "+database.Host, says, "sslmode=verify-full")
	d.has(t, doctor.Warning, "encryption", "tls-port", "redis at ", says, "rediss://")
	if !d.OK {
		t.Errorf("something is broken: %+v, %q", d.of(doctor.Broken, ""), d.Problems)
	}
}

// Of several masters of a Redis Cluster each is looked at, and each finding names its own.
func TestDoctorLooksAtEachMaster(t *testing.T) {
	t.Parallel()
	addrs := sandboxtest.RedisMasters(t)
	s := newClinic(t).patient(t).with("INVOICER_REDIS_URL=redis-cluster://" + strings.Join(addrs, ","))
	d := s.diagnose(t)
	if !d.OK || len(d.Redis) != len(addrs) {
		t.Fatalf("%d masters, %+v, %q", len(d.Redis), d.Findings, d.Problems)
	}
	var shown []string
	for _, node := range d.Redis {
		shown = append(shown, strings.TrimPrefix(node.Server, "redis at "))
	}
	slices.Sort(addrs)
	if slices.Sort(shown); !slices.Equal(shown, addrs) {
		t.Errorf("masters %v are shown as %v", addrs, shown)
	}
	set := func(addr, setting, value string) {
		node := rig.Connect(t, "redis://"+addr+"/0")
		must(t, node.ConfigSet(t.Context(), setting, value).Err())
	}
	set(addrs[1], "maxmemory-policy", "allkeys-lru")
	set(addrs[2], "maxmemory", "1mb")
	d = s.diagnose(t)
	d.has(t, doctor.Broken, "eviction", "maxmemory-policy", "redis at "+addrs[1], "allkeys-lru")
	d.has(t, doctor.Broken, "memory", "maxmemory", "redis at "+addrs[2], "of 1 MB are used")
	for _, f := range d.of(doctor.Broken, "") {
		if strings.Contains(f.Server, addrs[0]) || f.Check == "eviction" && strings.Contains(f.Server, addrs[2]) {
			t.Errorf("a finding about a master that is fit: %+v", f)
		}
	}
}
