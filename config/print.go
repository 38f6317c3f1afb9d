package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// YAML returns the configuration in the format of its file, without passwords, each value with its origin.
func (c Config) YAML() []byte {
	var b bytes.Buffer
	writeSections(&b, func(k Key) {
		fmt.Fprintf(&b, "  %s: %s # %s\n", k.leaf(), inline(k.value(&c)), c.Origins[k.Name])
	})
	return b.Bytes()
}

// Example returns a file with every key, its default and its meaning. Loading it gives the configuration of
// [Default].
func Example() []byte {
	var b bytes.Buffer
	b.WriteString("# Every key of invoicer with its default. A flag wins over the INVOICER_* variable, and both over this file.\n\n")
	c := Default()
	writeSections(&b, func(k Key) {
		fmt.Fprintf(&b, "  # %s\n", k.Doc)
		if _, allowed := k.Form(); allowed != "" {
			fmt.Fprintf(&b, "  # allowed: %s\n", allowed)
		}
		fmt.Fprintf(&b, "  # variable: %s\n  %s: %s\n", k.Env(), k.leaf(), inline(k.value(&c)))
	})
	return b.Bytes()
}

func writeSections(b *bytes.Buffer, writeKey func(Key)) {
	section := ""
	for _, k := range Keys() {
		if k.Section() != section {
			if section != "" {
				b.WriteByte('\n')
			}
			section = k.Section()
			fmt.Fprintf(b, "%s:\n", section)
		}
		writeKey(k)
	}
}

// inline returns the value as YAML on one line.
func inline(v value) string {
	scalar := func(x any) string {
		out, err := yaml.Marshal(x)
		if err != nil {
			return fmt.Sprintf("# %v", err) // can't happen for an int or a string
		}
		return strings.TrimSpace(string(out))
	}
	if l, ok := v.(list); ok {
		elements := make([]string, len(*l.p))
		for i, element := range *l.p {
			elements[i] = scalar(element)
		}
		return "[" + strings.Join(elements, ", ") + "]"
	}
	queues, ok := v.(weights)
	if !ok {
		return scalar(v.native())
	}
	var pairs []string
	for _, name := range queues.names() {
		pairs = append(pairs, scalar(name)+": "+scalar((*queues.p)[name]))
	}
	return "{" + strings.Join(pairs, ", ") + "}"
}

// MarshalJSON returns JSON with the structure of the file, without passwords:
// {"lock":{"ttl":"15s","wait":"200ms"},…}.
func (c Config) MarshalJSON() ([]byte, error) {
	tree := make(map[string]map[string]any)
	for _, k := range Keys() {
		if tree[k.Section()] == nil {
			tree[k.Section()] = make(map[string]any)
		}
		tree[k.Section()][k.leaf()] = k.value(&c).native()
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // an & in a URL stays readable, unless the caller's encoder escapes it
	err := encoder.Encode(tree)
	return b.Bytes(), err
}
