package fields

// Schema returns the members of the struct as JSON Schemas, by their names.
func (o *Object) Schema() map[string]any {
	members := make(map[string]any, len(o.fields))
	for _, f := range o.fields {
		members[f.name] = f.schema()
	}
	return members
}

func (o *Object) required() (names []string) {
	for _, f := range o.fields {
		if f.required {
			names = append(names, f.name)
		}
	}
	return names
}

func (f *field) schema() map[string]any {
	switch f.kind {
	case text:
		return f.textSchema()
	case number, present:
		bounds := map[string]any{"type": "number", "exclusiveMinimum": -1e15, "exclusiveMaximum": 1e15}
		if f.percent {
			bounds = map[string]any{"type": "number", "minimum": 0, "maximum": 100}
		}
		return map[string]any{"anyOf": []map[string]any{bounds, {"type": "string", "pattern": NumberPattern}, {"type": "null"}}}
	case truth:
		return map[string]any{"type": []string{"boolean", "null"}}
	case object:
		return map[string]any{"anyOf": []map[string]any{f.of.objectSchema(), {"type": "null"}}}
	default:
		return map[string]any{"type": []string{"array", "null"}, "maxItems": f.most, "items": f.of.objectSchema()}
	}
}

// NumberPattern is the form of a number that is stated as a string.
const NumberPattern = `^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`

func (f *field) textSchema() map[string]any {
	switch {
	case f.one != nil:
		allowed := []any{nil, ""}
		for _, one := range f.one {
			allowed = append(allowed, one)
		}
		return map[string]any{"enum": allowed}
	case f.format != nil:
		return map[string]any{"type": []string{"string", "null"}, "pattern": "^$|" + f.format.pattern.String()}
	default:
		return map[string]any{"type": []string{"string", "null"}, "maxLength": f.longest()}
	}
}

func (o *Object) objectSchema() map[string]any {
	schema := map[string]any{"type": "object", "additionalProperties": false, "properties": o.Schema()}
	if required := o.required(); required != nil {
		schema["required"] = required
	}
	return schema
}
