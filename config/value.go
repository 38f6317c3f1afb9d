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

	"invoicer/invoice"
	"invoicer/worker/queue"
)

// A value is the field of one key in a Config. Every source provides text, so each value has one spelling, and one
// message if it is wrong.
type value interface {
	// form returns the value's type in a word, and the allowed values.
	form() (kind, allowed string)
	// parse parses the text and sets the field, or leaves it unchanged if it returns an error. The errors continue a
	// sentence that begins with the quoted text ("is not a whole number").
	parse(text string) error
	// native returns the value as YAML and JSON represent it: an int, a map, or a string.
	native() any
}

var errEmpty = errors.New("must not be empty")

type integer struct {
	p        *int
	min, max int
}

func (v integer) form() (kind, allowed string) {
	return "integer", fmt.Sprintf("%d to %d", v.min, v.max)
}
func (v integer) native() any { return *v.p }

func (v integer) parse(text string) error {
	_, allowed := v.form()
	n, err := strconv.Atoi(text)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return errors.New("is not a whole number; allowed: " + allowed)
	case err != nil || n < v.min || n > v.max:
		return errors.New("is out of range; allowed: " + allowed)
	}
	*v.p = n
	return nil
}

type duration struct {
	p        *time.Duration
	min, max time.Duration
}

func (v duration) form() (kind, allowed string) {
	return "duration", FormatDuration(v.min) + " to " + FormatDuration(v.max)
}

func (v duration) native() any { return FormatDuration(*v.p) }

func (v duration) parse(text string) error {
	d, err := ParseDuration(text)
	switch {
	case err != nil:
		return err
	case d < v.min || d > v.max:
		_, allowed := v.form()
		return errors.New("is out of range; allowed: " + allowed)
	}
	*v.p = d
	return nil
}

// durationOrAuto is a duration, or the word auto, which is stored as Auto.
type durationOrAuto struct{ duration }

const wordAuto = "auto"

func (v durationOrAuto) form() (kind, allowed string) {
	kind, allowed = v.duration.form()
	return kind, wordAuto + ", " + allowed
}

func (v durationOrAuto) native() any {
	if *v.p == Auto {
		return wordAuto
	}
	return v.duration.native()
}

func (v durationOrAuto) parse(text string) error {
	if text == wordAuto {
		*v.p = Auto
		return nil
	}
	d, err := ParseDuration(text)
	switch _, allowed := v.form(); {
	case err != nil:
		return fmt.Errorf("%w, or %s", err, wordAuto)
	case d < v.min || d > v.max:
		return errors.New("is out of range; allowed: " + allowed)
	}
	*v.p = d
	return nil
}

// fraction is a decimal number between two bounds.
type fraction struct {
	p        *float64
	min, max float64
}

func (v fraction) form() (kind, allowed string) {
	return "number", fmt.Sprintf("%g to %g", v.min, v.max)
}
func (v fraction) native() any { return *v.p }

func (v fraction) parse(text string) error {
	_, allowed := v.form()
	n, err := strconv.ParseFloat(text, 64)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return errors.New("is not a number; write a fraction such as 0.99; allowed: " + allowed)
	case err != nil || !(n >= v.min && n <= v.max): // NaN is neither
		return errors.New("is out of range; allowed: " + allowed)
	}
	*v.p = n
	return nil
}

// checked is a value that is stored as it is written, once check accepts it.
type checked[T ~string] struct {
	p             *T
	kind, allowed string
	check         func(text string) error
}

func (v checked[T]) form() (kind, allowed string) { return v.kind, v.allowed }

// native returns the text, without the password if it is a URL, and none of a secret.
func (v checked[T]) native() any {
	if discreet, ok := any(*v.p).(fmt.Stringer); ok {
		return discreet.String()
	}
	return string(*v.p)
}

func (v checked[T]) parse(text string) error {
	if err := v.check(text); err != nil {
		return err
	}
	*v.p = T(text)
	return nil
}

// filled returns a check that returns errEmpty for an empty text, and calls check for any other.
func filled(check func(text string) error) func(string) error {
	return func(text string) error {
		if text == "" {
			return errEmpty
		}
		return check(text)
	}
}

func text(p *string) value {
	return checked[string]{p, "text", "", filled(func(string) error { return nil })}
}

// optional is a text that may be empty.
func optional(p *string) value {
	return checked[string]{p, "text", "", func(string) error { return nil }}
}

// secret is a text that is printed nowhere. It may be empty.
func secret(p *Secret) value {
	return checked[Secret]{p, "text", "", func(string) error { return nil }}
}

// names is a list of texts of any kind.
func names(p *[]string) value {
	return list{p, "names", "", func(string) error { return nil }}
}

func choice(p *string, words []string) value {
	shown := make([]string, len(words))
	for i, word := range words {
		shown[i] = cmp.Or(word, "empty")
	}
	allowed := strings.Join(shown, ", ")
	return checked[string]{p, "word", allowed, func(text string) error {
		if !slices.Contains(words, text) {
			return errors.New("is none of: " + allowed)
		}
		return nil
	}}
}

