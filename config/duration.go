package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseDuration parses a duration in the configuration's format: that of [time.ParseDuration], with whole days in front
// in addition: 90d, 1d12h.
func ParseDuration(text string) (time.Duration, error) {
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

// FormatDuration returns the shortest text that [ParseDuration] parses to d: 90d, 24h, 1m30s.
func FormatDuration(d time.Duration) string {
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
