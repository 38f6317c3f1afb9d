package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"invoicer/worker/queue"
)

// parseFile returns the file's values as they are written. It reads the YAML tree itself, since only the tree keeps
// the lines, the case of names, and the difference between 010 and 8.
func parseFile(path string, content []byte) (map[string]setting, []Problem) {
	f := fileReader{path: path, keys: keysByName(), settings: make(map[string]setting), lines: make(map[string]int)}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil, nil // empty, or only comments
	}
	if err == nil {
		if err = decoder.Decode(new(yaml.Node)); err == nil {
			err = errors.New("there is a second document after ---")
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		return nil, []Problem{{Key: path, Message: "is not valid YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}}
	}
	root := document.Content[0]
	switch {
	case root.Kind == yaml.MappingNode:
		f.section("", root)
	case !isNull(root):
		return nil, []Problem{{Key: path, Message: "holds no keys; 'invoicer config --example' prints a file to start from"}}
	}
	return f.settings, f.problems
}

type fileReader struct {
	path     string
	keys     map[string]Key
	settings map[string]setting
	lines    map[string]int // by name: the line where the key first occurs
	problems []Problem
}

func (f *fileReader) origin(line int) string { return fmt.Sprintf("%s line %d", f.path, line) }

func (f *fileReader) refuse(name string, line int, message string) {
	f.problems = append(f.problems, Problem{Key: name, Source: f.origin(line), Message: message})
}

// section reads the keys below prefix. Both spellings are valid: "lock: {ttl: 15s}" and "lock.ttl: 15s".
func (f *fileReader) section(prefix string, mapping *yaml.Node) {
	for i := 0; i < len(mapping.Content); i += 2 {
		key, node := mapping.Content[i], mapping.Content[i+1]
		if node.Kind == yaml.AliasNode {
			node = node.Alias
		}
		name := prefix + key.Value
		_, isKey := f.keys[name]
		switch {
		case isKey && f.lines[name] > 0:
			f.refuse(name, key.Line, fmt.Sprintf("stands in line %d already; remove one of the two", f.lines[name]))
		case isKey:
			f.lines[name] = key.Line
			f.value(f.keys[name], key.Line, node)
		case !isSection(name):
			f.refuse(cmp.Or(name, "(no name)"), key.Line, "unknown key"+f.hint(name))
		case node.Kind == yaml.MappingNode:
			f.section(name+".", node)
		case !isNull(node): // a section whose keys are all commented out is valid
			f.refuse(name, key.Line, "is a section; write its keys below it, indented")
		}
	}
}

func (f *fileReader) hint(name string) string {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return hint(name, "", sections())
	}
	return hint(name, name[:dot+1], slices.Sorted(maps.Keys(f.keys)))
}

func (f *fileReader) value(k Key, line int, node *yaml.Node) {
	_, isQueues := k.value(new(Config)).(weights)
	_, isList := k.value(new(Config)).(list)
	_, isSections := k.value(new(Config)).(sectionList)
	switch {
	case isNull(node):
		f.refuse(k.Name, line, `has no value; write "" for an empty one, or remove the line for the default`)
	case node.Kind == yaml.ScalarNode:
		f.settings[k.Name] = setting{node.Value, f.origin(line)}
	case isQueues && node.Kind == yaml.MappingNode:
		f.queues(k, line, node)
	case isSections && node.Kind == yaml.SequenceNode:
		text, err := sectionsOf(node)
		if err != nil {
			kind, _ := k.Form()
			f.refuse(k.Name, line, "must be a list of "+kind+", each with its keys below `- name: …`")
			return
		}
		f.settings[k.Name] = setting{text, f.origin(line)}
	case isList && node.Kind == yaml.SequenceNode:
		f.list(k, line, node)
	default:
		f.refuse(k.Name, line, "must be a single value, not a list or a section")
	}
}

func (f *fileReader) queues(k Key, line int, node *yaml.Node) {
	var pairs []string
	for i := 0; i < len(node.Content); i += 2 {
		name, weight := node.Content[i], node.Content[i+1]
		switch {
		case !queue.IsName(name.Value):
			f.refuse(k.Name+"."+name.Value, name.Line, queue.NameRule)
		case weight.Kind != yaml.ScalarNode:
			f.refuse(k.Name+"."+name.Value, name.Line, "must be a number: the weight of the queue")
		default:
			pairs = append(pairs, name.Value+"="+weight.Value)
		}
	}
	if len(pairs)*2 == len(node.Content) {
		f.settings[k.Name] = setting{strings.Join(pairs, ","), f.origin(line)}
	}
}

// list reads the elements of a list. An element that isn't a single value, or that would be read as two, is a problem.
func (f *fileReader) list(k Key, line int, node *yaml.Node) {
	var elements []string
	for _, element := range node.Content {
		if element.Kind != yaml.ScalarNode || strings.Contains(element.Value, ",") {
			f.refuse(k.Name, element.Line, "must be a list of single values")
			return
		}
		elements = append(elements, element.Value)
	}
	f.settings[k.Name] = setting{strings.Join(elements, ","), f.origin(line)}
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }
