package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Channel is where invoices are handed over to.
type Channel struct {
	Name           string
	Kind           string   // email, https or program
	URL            string   // of https
	Secret         Secret   // of https: whsec_ and base64; while one is replaced, the new one, a blank and the old one
	Command        []string // of program: it and its arguments
	Formats        []string // of which a document is handed over
	Issuers        []string // none: of all; "" is the one without a name
	Series         []string // none: of all
	Kinds          []string // none: both
	Timeout        time.Duration
	AskEvery       time.Duration // 0: never
	AskUntil       string        // cleared or accepted
	AwaitClearance bool
	GiveUp         time.Duration // 0: never
	AtOnce         int
}

// Secrets returns the secrets with which its parcels are signed, the newest first.
func (c *Channel) Secrets() []string { return strings.Fields(string(c.Secret)) }

// statedChannel is a channel as it is written.
type statedChannel struct {
	Name           string   `json:"name"`
	Kind           string   `json:"kind"`
	URL            string   `json:"url,omitempty"`
	Secret         string   `json:"secret,omitempty"`
	Command        []string `json:"command,omitempty"`
	Formats        []string `json:"formats"`
	Issuers        []string `json:"issuers,omitempty"`
	Series         []string `json:"series,omitempty"`
	Kinds          []string `json:"kinds,omitempty"`
	Timeout        string   `json:"timeout,omitempty"`
	AskEvery       string   `json:"ask_every,omitempty"`
	AskUntil       string   `json:"ask_until,omitempty"`
	AwaitClearance bool     `json:"await_clearance,omitempty"`
	GiveUp         string   `json:"give_up,omitempty"`
	AtOnce         int      `json:"at_once,omitempty"`
}

const channelKeysText = "name, kind, url, secret, command, formats, issuers, series, kinds, timeout, ask_every, ask_until, await_clearance, give_up and at_once"

var (
	channelName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)
	upperName   = regexp.MustCompile(`^[A-Z0-9-]{1,32}$`)
)

// channels is a list of channels: a list of sections in the file, and JSON in a variable.
type channels struct{ p *[]Channel }

func (v channels) form() (kind, allowed string) {
	return "channels", `a list of {` + strings.Replace(channelKeysText, " and ", ", ", 1) + `}; in a variable as JSON: [{"name": "peppol", "kind": "https", "url": "https://gateway.example/invoices", "secret": "whsec_…", "formats": ["ubl"]}]`
}

// stated returns the list as it is written, with the secrets or without.
func (v channels) stated(secrets bool) []statedChannel {
	list := []statedChannel{}
	for i := range *v.p {
		c := &(*v.p)[i]
		one := statedChannel{
			Name: c.Name, Kind: c.Kind, URL: c.URL, Secret: string(c.Secret), Command: c.Command, Formats: c.Formats, Issuers: c.Issuers, Series: c.Series, Kinds: c.Kinds,
			Timeout: FormatDuration(c.Timeout), AwaitClearance: c.AwaitClearance, AtOnce: c.AtOnce,
		}
		if !secrets && one.Secret != "" {
			one.Secret = mask
		}
		if c.AskEvery > 0 {
			one.AskEvery, one.AskUntil = FormatDuration(c.AskEvery), c.AskUntil
		}
		if c.GiveUp > 0 {
			one.GiveUp = FormatDuration(c.GiveUp)
		}
		list = append(list, one)
	}
	return list
}

// native leaves the secrets out.
func (v channels) native() any { return v.stated(false) }

// written returns JSON with the secrets.
func (v channels) written() string {
	text, err := json.Marshal(v.stated(true)) //nolint:gosec // it is for a process of the same user
	if err != nil || len(*v.p) == 0 {         // texts can be written
		return ""
	}
	return string(text)
}

func (v channels) parse(text string) error {
	*v.p = nil
	if strings.TrimSpace(text) == "" {
		return nil
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	var stated []statedChannel
	if err := decoder.Decode(&stated); err != nil {
		if unknown, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return fmt.Errorf("has a channel with an unknown key %s; the keys are %s", unknown, channelKeysText)
		}
		var of *json.UnmarshalTypeError
		if errors.As(err, &of) && of.Field != "" {
			return fmt.Errorf("has a channel whose %s is a %s", of.Field, of.Value)
		}
		return errors.New("is not a list of channels; in the file each is `- name: …` with kind, formats and the others below it, in a variable it is JSON")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("has something after the list of channels")
	}
	var wrong []string
	names := make(map[string]bool)
	for i := range stated {
		c, problems := stated[i].channel()
		if names[c.Name] {
			problems = append(problems, "is there twice")
		}
		names[c.Name] = true
		for _, p := range problems {
			wrong = append(wrong, fmt.Sprintf("channel %s: %s", c.Name, p))
		}
		*v.p = append(*v.p, c)
	}
	if len(wrong) > 0 {
		return errors.New("is not right: " + strings.Join(wrong, "; "))
	}
	return nil
}

