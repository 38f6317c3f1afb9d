package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// linkKeys returns the keys that say how links to documents are made and read.
func linkKeys() []Key {
	return []Key{
		{
			Name: "documents.links.url", Default: "", Secret: true, // it may hold a password that doesn't belong there
			Doc:   "where a receiver of events reaches a listener of invoicer, such as https://invoices.example: endpoints with documents: true get a link there to each invoice's document; empty makes no links, and follows none",
			value: func(c *Config) value { return baseURL(&c.Documents.Links.URL) },
		},
		{
			Name: "documents.links.keys", Default: "", Secret: true,
			Doc:   "the key that links are signed with, the same in all processes, as invoicer events endpoint secret makes one; while it is replaced, the new one, a blank and the old one",
			value: func(c *Config) value { return linkSecrets{secret(&c.Documents.Links.Keys)} },
		},
		{
			Name: "documents.links.lifetime", Default: "7d",
			Doc:   "how long a link leads to its document, from each time that its event is posted",
			value: func(c *Config) value { return duration{&c.Documents.Links.Lifetime, time.Minute, 90 * day} },
		},
	}
}

// linkSecrets are one or two keys of links.
type linkSecrets struct{ value }

func (v linkSecrets) parse(text string) error {
	keys := strings.Fields(text)
	if len(keys) > 2 {
		return errors.New("has more than two keys: name the new one, and the one that it replaces")
	}
	for _, key := range keys {
		if !isSigningSecret(key) {
			return errors.New("is not right: a key " + signingForm)
		}
	}
	return v.value.parse(text)
}

// isSigningSecret reports whether a text is a secret by which something is signed, as [signingForm] says.
func isSigningSecret(text string) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
	return strings.HasPrefix(text, "whsec_") && err == nil && len(key) >= 24 && len(key) <= 64
}

const signingForm = "must be whsec_ and 24 to 64 bytes in base64, as `invoicer events endpoint secret` makes one"

// linkProblems returns what is missing to make links and to follow them.
func linkProblems(c *Config) []Problem {
	var problems []Problem
	l := &c.Documents.Links
	switch {
	case l.URL != "" && l.Keys == "":
		problems = append(problems, Problem{Key: "documents.links.keys", Message: "is missing: documents.links.url needs a key to sign links with, which `invoicer events endpoint secret` makes"})
	case l.URL == "" && l.Keys != "":
		problems = append(problems, Problem{Key: "documents.links.url", Message: "is missing: documents.links.keys are there, and links need an address to lead to"})
	}
	if u, err := url.Parse(l.URL); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) && !c.HTTP.Insecure {
		problems = append(problems, Problem{Key: "documents.links.url", Message: "must begin with https://, or documents cross the network readable; if something else encrypts, set http.insecure"})
	}
	for i := range c.Events.Endpoints {
		if e := &c.Events.Endpoints[i]; e.Documents && l.URL == "" {
			problems = append(problems, Problem{Key: "documents.links.url", Message: fmt.Sprintf("is missing: the endpoint %s in events.endpoints is to get links to documents", e.Name)})
			break
		}
	}
	return problems
}
