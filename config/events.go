package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"invoicer/invoice/outbox"
)

// Events says who is told of what has happened.
type Events struct {
	Endpoints []EventEndpoint // none by default
	Allow     []string        // networks that may be called though they aren't public, and without TLS; see [Events.Networks]
	Record    []string        // types that are recorded though no endpoint wants them
}

// An EventEndpoint is where events are posted to.
type EventEndpoint struct {
	Name    string   `json:"name"`
	URL     string   `json:"url"`
	Secret  Secret   `json:"secret"`            // whsec_ and base64; while one is replaced, the new one, a blank and the old one
	Types   []string `json:"types"`             // of [outbox.Types]
	Issuers []string `json:"issuers,omitempty"` // none: of all; "" is the one without a name

	Documents bool `json:"documents,omitempty"` // whether events of invoices have links to their documents, see [Links]
}

// Secrets returns the secrets with which its events are signed, the newest first.
func (e *EventEndpoint) Secrets() []string { return strings.Fields(string(e.Secret)) }

// Networks returns what [Events.Allow] states.
func (e *Events) Networks() []netip.Prefix { return parsedNetworks(e.Allow) }

func parsedNetworks(texts []string) (list []netip.Prefix) {
	for _, text := range texts {
		if network, err := parseNetwork(text); err == nil { // as it was checked
			list = append(list, network)
		}
	}
	return list
}

func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil || network != network.Masked() {
		return network, errors.New("is no network; write 10.1.0.0/16, or an address")
	}
	return network, nil
}

func networks(p *[]string) value {
	return list{p, "networks", "networks such as 10.1.0.0/16 or fd00::/8", func(text string) error {
		_, err := parseNetwork(text)
		return err
	}}
}

func eventTypes(p *[]string) value {
	allowed := strings.Join(outbox.Types(), ", ")
	return list{p, "types", allowed, func(text string) error {
		if !slices.Contains(outbox.Types(), text) {
			return errors.New("is none of: " + allowed)
		}
		return nil
	}}
}

// CheckEndpoint returns what is wrong with an endpoint, apart from its secret.
func CheckEndpoint(name, address string, types, issuers []string) error {
	e := outbox.Endpoint{Name: name, URL: address, Types: types, Issuers: issuers}
	problems := e.Problems()
	if len(problems) == 0 {
		return nil
	}
	p := problems[0]
	var i int
	switch of, _, _ := strings.Cut(p.Field, "["); {
	case p.Field == "name":
		return fmt.Errorf("name %q: %s", name, p.Message)
	case of != p.Field:
		if _, err := fmt.Sscanf(strings.TrimPrefix(p.Field, of), "[%d]", &i); err != nil {
			return err
		}
		return fmt.Errorf("endpoint %s: %s %q %s", name, strings.TrimSuffix(of, "s"), map[string][]string{"types": types, "issuers": issuers}[of][i], p.Message)
	}
	return fmt.Errorf("endpoint %s: %s %s", name, p.Field, p.Message)
}

// checkSecrets returns what is wrong with secrets, without saying any of them.
func checkSecrets(name string, secrets []string) error {
	if len(secrets) == 0 || len(secrets) > 2 {
		return fmt.Errorf("endpoint %s: secret %s; while it is replaced, two with a blank between, the new one first", name, signingForm)
	}
	for _, secret := range secrets {
		if !isSigningSecret(secret) {
			return fmt.Errorf("endpoint %s: secret %s", name, signingForm)
		}
	}
	return nil
}

// eventEndpoints is a list of endpoints: a list of sections in the file, and JSON in a variable.
type eventEndpoints struct{ p *[]EventEndpoint }

func (v eventEndpoints) form() (kind, allowed string) {
	return "endpoints", `a list of {name, url, secret, types, issuers, documents}; in a variable as JSON: [{"name": "erp", "url": "https://erp.example/hook", "secret": "whsec_…", "types": ["invoice.created"]}]`
}

// native leaves the secrets out.
func (v eventEndpoints) native() any {
	shown := []map[string]any{}
	for _, e := range *v.p {
		one := map[string]any{"name": e.Name, "url": e.URL, "secret": mask, "types": e.Types}
		if e.Issuers != nil {
			one["issuers"] = e.Issuers
		}
		if e.Documents {
			one["documents"] = true
		}
		shown = append(shown, one)
	}
	return shown
}

// written returns JSON with the secrets.
func (v eventEndpoints) written() string {
	whole := []map[string]any{}
	for _, e := range *v.p {
		one := map[string]any{"name": e.Name, "url": e.URL, "secret": string(e.Secret), "types": e.Types}
		if e.Issuers != nil {
			one["issuers"] = e.Issuers
		}
		if e.Documents {
			one["documents"] = true
		}
		whole = append(whole, one)
	}
	text, err := json.Marshal(whole)
	if err != nil || len(whole) == 0 { // texts can be written
		return ""
	}
	return string(text)
}

func (v eventEndpoints) parse(text string) error {
	if strings.TrimSpace(text) == "" {
		*v.p = nil
		return nil
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	var endpoints []EventEndpoint
	if err := decoder.Decode(&endpoints); err != nil {
		if unknown, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return fmt.Errorf("has an endpoint with an unknown key %s; the keys are name, url, secret, types, issuers and documents", unknown)
		}
		return errors.New("is not a list of endpoints; in the file each is `- name: …` with url, secret and types below it, in a variable it is JSON")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("has something after the list of endpoints")
	}
	names := make(map[string]bool)
	for i := range endpoints {
		e := &endpoints[i]
		err := CheckEndpoint(e.Name, e.URL, e.Types, e.Issuers)
		if err == nil {
			err = checkSecrets(e.Name, e.Secrets())
		}
		if err == nil && names[e.Name] {
			err = fmt.Errorf("endpoint %s is there twice", e.Name)
		}
		if err != nil {
			return fmt.Errorf("is not right: %w", err)
		}
		names[e.Name] = true
	}
	if *v.p = endpoints; len(endpoints) == 0 {
		*v.p = nil
	}
	return nil
}

// sectionList is a list of sections in the file, and JSON in a variable.
type sectionList interface {
	value
	written() string // as JSON, with the secrets
}

// sectionsOf returns a list of the file as JSON.
func sectionsOf(node *yaml.Node) (string, error) {
	var list []map[string]any
	if err := node.Decode(&list); err != nil {
		return "", err
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(list)
	return strings.TrimSpace(text.String()), err
}
