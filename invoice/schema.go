package invoice

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// Schema returns the job's format as a JSON Schema (draft 2020-12). A job that it refuses is invalid. Not all invalid jobs are refused:
// a schema can't tell of members that are given twice, nor compute amounts, nor know series and settings.
func Schema() ([]byte, error) {
	text := object{"type": []string{"string", "null"}}
	described := func(what object, description string) object {
		all := object{"description": description}
		for key, value := range what {
			all[key] = value
		}
		return all
	}
	identifier := func(longest int, optional bool) object {
		kind := []string{"string", "integer"}
		if optional {
			kind = append(kind, "null")
		}
		return object{"type": kind, "minimum": 0, "minLength": 1, "maxLength": longest, "pattern": `^[^\x00-\x20\x7f-\xa0]([^\x00-\x1f\x7f-\xa0]*[^\x00-\x20\x7f-\xa0])?$`}
	}
	decimal := func(optional bool, bounds object) object {
		number := object{"type": "number"}
		for key, value := range bounds {
			number[key] = value
		}
		kinds := []object{number, {"type": "string", "pattern": `^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`}}
		if optional {
			kinds = append(kinds, object{"type": "null"})
		}
		return object{"anyOf": kinds}
	}
	size := object{"exclusiveMinimum": -1e15, "exclusiveMaximum": 1e15}
	percentage := object{"minimum": 0, "maximum": 100}
	code := object{"type": []string{"string", "null"}, "pattern": fmt.Sprintf("^[A-Z0-9-]{1,%d}$", maxSeries)}
	lineMembers := object{
		"sku": text, "description": text,
		"quantity": decimal(false, size), "unit_price": described(decimal(false, size), "net of tax, unless prices is gross"),
		"discount_percent": decimal(true, percentage),
		"tax_percent":      described(decimal(true, percentage), "absent: the rate isn't stated, which is not 0"),
	}
	maps.Copy(lineMembers, lineFields.Schema())
	members := object{
		"version":         described(object{"type": []string{"integer", "null"}, "minimum": 1}, "of this format; default 1"),
		"transaction_id":  described(identifier(maxTransactionID, false), "what is invoiced"),
		"idempotency_key": described(identifier(maxIdempotencyKey, true), "the producer's own key for the invoice; default: the transaction_id"),
		"producer":        described(object{"type": []string{"string", "null"}, "pattern": fmt.Sprintf("^[A-Za-z0-9._:/@+=-]{1,%d}$", maxProducer)}, "the service that asks"),
		"issuer":          described(object{"type": []string{"string", "null"}, "pattern": fmt.Sprintf("^[A-Z0-9-]{0,%d}$", maxSeries)}, "the legal entity that issues the invoice"),
		"series":          described(code, "the series that numbers the invoice"),
		"issued_at": described(object{
			"type": "string", "format": "date-time", "pattern": `^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$`,
		}, "the transaction's time, in whole microseconds; a retry repeats it"),
		"currency": described(object{"enum": currencies()}, "an ISO 4217 code, in capitals or in small letters"),
		"lines": object{"type": "array", "minItems": 1, "maxItems": MaxLines, "items": object{
			"type": "object", "additionalProperties": false, "required": []string{"quantity", "unit_price"},
			"properties": lineMembers,
		}},
		"metadata": described(object{"type": []string{"object", "null"}, "additionalProperties": object{"type": "string"}}, "stored with the invoice; no part of its content"),
	}
	for i := range details {
		if members[details[i].name] = any(text); details[i].identifier > 0 {
			members[details[i].name] = identifier(details[i].identifier, true)
		}
	}
	maps.Copy(members, termsFields.Schema())
	of1 := object{"properties": object{}}
	in1 := object{"maxItems": version1().lines, "items": object{"properties": object{}}}
	absent(of1, termsFields.Names())
	absent(in1["items"].(object), lineFields.Names()) //nolint:forcetypeassert // see above
	narrow := object{"anyOf": []object{{"not": object{"type": "number"}}, {"exclusiveMinimum": -1e12, "exclusiveMaximum": 1e12}}}
	for _, name := range []string{"quantity", "unit_price"} {
		in1["items"].(object)["properties"].(object)[name] = narrow //nolint:forcetypeassert // see above
	}
	of1["properties"].(object)["lines"] = in1 //nolint:forcetypeassert // see above
	return json.MarshalIndent(object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A job for invoicer", "type": "object", "additionalProperties": false,
		"required": []string{"transaction_id", "issued_at", "currency", "lines"}, "properties": members,
		// What only version 2 knows needs that version.
		"if": object{"not": object{"required": []string{"version"}, "properties": object{"version": object{"type": "integer", "minimum": 2}}}}, "then": of1,
	}, "", "  ")
}

type object = map[string]any

// absent has a schema refuse these members, unless they are null.
func absent(schema object, names []string) {
	for _, name := range names {
		schema["properties"].(object)[name] = object{"type": "null"} //nolint:forcetypeassert // the caller has made it
	}
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
