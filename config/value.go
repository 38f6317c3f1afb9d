package config

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A value is the place of one key in a Config. Every source delivers text, so there is one spelling of each value, and
// one message when it is wrong.
type value interface {
	kind() string
	allowed() string

	// parse stores the text's meaning, or leaves the place as it was. Its errors read on from the quoted text
	// ("is not a whole number") and don't repeat it.
	parse(text string) error
	// text is what parse would read the same value from.
	text() string
	// native is the value as YAML and JSON write it: an int, a map, or a string.
	native() any
}

var errEmpty = errors.New("must not be empty")

type integer struct {
	p        *int
	min, max int
}

func (v integer) kind() string    { return "integer" }
func (v integer) allowed() string { return fmt.Sprintf("%d to %d", v.min, v.max) }
func (v integer) text() string    { return strconv.Itoa(*v.p) }
func (v integer) native() any     { return *v.p }

func (v integer) parse(text string) error {
	n, err := strconv.Atoi(text)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return fmt.Errorf("is not a whole number; allowed: %s", v.allowed())
	case err != nil || n < v.min || n > v.max:
		return fmt.Errorf("is out of range; allowed: %s", v.allowed())
	}
	*v.p = n
	return nil
}

type duration struct {
	p        *time.Duration
	min, max time.Duration
}

func (v duration) kind() string { return "duration" }
func (v duration) text() string { return formatDuration(*v.p) }
func (v duration) native() any  { return v.text() }

func (v duration) allowed() string {
	return fmt.Sprintf("%s to %s", formatDuration(v.min), formatDuration(v.max))
}

func (v duration) parse(text string) error {
	d, err := parseDuration(text)
	switch {
	case err != nil:
		return err
	case d < v.min || d > v.max:
		return fmt.Errorf("is out of range; allowed: %s", v.allowed())
	}
	*v.p = d
	return nil
}

type text struct{ p *string }

func (v text) kind() string    { return "text" }
func (v text) allowed() string { return "" }
func (v text) text() string    { return *v.p }
func (v text) native() any     { return *v.p }

func (v text) parse(text string) error {
	if text == "" {
		return errEmpty
	}
	*v.p = text
	return nil
}

type choice struct {
	p       *string
	options []string
}

func (v choice) kind() string { return "word" }
func (v choice) text() string { return *v.p }
func (v choice) native() any  { return *v.p }

func (v choice) allowed() string {
	words := slices.Clone(v.options)
	for i, word := range words {
		words[i] = cmp.Or(word, "empty")
	}
	return strings.Join(words, ", ")
}

func (v choice) parse(text string) error {
	if !slices.Contains(v.options, text) {
		return fmt.Errorf("is none of: %s", v.allowed())
	}
	*v.p = text
	return nil
}

type logLevel struct{ p *slog.Level }

func (v logLevel) kind() string    { return "word" }
func (v logLevel) allowed() string { return "debug, info, warn, error" }
func (v logLevel) text() string    { return strings.ToLower(v.p.String()) }
func (v logLevel) native() any     { return v.text() }

func (v logLevel) parse(text string) error {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if strings.EqualFold(text, level.String()) {
			*v.p = level
			return nil
		}
	}
	return fmt.Errorf("is none of: %s", v.allowed())
}

// weights are queues: critical=6,default=3,bulk=1.
type weights struct{ p *map[string]int }

const (
	maxWeight        = 1_000 // asynq keeps a list as long as the sum of all weights
	queueNameRule    = "a queue's name consists of a-z, 0-9, _ and -"
	queueWeightsForm = "write queues as critical=6,default=3"
)

func (v weights) kind() string { return "queues" }
func (v weights) allowed() string {
	return fmt.Sprintf("names of a-z 0-9 _ -, weights 1 to %d", maxWeight)
}
func (v weights) native() any { return *v.p }

// names lists the heaviest queue first.
func (v weights) names() []string {
	names := make([]string, 0, len(*v.p))
	for name := range *v.p {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare((*v.p)[b], (*v.p)[a]), cmp.Compare(a, b))
	})
	return names
}

func (v weights) text() string {
	pairs := v.names()
	for i, name := range pairs {
		pairs[i] = fmt.Sprintf("%s=%d", name, (*v.p)[name])
	}
	return strings.Join(pairs, ",")
}

