package checker_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"invoicer/internal/checker"
	"invoicer/internal/sample"
	"invoicer/invoice"
)

// The oracle and the program come to the same, each in its own way: what is invalid, what it amounts to, and what is content.
func TestOracleAgreesWithTheProgram(t *testing.T) {
	t.Parallel()
	const jobs = 4000
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	d := draw{rand.New(rand.NewPCG(seed, 0))}
	valid, given := 0, 0
	for n := range jobs {
		j := d.job()
		if !compare(t, spell(j)) {
			continue
		}
		valid++
		d.leaveOut(t, j)
		if n%4 != 0 {
			continue
		}
		decoded, err := invoice.Decode(spell(j))
		if err != nil {
			t.Fatal(err)
		}
		if totals, err := decoded.Calculate(); err == nil && d.check(j, &totals, decoded.Currency) && compare(t, spell(j)) {
			given++
		}
	}
	if valid < jobs/4 || given < jobs/50 {
		t.Errorf("%d of %d are valid, %d with checks", valid, jobs, given)
	}
}

// leaveOut leaves something out, and compares whether that is a difference.
func (d draw) leaveOut(t *testing.T, j map[string]any) {
	t.Helper()
	whole := spell(j)
	var less map[string]any
	numbers := json.NewDecoder(bytes.NewReader(whole))
	numbers.UseNumber()
	if err := numbers.Decode(&less); err != nil {
		t.Fatal(err)
	}
	for in := any(less); in != nil; {
		switch v := in.(type) {
		case map[string]any:
			name := pick(d, slices.Sorted(maps.Keys(v))...)
			if _, isObject := v[name].(map[string]any); d.oneIn(2) || !isObject && !isList(v[name]) {
				delete(v, name)
				in = nil
			} else if in = v[name]; isEmpty(in) {
				in = nil
			}
		case []any:
			in = pick(d, v...)
		default:
			in = nil
		}
	}
	_, one, _ := checker.Figures(whole)
	_, other, invalid := checker.Figures(spell(less))
	a, err := invoice.Decode(whole)
	if err != nil {
		t.Fatal(err)
	}
	b, err := invoice.Decode(spell(less))
	if err != nil || invalid != nil {
		return
	}
	if same := a.Fingerprint() == b.Fingerprint(); same != slices.Equal(one, other) {
		t.Errorf("are they the same? the program: %t, the oracle: %s, %s\n%s\n%s", same, one, other, whole, spell(less))
	}
}

func isList(v any) bool {
	_, ok := v.([]any)
	return ok
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}

func TestOracleAgreesOnSamples(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	g := sample.New(sample.Options{Seed: seed, Elaborate: true, Terms: true, MaxLines: 40, Currencies: []string{"GBP", "JPY", "BHD"}})
	for range 600 {
		j := g.Next()
		payload, err := j.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if !compare(t, payload) {
			t.Errorf("invalid: %s", payload)
		}
	}
}

// check has a job state what it comes to, near enough or not, and reports whether it can.
func (d draw) check(j map[string]any, totals *invoice.Totals, currency string) bool {
	amount := func(minor int64) string {
		exponent, _ := invoice.MinorUnits(currency)
		return invoice.NewDecimal(minor, exponent).String()
	}
	switch d.IntN(3) {
	case 0:
		j["expected_total"] = amount(totals.Total + pick(d, int64(0), 0, 1))
	case 1:
		j["expected_payable"] = amount(totals.Payable + pick(d, int64(0), 0, -1))
	default:
		if len(totals.Taxes) == 0 {
			return false
		}
		row := pick(d, totals.Taxes...)
		j["tax_amounts"] = []any{map[string]any{
			"code": row.Code, "category": row.Category, "percent": row.Percent.String(), "amount": amount(row.Tax + int64(d.IntN(9)-4)),
		}}
	}
	return true
}

// compare reports whether the job is valid.
func compare(t *testing.T, payload []byte) bool {
	t.Helper()
	want, content, invalid := checker.Figures(payload)
	j, err := invoice.Decode(payload)
	var totals invoice.Totals
	if err == nil {
		totals, err = j.Calculate()
	}
	if (err == nil) != (invalid == nil) {
		t.Errorf("the oracle: %v, the program: %v\n%s", invalid, err, payload)
	}
	if err != nil || invalid != nil {
		return false
	}
	if got := figures(&totals); !slices.Equal(got, slices.Delete(slices.Clone(want), 1, 2)) { // the series
		t.Errorf("the oracle: %s\nthe program: %s\n%s", want, got, payload)
	}
	if got := terms(t, j); !slices.Equal(got, slices.DeleteFunc(content, func(s string) bool { return !strings.Contains(s, "terms=") })) {
		t.Errorf("the oracle: %s\nthe program: %s\n%s", content, got, payload)
	}
	if version2 := slices.ContainsFunc(content, func(s string) bool { return strings.Contains(s, "terms={") }); version2 != strings.HasPrefix(j.Fingerprint(), "v2:") {
		t.Errorf("fingerprint %s of %s", j.Fingerprint(), payload)
	}
	return true
}

// figures returns the program's totals in the form in which the oracle has its own.
func figures(totals *invoice.Totals) []string {
	payable := ""
	if totals.Payable != totals.Total {
		payable = fmt.Sprint(totals.Payable)
	}
	told := []string{
		"kind=" + string(totals.Kind), fmt.Sprintf("subtotal_minor=%d", totals.Subtotal), fmt.Sprintf("tax_minor=%d", totals.Tax),
		fmt.Sprintf("total_minor=%d", totals.Total), "payable_minor=" + payable,
	}
	for i, net := range totals.LineNets {
		told = append(told, fmt.Sprintf("lines[%d].net_minor=%d", i, net))
	}
	for _, r := range totals.Taxes {
		named := strings.Join(slices.DeleteFunc([]string{r.Percent.String(), r.Code, r.Category}, func(s string) bool { return s == "" }), " ")
		on := fmt.Sprint(r.Net)
		if r.Added != 0 {
			on += fmt.Sprintf(" and taxes of %d", r.Added)
		}
		told = append(told, fmt.Sprintf("tax at %s=%d on %s", named, r.Tax, on))
	}
	return told
}

// terms are what the program would store beyond version 1.
func terms(t *testing.T, j *invoice.Job) []string {
	t.Helper()
	var told []string
	say := func(field, public, personal string, err error) {
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, field+"terms="+checker.Stored([]byte(public), []byte(personal)))
	}
	public, personal, err := j.Terms.Spell()
	say("", public, personal, err)
	for i := range j.Lines {
		public, personal, err := j.Lines[i].Terms.Spell()
		say(fmt.Sprintf("lines[%d].", i), public, personal, err)
	}
	return told
}
