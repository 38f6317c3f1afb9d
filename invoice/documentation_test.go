package invoice_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"invoicer/invoice"
	"invoicer/invoice/document"
)

var update = flag.Bool("update", false, "write the forms of fields, and what examples come to, into docs/jobs.md")

const jobsPage = "../docs/jobs.md"

// docs/jobs.md has each field with its form and a meaning, and jobs with what they come to. After a change:
// go test ./invoice -run Documented -update
func TestJobsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(jobsPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	whole := page
	d := description(t)
	for _, described := range append(d.documented(page), describe(map[string]bool{}, reflect.TypeFor[invoice.Terms](), reflect.TypeFor[invoice.LineTerms](), reflect.TypeFor[invoice.Taxation]())...) {
		whole = described.check(t, whole)
	}
	switch whole = computeExamples(t, whole); {
	case page == whole:
	case *update:
		if err := os.WriteFile(jobsPage, []byte(whole), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is out of date; run: go test ./invoice -run Documented -update\n%s", jobsPage, cmp.Diff(page, whole))
	}
}

// members returns the paths of all members of a job and of its lines.
func members(t *testing.T) (paths []string) {
	t.Helper()
	text, err := invoice.Schema()
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties map[string]json.RawMessage
	}
	var job object
	var lines struct{ Items object }
	if err := json.Unmarshal(text, &job); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(job.Properties["lines"], &lines); err != nil {
		t.Fatal(err)
	}
	for name := range job.Properties {
		paths = append(paths, name)
	}
	for name := range lines.Items.Properties {
		paths = append(paths, "lines[]."+name)
	}
	return paths
}

// A documented is an object whose fields have a table in the page.
type documented struct {
	below string      // the line before the table
	rows  [][2]string // name and form
}

// describe returns the structs and all that they hold.
func describe(seen map[string]bool, types ...reflect.Type) (all []documented) {
	for _, of := range types {
		d := documented{below: "\n### " + headings.Replace(spaced(of)) + "\n"}
		if seen[d.below] {
			continue
		}
		seen[d.below] = true
		var below []reflect.Type
		for i := range of.NumField() {
			f := of.Field(i)
			if f.Anonymous {
				below = append(below, f.Type)
				continue
			}
			name, options, _ := strings.Cut(f.Tag.Get("job"), ",")
			d.rows = append(d.rows, [2]string{name, form(f.Type, options)})
			if inner := elem(f.Type); inner.Kind() == reflect.Struct && inner != reflect.TypeFor[invoice.Decimal]() {
				below = append(below, inner)
			}
		}
		all = append(append(all, d), describe(seen, below...)...)
	}
	return all
}

func elem(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		return t.Elem()
	}
	return t
}

var headings = strings.NewReplacer("Line terms", "Line", "Terms", "Document")

// spaced returns the name of a type in words: Tax rate.
func spaced(t reflect.Type) string {
	words := regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(t.Name(), "$1 $2")
	runes := []rune(strings.ToLower(words))
	return string(unicode.ToUpper(runes[0])) + string(runes[1:])
}

var formats = map[string]string{
	"identifier": "like `transaction_id`",
	"date":       "date, such as `2010-12-31`",
	"country":    "ISO 3166-1 code, such as `GB`",
	"currency":   "ISO 4217 code, such as `GBP`",
	"language":   "language tag, such as `de` or `pt-BR`",
	"type_code":  "up to 3 digits",
	"category":   "`S`, `Z`, `E`, `AE`, `K`, `G`, `O`, `L`, `M` or `B`",
	"code":       "code",
	"creditor":   "SEPA creditor identifier, such as `DE98ZZZ09999999999`",
	"account":    "1–40 letters, digits, blanks and `. / : -`",
}

// form says what a field may hold.
func form(t reflect.Type, options string) string {
	has := map[string]string{}
	for option := range strings.SplitSeq(options, ",") {
		name, value, _ := strings.Cut(option, "=")
		has[name] = value
	}
	_, percent := has["percent"]
	var text string
	switch inner := elem(t); {
	case percent:
		text = "percentage"
	case inner == reflect.TypeFor[invoice.Decimal]():
		text = "number"
	case inner.Kind() == reflect.Struct:
		name := strings.ToLower(headings.Replace(spaced(inner)))
		text = fmt.Sprintf("[%s](#%s)", name, strings.ReplaceAll(name, " ", "-"))
		if t.Kind() == reflect.Slice {
			text = "list of up to " + has["most"] + ": " + text
		}
	case inner.Kind() == reflect.Bool:
		text = "`true` or `false`"
	case has["one"] != "":
		text = "`" + strings.ReplaceAll(has["one"], "|", "` or `") + "`"
	case has["like"] != "":
		text = formats[has["like"]]
	case has["most"] != "":
		text = "text, up to " + has["most"]
	default:
		text = "text"
	}
	for _, mark := range []string{"required", "shown", "check"} {
		if _, ok := has[mark]; ok {
			text += map[string]string{"required": ", required", "shown": "; *shown*", "check": "; a check"}[mark]
		}
	}
	return text
}

