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
	writeSections(&b, func(k Key, indent string) {
		fmt.Fprintf(&b, "%s%s: %s # %s\n", indent, k.leaf(), inline(k.value(&c)), c.Origins[k.Name])
	})
	return b.Bytes()
}

// Example returns a file with every key, its default and its meaning. Loading it gives the configuration of
// [Default].
func Example() []byte {
	var b bytes.Buffer
	b.WriteString("# Every key of invoicer with its default. A flag wins over the INVOICER_* variable, and both over this file.\n\n")
	c := Default()
	writeSections(&b, func(k Key, indent string) {
		fmt.Fprintf(&b, "%s# %s\n", indent, k.Doc)
		if _, allowed := k.Form(); allowed != "" {
			fmt.Fprintf(&b, "%s# allowed: %s\n", indent, allowed)
		}
		fmt.Fprintf(&b, "%s# variable: %s\n%s%s: %s\n", indent, k.Env(), indent, k.leaf(), inline(k.value(&c)))
	})
	return b.Bytes()
}

// writeSections writes the names of all sections, and calls writeKey for each key with the blanks that go before it.
func writeSections(b *bytes.Buffer, writeKey func(k Key, indent string)) {
	var open []string // the sections that the last key is in
	for _, k := range Keys() {
		path := k.path()
		path = path[:len(path)-1]
		same := 0
		for same < min(len(open), len(path)) && open[same] == path[same] {
			same++
		}
		for i, section := range path[same:] {
			if same+i == 0 && len(open) > 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintf(b, "%s%s:\n", strings.Repeat("  ", same+i), section)
		}
		open = path
		writeKey(k, strings.Repeat("  ", len(path)))
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
	if e, ok := v.(sectionList); ok {
		text, err := json.Marshal(e.native()) // which is YAML as well
		if err != nil {
			return "[]"
		}
		return string(text)
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
	tree := make(map[string]any)
	for _, k := range Keys() {
		plant(tree, k.path(), k.value(&c).native())
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // an & in a URL stays readable, unless the caller's encoder escapes it
	err := encoder.Encode(tree)
	return b.Bytes(), err
}
