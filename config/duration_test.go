package config

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDurations(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text     string
		want     time.Duration
		shortest string
	}{
		{"0", 0, "0s"},
		{"0d", 0, "0s"},
		{"90d", 90 * day, "90d"},
		{"1d12h", 36 * time.Hour, "36h"},
		{"24h", day, "24h"},
		{"48h", 2 * day, "2d"},
		{"90m", 90 * time.Minute, "1h30m"},
		{"1.5s", 1500 * time.Millisecond, "1.5s"},
		{"10m0s", 10 * time.Minute, "10m"},
		{"1h0m30s", time.Hour + 30*time.Second, "1h0m30s"},
		{"-5s", -5 * time.Second, "-5s"},
		{"106751d", 106751 * day, "106751d"},
	} {
		got, err := ParseDuration(tt.text)
		if err != nil || got != tt.want {
			t.Errorf("ParseDuration(%q) = %s, %v; want %s", tt.text, got, err, tt.want)
		}
		if text := FormatDuration(got); text != tt.shortest {
			t.Errorf("FormatDuration(%s) = %q, want %q", got, text, tt.shortest)
		}
	}
	for _, text := range []string{"", "15", "d", "-1d", "1d-1h", "1.5d", "1h1d", "1dd", "106752d", "106751d24h", "9223372036854775807d", "soon", "1 d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %s", text, got)
		}
	}
}

func TestFormattedDurationsReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.SampledFrom([]time.Duration{1, time.Millisecond, time.Second, time.Minute, time.Hour, day}).Draw(t, "unit")
		d := unit * time.Duration(rapid.Int64Range(0, 100_000).Draw(t, "count"))
		if got, err := ParseDuration(FormatDuration(d)); err != nil || got != d {
			t.Fatalf("%d ns → %q → %d ns, %v", d, FormatDuration(d), got, err)
		}
	})
}
