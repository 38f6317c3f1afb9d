package doctor

import (
	"testing"

	"invoicer/invoice/postgres"
)

// Clocks are compared with each other, not only with this machine's, and no further than a reading is exact.
func TestClocksApart(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		clocks []Clock
		server string // which is ahead, "" if none is
	}{
		"that agree":                {[]Clock{{"p", 0.001, 0.3}, {"r", 0.001, -0.3}}, ""},
		"of which one is ahead":     {[]Clock{{"p", 0.001, 1.2}, {"r", 0.001, 0}}, "p"},
		"of which one is behind":    {[]Clock{{"p", 0.001, 0}, {"r", 0.001, -1.2}}, "this machine"},
		"on both sides of ours":     {[]Clock{{"p", 0.001, 0.6}, {"r", 0.001, -0.6}}, "p"},
		"that are ahead of ours":    {[]Clock{{"p", 0.001, 5}, {"r", 0.001, 5.1}}, "r"},
		"that can't be read so":     {[]Clock{{"p", 3, 1.2}}, ""},
		"of no server that answers": {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &Report{Clocks: test.clocks}
			compareClocks(r)
			found := ""
			for _, f := range r.Findings {
				found += f.Server
			}
			if found != test.server {
				t.Errorf("found %+v, want %q", r.Findings, test.server)
			}
		})
	}
}

// Dead rows are reported when there are many, and many beside the living.
func TestBloat(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		live, dead int64
		want       bool
	}{{0, 100_000, false}, {0, 100_001, true}, {300_000, 150_000, false}, {300_000, 150_001, true}} {
		if got := bloated(postgres.Table{Live: test.live, Dead: test.dead}); got != test.want {
			t.Errorf("%d dead beside %d living rows: %t", test.dead, test.live, got)
		}
	}
}

// Only what leaves this machine needs TLS.
func TestWhatCrossesTheNetwork(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{
		"/run/redis.sock": false, "127.0.0.1:6379": false, "[::1]:6379": false, "localhost:6379": false, "10.0.0.7:6379": true, "redis.example:6379": true,
	} {
		if got := crossesNetwork([]string{"127.0.0.1:1", addr}); got != want {
			t.Errorf("%s: %t", addr, got)
		}
	}
}
