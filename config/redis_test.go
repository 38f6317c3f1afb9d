package config_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"invoicer/config"
)

func TestRedisOptions(t *testing.T) {
	t.Parallel()
	type options struct {
		Client             string // the type that NewUniversalClient makes
		Addrs              []string
		DB                 int
		Username, Password string
		Master             string
		SentinelUsername   string
		SentinelPassword   string
		TLS, SkipVerify    bool
		PoolSize           int
	}
	const (
		client  = "*redis.Client"
		cluster = "*redis.ClusterClient"
	)
	for _, tt := range []struct {
		url, addr string
		want      options
	}{
		{"redis://127.0.0.1:6379/0", "127.0.0.1:6379", options{Client: client, Addrs: []string{"127.0.0.1:6379"}}},
		{"redis://cache", "cache:6379", options{Client: client, Addrs: []string{"cache:6379"}}},
		{"redis://[::1]/", "[::1]:6379", options{Client: client, Addrs: []string{"[::1]:6379"}}},
		{"redis://[::1]:7000?db=4", "[::1]:7000", options{Client: client, Addrs: []string{"[::1]:7000"}, DB: 4}},
		{
			"redis://user:p%40ss%2Fword@cache:7000/3?pool_size=5", "cache:7000",
			options{Client: client, Addrs: []string{"cache:7000"}, DB: 3, Username: "user", Password: "p@ss/word", PoolSize: 5},
		},
		{"redis://:secret@cache", "cache:6379", options{Client: client, Addrs: []string{"cache:6379"}, Password: "secret"}},
		{
			"rediss://:secret@cache/1", "cache:6379",
			options{Client: client, Addrs: []string{"cache:6379"}, DB: 1, Password: "secret", TLS: true},
		},
		{"rediss://cache?skip_verify=true", "cache:6379", options{Client: client, Addrs: []string{"cache:6379"}, TLS: true, SkipVerify: true}},
		{"unix:///run/redis.sock", "/run/redis.sock", options{Client: client, Addrs: []string{"/run/redis.sock"}}},
		{
			"unix://user:secret@/run/a%40b.sock?db=2", "/run/a@b.sock",
			options{Client: client, Addrs: []string{"/run/a@b.sock"}, DB: 2, Username: "user", Password: "secret"},
		},
		{
			"redis-sentinel://s1,s2:7000/primary/2", "s1:26379,s2:7000/primary",
			options{Client: client, Addrs: []string{"s1:26379", "s2:7000"}, Master: "primary", DB: 2},
		},
		{
			"redis-sentinel://u:secret@s1:1,s2:2/primary?sentinel_username=su&sentinel_password=sp&pool_size=9", "s1:1,s2:2/primary",
			options{
				Client: client, Addrs: []string{"s1:1", "s2:2"}, Master: "primary", Username: "u", Password: "secret",
				SentinelUsername: "su", SentinelPassword: "sp", PoolSize: 9,
			},
		},
		{
			"rediss-sentinel://s1/primary", "s1:26379/primary",
			options{Client: client, Addrs: []string{"s1:26379"}, Master: "primary", TLS: true},
		},
		{"redis-cluster://c1", "c1:6379", options{Client: cluster, Addrs: []string{"c1:6379"}}},
		{"redis-cluster://c1,c2:7001/0", "c1:6379,c2:7001", options{Client: cluster, Addrs: []string{"c1:6379", "c2:7001"}}},
		{
			"rediss-cluster://u:secret@c1,c2", "c1:6379,c2:6379",
			options{Client: cluster, Addrs: []string{"c1:6379", "c2:6379"}, Username: "u", Password: "secret", TLS: true},
		},
	} {
		t.Run(tt.url, func(t *testing.T) {
			t.Parallel()
			r := config.Redis{URL: config.URL(tt.url)}
			opts, err := r.Options()
			if err != nil {
				t.Fatal(err)
			}
			c := redis.NewUniversalClient(opts)
			defer func() { _ = c.Close() }()
			got := options{
				Client: fmt.Sprintf("%T", c), Addrs: opts.Addrs, DB: opts.DB, Username: opts.Username, Password: opts.Password,
				Master: opts.MasterName, SentinelUsername: opts.SentinelUsername, SentinelPassword: opts.SentinelPassword,
				TLS: opts.TLSConfig != nil, PoolSize: opts.PoolSize,
			}
			if opts.TLSConfig != nil {
				got.SkipVerify = opts.TLSConfig.InsecureSkipVerify
				if opts.TLSConfig.ServerName != "" {
					t.Errorf("TLS would verify every host as %q", opts.TLSConfig.ServerName)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := r.Addr(); got != tt.addr {
				t.Errorf("Addr = %q, want %q", got, tt.addr)
			}
			if !opts.ContextTimeoutEnabled {
				t.Error("deadlines wouldn't bound commands")
			}
			if opts.MaintNotificationsConfig.Mode != maintnotifications.ModeDisabled {
				t.Error("maintenance notifications are on")
			}
		})
	}
}

func TestRedisClientKeepsOptions(t *testing.T) {
	t.Parallel()
	opts, err := config.Redis{URL: "unix:///run/redis.sock?db=3&read_timeout=7s"}.Options()
	if err != nil {
		t.Fatal(err)
	}
	c, ok := redis.NewUniversalClient(opts).(*redis.Client)
	if !ok {
		t.Fatal("not a client of one server")
	}
	defer func() { _ = c.Close() }()
	got := c.Options()
	if got.Network != "unix" || got.Addr != "/run/redis.sock" || got.DB != 3 {
		t.Errorf("client dials %s %s, database %d", got.Network, got.Addr, got.DB)
	}
	if got.ReadTimeout != 7*time.Second || got.WriteTimeout != 3*time.Second || got.DialTimeout != 3*time.Second || got.MaxRetries != 3 {
		t.Errorf("read %s, write %s, dial %s, %d retries", got.ReadTimeout, got.WriteTimeout, got.DialTimeout, got.MaxRetries)
	}
}

func TestRedisParametersOfEachForm(t *testing.T) {
	t.Parallel()
	client := func(url string) redis.UniversalClient {
		t.Helper()
		opts, err := config.Redis{URL: config.URL(url)}.Options()
		if err != nil {
			t.Fatal(err)
		}
		c := redis.NewUniversalClient(opts)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	const shared = "?pool_size=5&read_timeout=7s&dial_timeout=&conn_max_idle_time=1m&route_by_latency=true&dialer_retries=4"
	cluster, ok := client("rediss-cluster://c1" + shared + "&max_redirects=9&skip_verify=true").(*redis.ClusterClient)
	if !ok {
		t.Fatal("not a Cluster's client")
	}
	if got := cluster.Options(); !got.RouteByLatency || got.MaxRedirects != 9 || got.DialerRetries != 4 || got.PoolSize != 5 ||
		got.ReadTimeout != 7*time.Second || got.DialTimeout != 3*time.Second || got.ConnMaxIdleTime != time.Minute ||
		!got.TLSConfig.InsecureSkipVerify || got.Addrs[0] != "c1:6379" {
		t.Errorf("of a Cluster: %+v", got)
	}
	replicas, ok := client("redis-sentinel://s1/m/3" + shared).(*redis.ClusterClient)
	if !ok {
		t.Fatal("the Sentinels' client doesn't ask replicas")
	}
	if got := replicas.Options(); !got.RouteByLatency || got.PoolSize != 5 || got.ReadTimeout != 7*time.Second {
		t.Errorf("of Sentinels: %+v", got)
	}
}

// A field that UniversalOptions lacks is lost between the URL and the client. If go-redis gets a new one of that kind
// which its parsers set, refuse its parameter as adoptParameters does replica_only.
func TestRedisParametersAreNotLost(t *testing.T) {
	t.Parallel()
	known := []string{ // no parser sets them, or the address stands in Addrs, or the parameter is refused
		"Addr", "Network", "SentinelAddrs", "ReplicaOnly", "UseDisconnectedReplicas",
		"ClusterSlots", "ClusterStateReloadInterval", "DialerRetryBackoff", "DisableRoutingPolicies", "Limiter", "NewClient", "NodeAddress", "ShardPicker",
	}
	for _, parsed := range []any{redis.Options{}, redis.FailoverOptions{}, redis.ClusterOptions{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(parsed)) {
			place, ok := reflect.TypeFor[redis.UniversalOptions]().FieldByName(field.Name)
			if field.IsExported() && !slices.Contains(known, field.Name) && (!ok || place.Type != field.Type) {
				t.Errorf("%T has %s %s, and UniversalOptions doesn't", parsed, field.Name, field.Type)
			}
		}
	}
}

func TestBadRedisURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"cache:6379":                        "is not a URL of the form",
		"http://cache":                      "must start with redis://",
		"postgres://cache":                  "must start with redis://",
		"redisss://cache":                   "must start with redis://",
		"redis://":                          "names no host",
		"redis://:6379":                     "has an empty host (number 1)",
		"redis://a,b":                       "has several hosts",
		"redis://cache:0":                   "has a port that is no number from 1 to 65535 (host number 1)",
		"redis://cache:x":                   "has a port",
		"redis://::1":                       "has a host that is not of the form host:port (number 1)",
		"redis://cache/zero":                "has no valid database number",
		"redis://cache/-1":                  "has no valid database number",
		"redis://cache?db=-1":               "has no valid database number",
		"redis://cache/1/2":                 "has no valid database number",
		"redis://cache/1?db=2":              "names the database in its path and in its parameters",
		"redis://cache?colour=red":          "has a bad parameter: unexpected option: colour",
		"redis-cluster://c1?colour=red":     "has a bad parameter: unexpected option: colour; correct it or leave it out; docs/configuration.md lists the parameters",
		"redis-sentinel://s1/m?colour=red":  "has a bad parameter: unexpected option: colour; correct it or leave it out; docs/configuration.md lists the parameters",
		"redis://cache?route_randomly=true": "has a bad parameter: unexpected option: route_randomly",
		"redis-cluster://c1?addr=c2:1":      "has a bad parameter: unexpected option: addr",
		"redis-sentinel://s1/m?username=u":  "has a bad parameter: unexpected option: username",
		"rediss-cluster://c1?skip_verify=x": "has a bad parameter: invalid skip_verify boolean",
		"redis-cluster://c1?skip_verify=1":  "has a bad parameter: unexpected option: skip_verify",
		"redis://cache?pool_size=many":      "has a bad parameter: invalid pool_size number",
		"redis://cache?sentinel_password=x": "has a bad parameter; the reason isn't shown",
		"redis://cache?password=x":          "has a password among its parameters",
		"redis://cache/0#1":                 "is not a URL of the form",
		"unix://run/redis.sock":             "needs an absolute path with three slashes",
		"unix://":                           "needs an absolute path with three slashes",
		"unix:///":                          "needs an absolute path with three slashes",
		"redis-sentinel://s1,s2":            "lacks the master's name",
		"redis-sentinel://s1,s2/m/x":        "has no valid database number",
		"redis-sentinel:///m":               "names no host",
		"redis-cluster://c1,,c2":            "has an empty host (number 2)",
		"redis-cluster://c1/1":              "names a database",
		"redis-cluster://c1?db=1":           "names the database",
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			opts, err := config.Redis{URL: config.URL(url)}.Options()
			if err == nil {
				t.Fatalf("accepted as %+v", opts)
			}
			if !strings.HasPrefix(err.Error(), want) {
				t.Errorf("error %q, want %q", err, want)
			}
		})
	}
}