// check returns the page with the table's forms as they have to be.
func (d *documented) check(t *testing.T, page string) string {
	t.Helper()
	before, rest, ok := strings.Cut(page, d.below)
	if !ok {
		t.Errorf("%s lacks the line %q", jobsPage, d.below)
		return page
	}
	at := strings.Index(rest, "\n| field |")
	next := strings.Index(rest, "\n#")
	if at < 0 || next >= 0 && next < at {
		t.Errorf("%s lacks a table below %q", jobsPage, d.below)
		return page
	}
	table := rest[at+1:]
	if end := strings.Index(table, "\n\n"); end >= 0 {
		table = table[:end+1]
	}
	meanings := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\|[^|]*\\| (.*) \\|$").FindAllStringSubmatch(table, -1) {
		meanings[row[1]] = row[2]
	}
	var b strings.Builder
	b.WriteString("| field | form | |\n|---|---|---|\n")
	for _, row := range d.rows {
		if strings.TrimSpace(meanings[row[0]]) == "" {
			t.Errorf("%s: below %q, nothing says what %s is", jobsPage, d.below, row[0])
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", row[0], row[1], meanings[row[0]])
	}
	return before + d.below + strings.Replace(rest, table, b.String(), 1)
}

// computeExamples returns the page with what each of its jobs comes to in the block that follows it. All of them have to be valid.
func computeExamples(t *testing.T, page string) string {
	t.Helper()
	whole, checked := "", 0
	var comesTo string // what the job before comes to
	end := 0
	for _, at := range regexp.MustCompile("(?s)\n```([a-z]+)\n(.*?)```\n").FindAllStringSubmatchIndex(page, -1) {
		language, text := page[at[2]:at[3]], page[at[4]:at[5]]
		if language == "text" && comesTo != "" {
			text, comesTo = comesTo, ""
			checked++
		} else if comesTo = ""; language == "json" {
			j, err := invoice.Decode([]byte(text))
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			comesTo = amountsOf(t, j)
		}
		whole += page[end:at[4]] + text
		end = at[5]
	}
	if checked < 12 {
		t.Errorf("only %d examples say what they come to", checked)
	}
	return whole + page[end:]
}

func amountsOf(t *testing.T, j *invoice.Job) string {
	t.Helper()
	totals, err := j.Calculate()
	if err != nil {
		t.Fatal(err)
	}
	amount := func(minor int64) string { return invoice.FormatMinor(minor, j.Currency) }
	var b strings.Builder
	fmt.Fprintf(&b, "%s: subtotal %s, tax %s, total %s, payable %s\n",
		totals.Kind, amount(totals.Subtotal), amount(totals.Tax), amount(totals.Total), amount(totals.Payable))
	for i := range totals.Taxes {
		row := &totals.Taxes[i]
		of := amount(row.Net)
		if row.Added != 0 {
			of += " + " + amount(row.Added)
		}
		name := strings.TrimLeft(row.Code+" "+row.Category, " ")
		fmt.Fprintln(&b, strings.Join(strings.Fields(fmt.Sprintf("%s %s %% of %s: %s", name, row.Percent, of, amount(row.Tax))), " "))
	}
	b.WriteString("nets of lines:")
	for _, net := range totals.LineNets {
		b.WriteString(" " + amount(net))
	}
	return b.String() + "\n"
}

// docs/en16931.md has each term of EN 16931 once, and names no field that a job doesn't have.
func TestTermsOfEN16931AreDocumented(t *testing.T) {
	t.Parallel()
	const path = "../docs/en16931.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for n := 1; n <= 165; n++ {
		missing[fmt.Sprintf("BT-%d", n)] = n != 4 // which doesn't exist
	}
	for n := 1; n <= 32; n++ {
		missing[fmt.Sprintf("BG-%d", n)] = true
	}
	for _, part := range []string{"18-1", "29-1", "30-1", "34-1", "46-1", "47-1", "49-1", "60-1", "61-1", "71-1", "125-1", "125-2", "128-1", "157-1", "158-1", "158-2"} {
		missing["BT-"+part] = true
	}
	for _, row := range regexp.MustCompile(`(?m)^\| (B[TG][0-9-]+) \| [^|]+ \| [^|]+ \|$`).FindAllSubmatch(page, -1) {
		if term := string(row[1]); !missing[term] {
			t.Errorf("%s: %s has two rows, or is no term", path, term)
		} else {
			missing[term] = false
		}
	}
	for term, is := range missing {
		if is {
			t.Errorf("%s lacks %s", path, term)
		}
	}
	known := paths(t)
	for _, profile := range document.Profiles() {
		known[string(profile)] = true
	}
	for _, span := range regexp.MustCompile("`([a-z][a-z0-9_.\\[\\]]*)`").FindAllSubmatch(page, -1) {
		if !known[string(span[1])] {
			t.Errorf("%s: %s is no field of a job", path, span[1])
		}
	}
}

// paths returns all paths of fields: lines, lines[].item_ids, lines[].item_ids.buyer.
func paths(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, path := range members(t) {
		all[path] = true
	}
	for _, l := range leaves() {
		path := strings.ReplaceAll(l.path, "[0]", "[]")
		for at := range path {
			if path[at] == '.' || path[at] == '[' {
				all[path[:at]] = true
			}
		}
		all[path] = true
	}
	return all
}
