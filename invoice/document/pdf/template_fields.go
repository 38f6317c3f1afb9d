package pdf

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fieldsOf are the fields of an object by name; nil is a field that isn't one.
type fieldsOf map[string]fieldsOf

// templateFields returns the fields of a [Template].
func templateFields() fieldsOf { return structFields(reflect.TypeFor[Template]()) }

func structFields(t reflect.Type) fieldsOf {
	fields := make(fieldsOf)
	for n := range t.NumField() {
		f := t.Field(n)
		name := f.Tag.Get("yaml")
		if name == "" {
			continue
		}
		fields[name] = nil
		if f.Type.Kind() == reflect.Struct {
			fields[name] = structFields(f.Type)
		}
	}
	return fields
}

// unknown returns what is wrong with an object's fields: those that there aren't, and those that aren't objects though they should be.
func unknown(node *yaml.Node, path string, fields fieldsOf) (problems []string) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return nil
	}
	if node.Kind != yaml.MappingNode {
		what := "the template"
		if path != "" {
			what = strings.TrimSuffix(path, ".")
		}
		return []string{fmt.Sprintf("line %d: %s must have fields", node.Line, what)}
	}
	for n := 0; n+1 < len(node.Content); n += 2 {
		name := node.Content[n].Value
		inner, known := fields[name]
		switch {
		case !known:
			problems = append(problems, fmt.Sprintf("line %d: there is no field %s; there are %s", node.Content[n].Line, path+name,
				strings.Join(slices.Sorted(maps.Keys(fields)), ", ")))
		case inner != nil:
			problems = append(problems, unknown(node.Content[n+1], path+name+".", inner)...)
		}
	}
	return problems
}
