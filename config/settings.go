package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"invoicer/invoice"
)

// A Setting is one value of [invoice.Settings], as people write it. The database keeps it; where a configuration states one too, a
// worker compares the two.
type Setting struct {
	Name    string // such as dates.earliest
	Default string
	Doc     string // one line

	Get func(*invoice.Settings) string
	// Set parses a value. Its error continues a sentence that begins with the value.
	Set func(*invoice.Settings, string) error
}

// Settings returns all settings, in the order in which they are shown.
func Settings() []Setting {
	return []Setting{
		{
			Name: "strict", Default: "false",
			Doc: "whether jobs can't make series: only those that are there take documents",
			Get: func(s *invoice.Settings) string { return strconv.FormatBool(s.Strict) },
			Set: func(s *invoice.Settings, text string) error {
				if text != "true" && text != "false" {
					return errors.New("is neither true nor false")
				}
				s.Strict = text == "true"
				return nil
			},
		},
		{
			Name: "dates.earliest", Default: "1970-01-01",
			Doc: "the first day (UTC) that issued_at may have",
			Get: func(s *invoice.Settings) string { return s.Earliest.Format(time.DateOnly) },
			Set: func(s *invoice.Settings, text string) error {
				earliest, err := time.Parse(time.DateOnly, text)
				if err != nil || earliest.Year() < 1 {
					return errors.New("is no day such as 1970-01-01")
				}
				s.Earliest = earliest
				return nil
			},
		},
		{
			Name: "dates.latest", Default: "24h",
			Doc: "how far ahead of the database's clock issued_at may lie",
			Get: func(s *invoice.Settings) string { return FormatDuration(s.Latest) },
			Set: func(s *invoice.Settings, text string) error {
				latest, err := ParseDuration(text)
				switch {
				case err != nil:
					return err
				case latest < 0 || latest > maxLatest || latest%time.Second != 0:
					return errors.New("is out of range; allowed: 0s to " + FormatDuration(maxLatest) + ", in whole seconds")
				}
				s.Latest = latest
				return nil
			},
		},
		{
			Name: "credit_notes", Default: "free",
			Doc: "whether a credit note has to name what it credits: free or must_credit",
			Get: func(s *invoice.Settings) string { return oneOf(s.MustCredit, "free", "must_credit") },
			Set: func(s *invoice.Settings, text string) error {
				return setOneOf(&s.MustCredit, text, "free", "must_credit")
			},
		},
		{
			Name: "ignore", Default: ignoreNothing,
			Doc: "in what a repeat may differ and be a duplicate: issued_at, presentation",
			Get: func(s *invoice.Settings) string { return joined(s.IgnoreIssuedAt, s.IgnorePresentation) },
			Set: func(s *invoice.Settings, text string) (err error) {
				s.IgnoreIssuedAt, s.IgnorePresentation, err = parseIgnore(text)
				return err
			},
		},
		{
			Name: "replaces", Default: "free",
			Doc: "whether what is replaced has to be credited in full: free or must_credit",
			Get: func(s *invoice.Settings) string { return oneOf(s.CreditReplaced, "free", "must_credit") },
			Set: func(s *invoice.Settings, text string) error {
				return setOneOf(&s.CreditReplaced, text, "free", "must_credit")
			},
		},
		{
			Name: "zero", Default: "number",
			Doc: "whether a job of nothing but zeros makes an invoice: number or refuse",
			Get: func(s *invoice.Settings) string { return oneOf(s.RefuseZero, "number", "refuse") },
			Set: func(s *invoice.Settings, text string) error { return setOneOf(&s.RefuseZero, text, "number", "refuse") },
		},
		{
			Name: "profile", Default: invoice.NoProfile,
			Doc: "rules of documents: " + strings.Join(Profiles(), ", "),
			Get: func(s *invoice.Settings) string { return cmp.Or(s.Profile, invoice.NoProfile) },
			Set: func(s *invoice.Settings, text string) error {
				if !slices.Contains(Profiles(), text) {
					return errors.New("is none of " + strings.Join(Profiles(), ", "))
				}
				s.Profile = text
				return nil
			},
		},
	}
}

// Profiles returns the names of the profiles, by whose rules documents are judged and written. A test compares them with the program's.
func Profiles() []string {
	return []string{invoice.NoProfile, "en16931", "xrechnung", "peppol", "facturx", "facturx-basic"}
}

// ignorable are the values of the setting ignore.
const ignoreIssuedAt, ignorePresentation, ignoreNothing = "issued_at", "presentation", "nothing"

func joined(issuedAt, presentation bool) string {
	var list []string
	if issuedAt {
		list = append(list, ignoreIssuedAt)
	}
	if presentation {
		list = append(list, ignorePresentation)
	}
	return cmp.Or(strings.Join(list, ","), ignoreNothing)
}

func parseIgnore(text string) (issuedAt, presentation bool, err error) {
	for name := range strings.SplitSeq(text, ",") {
		switch strings.TrimSpace(name) {
		case "", ignoreNothing:
		case ignoreIssuedAt:
			issuedAt = true
		case ignorePresentation:
			presentation = true
		default:
			return false, false, fmt.Errorf("is none of %s, %s and %s", ignoreIssuedAt, ignorePresentation, ignoreNothing)
		}
	}
	return issuedAt, presentation, nil
}

func oneOf(second bool, first, otherwise string) string {
	if second {
		return otherwise
	}
	return first
}

// setOneOf sets which of two words a text is.
func setOneOf(second *bool, text, first, otherwise string) error {
	if text != first && text != otherwise {
		return fmt.Errorf("is neither %s nor %s", first, otherwise)
	}
	*second = text == otherwise
	return nil
}

const maxLatest = 36_500 * day

// WithSetting returns the settings with one that has another value, as people write it. Its error names the setting.
func WithSetting(s invoice.Settings, name, text string) (invoice.Settings, error) {
	var names []string
	for _, one := range Settings() {
		if one.Name == name {
			if err := one.Set(&s, text); err != nil {
				return invoice.Settings{}, fmt.Errorf("%s: %q %w", name, text, err)
			}
			return s, nil
		}
		names = append(names, one.Name)
	}
	return invoice.Settings{}, fmt.Errorf("%s: is no setting; the settings are %s", name, strings.Join(names, ", "))
}

// A statedSetting is what a configuration states of a setting. Empty means nothing.
type statedSetting struct {
	c *Config
	s Setting
}

func (v statedSetting) form() (kind, allowed string) { return "text", "" }
func (v statedSetting) native() any                  { return v.c.Settings[v.s.Name] }

func (v statedSetting) parse(text string) error {
	if text == "" {
		return nil
	}
	if err := v.s.Set(&invoice.Settings{}, text); err != nil {
		return err
	}
	if v.c.Settings == nil {
		v.c.Settings = make(map[string]string)
	}
	v.c.Settings[v.s.Name] = text
	return nil
}

func settingKeys() []Key {
	var keys []Key
	for _, s := range Settings() {
		keys = append(keys, Key{
			Name: s.Name, Doc: "states what the database's setting must be (`invoicer settings`): " + s.Doc + "; empty: it isn't compared",
			value: func(c *Config) value { return statedSetting{c, s} },
		})
	}
	return keys
}
