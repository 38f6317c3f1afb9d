package invoice_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"invoicer/invoice"
	"invoicer/invoice/fields"
)

// described is what [invoice.Description] says.
type described struct {
	Fields   map[string]map[string]fields.Description
	Versions map[int]struct{ Lines int }
}

func description(t *testing.T) described {
	t.Helper()
	text, err := invoice.Description()
	if err != nil {
		t.Fatal(err)
	}
	var d described
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// members returns the names of the fields of an object that version 1 has, too, in the order of their descriptions.
func (d *described) members(object string) (names []string) {
	all := d.Fields[object]
	for name, one := range all {
		if one.Version == 0 {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return all[a].N - all[b].N })
	return names
}

// documented returns the tables of the fields that version 1 has. Their rows stay in the page's order, which is one to read them in.
func (d *described) documented(page string) (all []documented) {
	for _, table := range []struct{ object, below string }{{"Job", "\n## Fields\n"}, {"Line", "\nEach line has:\n"}} {
		one := documented{below: table.below}
		for _, name := range d.members(table.object) {
			one.rows = append(one.rows, [2]string{name, d.form(table.object, name)})
		}
		_, rest, _ := strings.Cut(page, table.below)
		at := func(row [2]string) int {
			if n := strings.Index(rest, "\n| `"+row[0]+"` |"); n >= 0 {
				return n
			}
			return len(rest)
		}
		slices.SortStableFunc(one.rows, func(a, b [2]string) int { return at(a) - at(b) })
		all = append(all, one)
	}
	return all
}

// form says what a field may hold.
func (d *described) form(object, name string) string {
	is := d.Fields[object][name]
	text := map[string]string{
		"version":    fmt.Sprintf("number, up to %d", invoice.TaskVersion),
		"identifier": fmt.Sprintf("[identifier](#identifiers), up to %d", is.Most),
		"text":       map[string]string{"": "free text", "producer": "1–64 of `A–Z a–z 0–9 . _ : / @ + = -`", "series": "1–32 of `A–Z 0–9 -`"}[is.Like],
		"instant":    "time of RFC 3339",
		"currency":   formats["currency"],
		"lines":      fmt.Sprintf("list of 1–%s lines, in version 2 1–%s; required", thousands(d.Versions[1].Lines), thousands(is.Most)),
		"metadata":   "object of strings",
		"number":     "number",
	}[is.Is]
	if is.Percent {
		text = "percentage"
	}
	if is.Required {
		text += ", required"
	}
	return text
}

func thousands(n int) string { return fmt.Sprintf("%d,%03d", n/1000, n%1000) }

// The schema says of each member of version 1 what it is, and what it may hold.
func TestSchemaSaysWhatMembersAre(t *testing.T) {
	t.Parallel()
	text, err := invoice.Schema()
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties map[string]map[string]any
		Required   []string
	}
	var job object
	if err := json.Unmarshal(text, &job); err != nil {
		t.Fatal(err)
	}
	items, err := json.Marshal(job.Properties["lines"]["items"])
	if err != nil {
		t.Fatal(err)
	}
	var line object
	if err := json.Unmarshal(items, &line); err != nil {
		t.Fatal(err)
	}
	d := description(t)
	for name, of := range map[string]object{"Job": job, "Line": line} {
		if n := len(of.Properties); n != len(d.Fields[name]) {
			t.Errorf("the schema of %s has %d members, and there are %d", name, n, len(d.Fields[name]))
		}
		for _, member := range d.members(name) {
			said := of.Properties[member]
			if about, _ := said["description"].(string); about == "" || said["type"] == nil && said["enum"] == nil && said["anyOf"] == nil {
				t.Errorf("of %s, the schema says %v", member, said)
			}
			if is := d.Fields[name][member]; is.Required && !slices.Contains(of.Required, member) {
				t.Errorf("%s is required, and the schema says that only of %v", member, of.Required)
			}
		}
	}
}

// Decode names each required member that is absent or null, and takes a job that has null in the place of each other one.
func TestMembersAreRequiredAsDescribed(t *testing.T) {
	t.Parallel()
	d := description(t)
	for _, object := range []string{"Job", "Line"} {
		names := d.members(object)
		for _, name := range names {
			for _, instead := range []string{"", `null`} {
				_, err := invoice.Decode(without(object, name, instead))
				var want []string
				switch is := d.Fields[object][name]; {
				case object == "Line" && is.Required:
					want = []string{"lines[0]." + name + " is required"}
				case is.Required:
					want = []string{name + " is required"}
				case is.Is == "lines":
					want = []string{"lines must hold 1 to 5,000 lines"}
				}
				var got []string
				if invalid := (&invoice.InvalidError{}); errors.As(err, &invalid) {
					for _, p := range invalid.Problems {
						got = append(got, p.Field+" "+p.Message)
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s of %s, instead of it %q: want -, got +:\n%s", name, object, instead, diff)
				}
			}
		}
	}
}

// without returns a job of one line that states a member of the object by this JSON, or not at all.
func without(object, member, instead string) []byte {
	state := func(in string, members ...string) string {
		if in == object {
			members = slices.DeleteFunc(members, func(one string) bool { return strings.HasPrefix(one, `"`+member+`":`) })
			if instead != "" {
				members = append(members, `"`+member+`":`+instead)
			}
		}
		return "{" + strings.Join(members, ",") + "}"
	}
	line := state("Line", `"quantity":1`, `"unit_price":2`)
	return []byte(state("Job", `"transaction_id":"T"`, `"issued_at":"2010-12-01T08:26:00Z"`, `"currency":"GBP"`, `"lines":[`+line+`]`))
}