// channel returns the channel, and all that is wrong with it.
func (s *statedChannel) channel() (c Channel, problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	c = Channel{
		Name: s.Name, Kind: s.Kind, URL: s.URL, Secret: Secret(s.Secret), Command: s.Command, Formats: s.Formats, Issuers: s.Issuers, Series: s.Series, Kinds: s.Kinds,
		AskUntil: s.AskUntil, AwaitClearance: s.AwaitClearance, AtOnce: s.AtOnce,
	}
	if !channelName.MatchString(c.Name) {
		add("name must be 1 to 32 of a-z 0-9 _ -, with a letter first")
	}
	patience, least := 30*time.Second, 100*time.Millisecond
	switch c.Kind {
	case "https":
		problems = append(problems, c.checkURL()...)
		if err := checkSecrets(c.Name, c.Secrets()); err != nil {
			_, what, _ := strings.Cut(err.Error(), ": ")
			add("%s", what)
		}
		if c.Command != nil {
			add("command is for the kind program")
		}
	case "program":
		if len(c.Command) == 0 || !filepath.IsAbs(c.Command[0]) {
			add("command must be a list: the program, by its whole path, and its arguments")
		}
		if c.URL != "" || c.Secret != "" {
			add("url and secret are for the kind https")
		}
	case "email":
		if c.URL != "" || c.Secret != "" || c.Command != nil {
			add("url, secret and command are for the other kinds: documents.email says how e-mail is sent")
		}
		if s.AskEvery != "" || s.AskUntil != "" || c.AwaitClearance {
			add("ask_every, ask_until and await_clearance are for the other kinds: nobody answers an e-mail")
		}
		patience, least = 10*time.Minute, 30*time.Second // in which a server answers after it has the letter (RFC 5321, 4.5.3.2.6): what is sent again comes twice
	default:
		add("kind must be email, https or program")
	}
	each := func(field string, list []string, wanted string, ok func(string) bool) {
		seen := make(map[string]bool)
		for _, one := range list {
			if !ok(one) || seen[one] {
				add("%s has %q, which isn't %s, or is there twice", field, one, wanted)
			}
			seen[one] = true
		}
		if list != nil && len(list) == 0 {
			add("%s is empty: leave it out for all of them", field)
		}
	}
	formats := []string{"pdf", "ubl", "cii", "facturx"}
	if each("formats", c.Formats, "one of "+strings.Join(formats, ", "), func(f string) bool { return slices.Contains(formats, f) }); c.Formats == nil {
		add("formats must name some of %s", strings.Join(formats, ", "))
	}
	each("issuers", c.Issuers, "1 to 32 of A-Z 0-9 -", func(i string) bool { return i == "" || upperName.MatchString(i) })
	each("series", c.Series, "1 to 32 of A-Z 0-9 -", upperName.MatchString)
	each("kinds", c.Kinds, "invoice or credit_note", func(k string) bool { return k == "invoice" || k == "credit_note" })
	between := func(field, text string, otherwise, least, most time.Duration) time.Duration {
		if text == "" {
			return otherwise
		}
		d, err := ParseDuration(text)
		if err != nil || d < least || d > most {
			add("%s is %q: must be %s to %s", field, text, FormatDuration(least), FormatDuration(most))
		}
		return d
	}
	c.Timeout = between("timeout", s.Timeout, patience, least, 10*time.Minute)
	c.AskEvery = between("ask_every", s.AskEvery, 0, time.Second, 30*day)
	c.GiveUp = between("give_up", s.GiveUp, 0, time.Second, 365*day)
	switch c.AskUntil {
	case "":
		c.AskUntil = "cleared"
	case "cleared", "accepted":
	default:
		add("ask_until must be cleared or accepted")
	}
	if s.AskUntil != "" && s.AskEvery == "" {
		add("ask_until needs ask_every")
	}
	if c.AtOnce == 0 {
		c.AtOnce = 2
	}
	if c.AtOnce < 1 || c.AtOnce > 64 {
		add("at_once must be 1 to 64")
	}
	return c, problems
}

// checkURL returns what is wrong with the URL, without saying it: its path may be a secret.
func (c *Channel) checkURL() (problems []string) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || len(c.URL) > 2000:
		problems = append(problems, "url must be https://host/path")
	case u.User != nil:
		problems = append(problems, "url must not hold a user or a password: the other side knows parcels by their signature")
	case u.Fragment != "" || u.RawQuery != "":
		problems = append(problems, "url must have neither ? nor #: ids are put after it")
	}
	return problems
}