func schemaName(p *string) value {
	return checked[string]{p, "name", "a-z 0-9 _, at most 63 characters, not pg_…", filled(func(text string) error {
		switch {
		case !regexp.MustCompile(`^[a-z_][a-z0-9_]*$`).MatchString(text):
			return errors.New("is not a plain name; it starts with a-z or _ and goes on with a-z, 0-9 and _")
		case len(text) > 63:
			return errors.New("is longer than 63 characters")
		case strings.HasPrefix(text, "pg_") || text == "information_schema":
			return errors.New("belongs to Postgres; choose another name")
		}
		return nil
	})}
}

func timezone(p *string) value {
	return checked[string]{p, "text", "a name such as UTC or Europe/Berlin", filled(func(text string) error {
		_, err := invoice.LoadTimezone(text)
		return err
	})}
}

func listenAddr(p *string) value {
	return checked[string]{p, "host:port", "host:port, empty", func(text string) error {
		if text == "" {
			return nil
		}
		_, port, err := net.SplitHostPort(text)
		if err != nil {
			return errors.New("is not host:port; write 127.0.0.1:8080, or :8080 for all interfaces, or nothing for off")
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return errors.New("has no port from 0 to 65535")
		}
		return nil
	}}
}

func redisURL(p *URL) value {
	return checked[URL]{p, "url", "redis://, rediss://, unix://, redis-sentinel://, redis-cluster://", filled(func(text string) error {
		_, err := Redis{URL: URL(text)}.Options()
		return err
	})}
}

func databaseURL(p *URL) value {
	return checked[URL]{p, "url", "postgres://, postgresql://", filled(func(text string) error {
		_, err := Database{URL: URL(text)}.parse()
		return err
	})}
}

type boolean struct{ p *bool }

func (v boolean) form() (kind, allowed string) { return "word", "true, false" }
func (v boolean) native() any                  { return *v.p }

func (v boolean) parse(text string) error {
	if text != "true" && text != "false" {
		return errors.New("is none of: true, false")
	}
	*v.p = text == "true"
	return nil
}

// list is a value of several texts, each of which check accepts: a,b in a variable, and a list or a,b in the file.
type list struct {
	p       *[]string
	kind    string
	allowed string
	check   func(element string) error
}

func (v list) form() (kind, allowed string) { return v.kind, v.allowed }
func (v list) native() any                  { return append([]string{}, *v.p...) }

func (v list) parse(text string) error {
	var elements []string
	for element := range strings.SplitSeq(text, ",") {
		if element = strings.TrimSpace(element); element == "" {
			continue
		}
		if err := v.check(element); err != nil {
			return fmt.Errorf("has %q, which %w", element, err)
		}
		elements = append(elements, element)
	}
	*v.p = elements
	return nil
}

func documentFormats(p *[]string) value {
	allowed := []string{"pdf", "ubl", "cii", "facturx"}
	return list{p, "words", strings.Join(allowed, ", "), func(format string) error {
		if !slices.Contains(allowed, format) {
			return errors.New("is none of: " + strings.Join(allowed, ", "))
		}
		return nil
	}}
}

func queueNames(p *[]string) value {
	return list{p, "names", "names of a-z 0-9 _ -", func(name string) error {
		if !queue.IsName(name) {
			return errors.New("is no name of a queue; " + queue.NameRule)
		}
		return nil
	}}
}

func hostNames(p *[]string) value {
	return list{p, "names", "names such as billing.example, or addresses, without a port", func(host string) error {
		if net.ParseIP(strings.Trim(host, "[]")) != nil {
			return nil
		}
		if !regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?$`).MatchString(host) {
			return errors.New("is no host name; write the name alone, such as billing.example, without https:// and port")
		}
		return nil
	}}
}

type logLevel struct{ p *slog.Level }

func (v logLevel) form() (kind, allowed string) { return "word", "debug, info, warn, error" }
func (v logLevel) native() any                  { return strings.ToLower(v.p.String()) }

func (v logLevel) parse(text string) error {
	_, allowed := v.form()
	if !slices.Contains(strings.Split(allowed, ", "), strings.ToLower(text)) {
		return errors.New("is none of: " + allowed)
	}
	return v.p.UnmarshalText([]byte(text))
}

// weights is the value of queues: critical=6,default=3,bulk=1.
type weights struct{ p *map[string]int }

const (
	maxWeight        = 1_000 // asynq keeps a list as long as the sum of all weights
	queueWeightsForm = "write queues as critical=6,default=3"
)

func (v weights) form() (kind, allowed string) {
	return "queues", fmt.Sprintf("names of a-z 0-9 _ -, weights 1 to %d", maxWeight)
}

func (v weights) native() any { return *v.p }

// names returns the names of the queues, the heaviest first.
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
		if !queue.IsName(name) {
			return fmt.Errorf("has a queue %q; %s", name, queue.NameRule)
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
