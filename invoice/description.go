package invoice

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"invoicer/invoice/fields"
	"invoicer/invoice/identifier"
)

// Description returns the fields of a job in all versions of the format, as JSON, for readers in other languages: the database's accept
// checks jobs by it, and has its own copy in job_fields().
//
// "fields" has [fields.Description]s by the names of an object and of a field, and "required" the names of those that have to be stated,
// by the object. "formats" says what texts must look like, "currencies" has the minor units of each currency, and "versions" has the
// bounds of each version.
func Description() ([]byte, error) {
	all := make(map[string]map[string]fields.Description)
	all["Job"], all["Line"] = descriptions(jobMembers), descriptions(lineMembers)
	withTerms(all, "Job", jobNames.All(), termsFields)
	withTerms(all, "Line", lineNames.All(), lineFields)
	required := make(map[string][]string)
	for object, members := range all {
		for name, one := range members {
			if one.Required {
				required[object] = append(required[object], name)
			}
		}
		slices.SortFunc(required[object], func(a, b string) int { return members[a].N - members[b].N })
	}
	formats := fields.Formats()
	maps.Copy(formats, codes())
	units := make(map[string]int)
	for _, code := range currencies() {
		if exponent, known := MinorUnits(code); known {
			units[code] = exponent
		}
	}
	versions := make(map[int]map[string]int)
	for version := 1; version <= TaskVersion; version++ {
		most := limitsOf(version)
		versions[version] = map[string]int{"payload": most.payload, "lines": most.lines, "digits": most.numbers.Digits, "decimals": most.numbers.Decimals}
	}
	return json.Marshal(map[string]any{"fields": all, "required": required, "formats": formats, "currencies": units, "versions": versions})
}

// codes returns what the codes that version 1 has must look like, by the names that descriptions have for them.
func codes() map[string]fields.Pattern {
	return map[string]fields.Pattern{
		"producer": {Pattern: fmt.Sprintf("^[A-Za-z0-9._:/@+=-]{1,%d}$", maxProducer), Message: identifier.NarrowProblem(maxProducer)},
		"series":   {Pattern: fmt.Sprintf("^[A-Z0-9-]{1,%d}$", maxSeries), Message: mustBeSeries},
	}
}

// withTerms adds to an object what only version 2 has, and each field's place in the names that the decoder knows.
func withTerms(all map[string]map[string]fields.Description, object string, names []string, terms *fields.Object) {
	below := make(map[string]map[string]fields.Description)
	terms.Describe(below)
	for name, members := range below {
		if name == terms.Name() {
			for name, one := range members {
				one.Version = 2
				all[object][name] = one
			}
			continue
		}
		all[name] = members
	}
	for n, name := range names {
		one := all[object][name]
		one.N = n
		all[object][name] = one
	}
}
