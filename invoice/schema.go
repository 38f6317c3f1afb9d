package invoice

import (
	"encoding/json"
	"strings"

	"invoicer/invoice/fields"
)

// Schema returns the job's format as a JSON Schema (draft 2020-12). A job that it refuses is invalid. Not all invalid jobs are refused:
// a schema can't tell of members that are given twice, nor compute amounts, nor know series and settings.
func Schema() ([]byte, error) {
	return json.MarshalIndent(object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A job for invoicer", "type": "object", "additionalProperties": false,
		"required": stated(jobMembers), "properties": schemas(jobMembers, termsFields),
		// What only version 2 knows needs that version.
		"if":   object{"not": object{"required": []string{"version"}, "properties": object{"version": object{"type": "integer", "minimum": 2}}}},
		"then": object{"properties": schemasOf1()},
	}, "", "  ")
}

// schemasOf1 returns what version 1 refuses beside, by the names of a job's members.
func schemasOf1() object {
	ofLine := absent(lineFields)
	for i := range lineMembers {
		if is := &lineMembers[i].is; is.Narrow && !is.Percent {
			ofLine[lineMembers[i].name] = object{"anyOf": []object{{"not": object{"type": "number"}}, {"exclusiveMinimum": -1e12, "exclusiveMaximum": 1e12}}}
		}
	}
	ofJob := absent(termsFields)
	ofJob["lines"] = object{"maxItems": version1().lines, "items": object{"properties": ofLine}}
	return ofJob
}

type object = map[string]any

// absent returns schemas that refuse all fields, unless they are null.
func absent(of *fields.Object) object {
	all := make(object)
	for _, name := range of.Names().All() {
		all[name] = object{"type": "null"}
	}
	return all
}

// stated returns the names of the members that have to be stated. A job has lines, though no description says that they are required:
// what is said of a job without them is how many there have to be.
func stated[T any](members []member[T]) (names []string) {
	for i := range members {
		if one := &members[i]; one.is.Required || one.is.Is == "lines" {
			names = append(names, one.name)
		}
	}
	return names
}

// kinds returns the JSON types of a member, null among them if it may be absent.
func kinds(is *fields.Description, types ...string) []string {
	if !is.Required {
		types = append(types, "null")
	}
	return types
}

func versionSchema(is *fields.Description) object {
	return object{"type": kinds(is, "integer"), "minimum": 1}
}

func identifierSchema(is *fields.Description) object {
	return object{
		"type": kinds(is, "string", "integer"), "minimum": 0, "minLength": 1, "maxLength": is.Most,
		"pattern": `^[^\x00-\x20\x7f-\xa0]([^\x00-\x1f\x7f-\xa0]*[^\x00-\x20\x7f-\xa0])?$`,
	}
}

func textSchema(is *fields.Description) object {
	what := object{"type": kinds(is, "string")}
	if is.Like != "" {
		what["pattern"] = codes()[is.Like].Pattern
		if !is.Filled {
			what["pattern"] = "^$|" + codes()[is.Like].Pattern
		}
	}
	return what
}

func numberSchema(is *fields.Description) object {
	number := object{"type": "number", "exclusiveMinimum": -1e15, "exclusiveMaximum": 1e15}
	if is.Percent {
		number = object{"type": "number", "minimum": 0, "maximum": 100}
	}
	all := []object{number, {"type": "string", "pattern": fields.NumberPattern}}
	if !is.Required {
		all = append(all, object{"type": "null"})
	}
	return object{"anyOf": all}
}

func instantSchema(*fields.Description) object {
	return object{
		"type": "string", "format": "date-time", "pattern": `^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$`,
	}
}

func currencySchema(*fields.Description) object { return object{"enum": currencies()} }

func linesSchema(is *fields.Description) object {
	return object{"type": "array", "minItems": 1, "maxItems": is.Most, "items": object{
		"type": "object", "additionalProperties": false, "required": stated(lineMembers), "properties": schemas(lineMembers, lineFields),
	}}
}

func metadataSchema(is *fields.Description) object {
	return object{"type": kinds(is, "object"), "additionalProperties": object{"type": "string"}}
}

// currencies returns all codes that [MinorUnits] knows, in both spellings.
func currencies() (codes []string) {
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			for c := 'A'; c <= 'Z'; c++ {
				if code := string([]rune{a, b, c}); known(code) {
					codes = append(codes, code, strings.ToLower(code))
				}
			}
		}
	}
	return codes
}

func known(currency string) bool {
	_, ok := MinorUnits(currency)
	return ok
}