func (v weights) parse(text string) error {
	if text == "" {
		return fmt.Errorf("names no queue; %s", queueWeightsForm)
	}
	queues := make(map[string]int)
	for pair := range strings.SplitSeq(text, ",") {
		name, weight, ok := strings.Cut(pair, "=")
		name, weight = strings.TrimSpace(name), strings.TrimSpace(weight)
		if !ok {
			return fmt.Errorf("gives %q no weight; %s", name, queueWeightsForm)
		}
		if !isQueueName(name) {
			return fmt.Errorf("has a queue %q; %s", name, queueNameRule)
		}
		if _, twice := queues[name]; twice {
			return fmt.Errorf("names the queue %q twice", name)
		}
		n, err := strconv.Atoi(weight)
		if err != nil || n < 1 || n > maxWeight {
			return fmt.Errorf("gives %q the weight %q; a weight is a whole number from 1 to %d", name, weight, maxWeight)
		}
		queues[name] = n
	}
	*v.p = queues
	return nil
}

func isQueueName(name string) bool { return regexp.MustCompile(`^[a-z0-9_-]+$`).MatchString(name) }

type schemaName struct{ p *string }

func (v schemaName) kind() string    { return "name" }
func (v schemaName) allowed() string { return "a-z 0-9 _, at most 63 characters, not pg_…" }
func (v schemaName) text() string    { return *v.p }
func (v schemaName) native() any     { return *v.p }

func (v schemaName) parse(text string) error {
	switch {
	case text == "":
		return errEmpty
	case !regexp.MustCompile(`^[a-z_][a-z0-9_]*$`).MatchString(text):
		return errors.New("is not a plain name; it starts with a-z or _ and goes on with a-z, 0-9 and _")
	case len(text) > 63:
		return errors.New("is longer than 63 characters")
	case strings.HasPrefix(text, "pg_") || text == "information_schema":
		return errors.New("belongs to Postgres; choose another name")
	}
	*v.p = text
	return nil
}

type timezone struct{ p *string }

func (v timezone) kind() string    { return "text" }
func (v timezone) allowed() string { return "a name such as UTC or Europe/Berlin" }
func (v timezone) text() string    { return *v.p }
func (v timezone) native() any     { return *v.p }

func (v timezone) parse(text string) error {
	if text == "" {
		return errEmpty
	}
	// Two machines with different local times would number the same invoice differently.
	if _, err := time.LoadLocation(text); err != nil || text == "Local" {
		return errors.New("is not a time zone; use a name such as UTC or Europe/Berlin")
	}
	*v.p = text
	return nil
}

type listenAddr struct{ p *string }

func (v listenAddr) kind() string    { return "host:port" }
func (v listenAddr) allowed() string { return "host:port, empty" }
func (v listenAddr) text() string    { return *v.p }
func (v listenAddr) native() any     { return *v.p }

func (v listenAddr) parse(text string) error {
	if text != "" {
		_, port, err := net.SplitHostPort(text)
		if err != nil {
			return errors.New("is not host:port; write 127.0.0.1:8080, or :8080 for all interfaces, or nothing for off")
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return errors.New("has no port from 0 to 65535")
		}
	}
	*v.p = text
	return nil
}

type redisURL struct{ p *URL }

func (v redisURL) kind() string { return "url" }
func (v redisURL) allowed() string {
	return "redis://, rediss://, unix://, redis-sentinel://, redis-cluster://"
}
func (v redisURL) text() string { return string(*v.p) }
func (v redisURL) native() any  { return v.p.String() }

func (v redisURL) parse(text string) error {
	if text == "" {
		return errEmpty
	}
	if _, err := (Redis{URL: URL(text)}).Options(); err != nil {
		return err
	}
	*v.p = URL(text)
	return nil
}

type databaseURL struct{ p *URL }

func (v databaseURL) kind() string    { return "url" }
func (v databaseURL) allowed() string { return "postgres://, postgresql://" }
func (v databaseURL) text() string    { return string(*v.p) }
func (v databaseURL) native() any     { return v.p.String() }

func (v databaseURL) parse(text string) error {
	if text == "" {
		return errEmpty
	}
	if _, err := (Database{URL: URL(text)}).parse(); err != nil {
		return err
	}
	*v.p = URL(text)
	return nil
}
