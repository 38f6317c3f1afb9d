package postgres_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/fields"
)

// A draw makes jobs by the description of their fields, good ones and bad ones.
type draw struct {
	*rand.Rand
	fields map[string]map[string]fields.Description
	names  map[string][]string
}

func newDraw(t *testing.T) *draw {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	text, err := invoice.Description()
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Fields map[string]map[string]fields.Description `json:"fields"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	d := &draw{Rand: rand.New(rand.NewPCG(seed, 0)), fields: all.Fields, names: map[string][]string{}}
	for object, members := range all.Fields {
		for name := range members {
			d.names[object] = append(d.names[object], name)
		}
		slices.Sort(d.names[object])
	}
	return d
}

func (d *draw) pick(of ...string) string { return of[d.IntN(len(of))] }

func (d *draw) odd(n int) bool { return d.IntN(n) == 0 }

func (d *draw) job() string {
	job := d.object("Job", 8)
	if d.odd(3) {
		return job
	}
	return strings.Replace(job, "{", `{"version":2,`, 1)
}

// object spells an object: what is required, and of the rest about one field in so many.
func (d *draw) object(of string, rare int) string {
	var members []string
	for _, name := range d.names[of] {
		one := d.fields[of][name]
		switch {
		case name == "version" && !d.odd(60):
		case one.Required || name == "lines":
			if d.odd(80) {
				continue
			}
			fallthrough
		case d.odd(rare):
			spelled := name
			if d.odd(150) {
				spelled = d.misspelled(name)
			}
			members = append(members, quote(spelled)+":"+d.value(name, &one))
			if d.odd(150) {
				members = append(members, quote(name)+":"+d.value(name, &one))
			}
		}
	}
	d.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return "{" + strings.Join(members, ",") + "}"
}

func (d *draw) misspelled(name string) string {
	at := d.IntN(len(name))
	return d.pick(name[:at]+name[at+1:], name[:at]+"x"+name[at:], name[:at]+"é"+name[at+1:], strings.ToUpper(name), strings.ReplaceAll(name, "_", ""), "", "a b", "a\tb\x01\"\\", "注", "\u200b\u00a0", strings.Repeat("long", 30), strings.Repeat("é", 50))
}

func (d *draw) value(name string, one *fields.Description) string {
	if d.odd(60) {
		return d.pick(`null`, `""`, `0`, `1`, `-1`, `"x"`, `true`, `false`, `[]`, `{}`, `[{}]`, `[null]`, `{"a":1}`, `"a b"`, `" a"`, `"a\u0000"`, `"\ud800x"`, `"\\ud800"`, `"\ud83d\ude00"`, `"Zoe\u0308"`,
			`1e400`, `1e-400`, `0e400`, `1.5`, `"1e15"`, `999999999999999.999999999999`, `0.30000000000000004`, `111.29999999999998`, `1e-13`, `"01"`, `"+1"`, `100.000001`, `"100.0"`, `-0.0`, `1e2`, `1000000000000`, `0.0000001`,
			`"2010-02-30"`, `"2000-02-29"`, `"1900-02-29"`, `"0000-01-01"`, `"2010-12-01T08:26:00.1234567Z"`, `"0001-01-01T00:00:00Z"`, `"9999-12-31T23:30:00-01:00"`, `"0000-12-31T23:30:00-01:00"`, `"2010-04-31T08:26:00Z"`,
			`"gbp"`, `"XXX"`, `"xxx"`, quote(strings.Repeat("é", 33)), quote(strings.Repeat("a", 129)), quote(strings.Repeat("é", 4001)), `17`)
	}
	switch one.Is {
	case "version":
		return d.pick("1", "2", "1.0", "2.0", "20e-1", "0", "1.5", `"2"`, "1e12", "null", "1e-7", "true")
	case "identifier":
		return d.pick(`"536365"`, `"#1 2"`, `"注文-1"`)
	case "instant":
		return d.pick(`"2010-12-01T08:26:00Z"`, `"2012-02-29t08:26:00.5+01:00"`)
	case "currency":
		return d.pick(`"EUR"`, `"gbp"`, `"BHD"`)
	case "number":
		return d.pick("1", "5", `"19"`, "0", `"2.50"`, "99.9", "0.125", "1e1", "12.500")
	case "truth":
		return d.pick("true", "false")
	case "object":
		return d.object(one.Of, 3)
	case "list", "lines":
		var elements []string
		n := 1 + d.IntN(3)
		if one.Is == "list" && d.odd(150) {
			n = one.Most + 1
		}
		for range n {
			element := d.object(one.Of, 6)
			if d.odd(150) {
				element = d.pick("null", "1", "[]", `"x"`)
			}
			elements = append(elements, element)
		}
		return "[" + strings.Join(elements, ",") + "]"
	case "metadata":
		return d.pick(`{"order":"A-17"}`, `{}`, `{"a":"b","a":"c"}`, `{"a b":1}`, `{"\u0000":"a"}`, `{"\ud800":"a","b":"\u0000"}`, `{"":"x"}`)
	}
	switch {
	case one.One != nil:
		return quote(d.pick(one.One...))
	case one.Like == "creditor":
		return quote(d.pick("DE98ZZZ09999999999", "DE98ZZZ09999999998", "FR72ZZZ123456", "de98zzz09999999999", "DE71A-112.34/X", "GB30ZZZ"+strings.Repeat("A", 28), "GB30ZZZ"+strings.Repeat("A", 29), "DE98ZZZ", "DE98ZZZ0999999999Ä"))
	case one.Like != "":
		return quote(map[string]string{
			"producer": "checkout", "series": "INV-1", "date": "2010-12-31", "country": "GB", "currency": "USD", "language": "pt-BR", "type_code": "384", "category": "S", "code": "C62", "account": "DE 02/1",
		}[one.Like])
	default:
		return d.pick(`"plain"`, `"Zoë \"Ø\" 注文"`, `""`, `"two\nlines"`)
	}
}

func quote(s string) string {
	text, _ := json.Marshal(s) //nolint:errchkjson // a text can be spelled
	return string(text)
}
