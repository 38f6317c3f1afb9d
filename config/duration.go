package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads a duration as the configuration spells it: what time.ParseDuration reads, and days: 90d.
func ParseDuration(text string) (time.Duration, error) { return parseDuration(text) }

// FormatDuration writes a duration as the configuration spells it, in its shortest form.
func FormatDuration(d time.Duration) string { return formatDuration(d) }

// parseDuration reads what time.ParseDuration reads, and whole days in front of it: 90d, 1d12h.
func parseDuration(text string) (time.Duration, error) {
	errSyntax := errors.New("is not a duration; write a number with its unit, such as 200ms, 15s, 10m, 24h or 90d")

	var days time.Duration
	rest := text
	if number, after, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return 0, errSyntax
		}
		if n > uint64(math.MaxInt64/day) {
			return 0, errors.New("is too long; 106751d is the most")
		}
		days, rest = time.Duration(n)*day, after
		if rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || days > 0 && (d < 0 || days+d < 0) {
		return 0, errSyntax
	}
	return days + d, nil
}

// formatDuration writes the shortest text that parseDuration reads back: 90d, 24h, 1m30s.
func formatDuration(d time.Duration) string {
	if d >= 2*day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
