package checker_test

import (
	"slices"
	"strings"
	"testing"

	"invoicer/internal/checker"
)

// The design's example, and what it says of taxes on taxes, of what is withheld and of given taxes.
func TestOracle(t *testing.T) {
	t.Parallel()
	const abc = `"lines":[{"quantity":1,"unit_price":"100","tax_percent":19},{"quantity":1,"unit_price":50,"tax_percent":"7.0"},{"quantity":3,"unit_price":10,"taxes":[{"percent":19}]}],
"allowances":[{"amount":10}],"charges":[{"percent":2,"tax_percent":19}]`
	for _, test := range []struct{ name, job, want string }{
		{
			"net", abc,
			"kind=invoice, in series=INV, subtotal_minor=17360, tax_minor=2732, total_minor=20092, payable_minor=, lines[0].net_minor=10000, lines[1].net_minor=5000, lines[2].net_minor=3000, tax at 7=331 on 4722, tax at 19=2401 on 12638",
		},
		{
			"gross", `"prices":"gross",` + abc,
			"kind=invoice, in series=INV, subtotal_minor=15033, tax_minor=2327, total_minor=17360, payable_minor=, lines[0].net_minor=8403, lines[1].net_minor=4673, lines[2].net_minor=2521, tax at 7=309 on 4413, tax at 19=2018 on 10620",
		},
		{
			"compound, withheld, prepaid and rounded", `"kind":"credit_note","rounding":"0.25","prepaid":20,"withholdings":[{"percent":19},{"percent":50,"base":"0.01"}],
"lines":[{"quantity":1000,"unit_price":100,"base_quantity":"1000","taxes":[{"code":"GST","percent":5},{"code":"QST","percent":10,"category":"S","compound":true}]}]`,
			"kind=credit_note, in series=INV-CN, subtotal_minor=10000, tax_minor=1550, total_minor=11550, payable_minor=7674, lines[0].net_minor=10000, tax at 5 GST=500 on 10000, tax at 10 QST S=1050 on 10000 and taxes of 500",
		},
		{
			"a given tax", `"prices":"gross","tax_amounts":[{"category":"S","percent":19,"amount":"15.98"}],"lines":[{"quantity":1,"unit_price":100,"tax_category":"S","tax_percent":19}]`,
			"kind=invoice, in series=INV, subtotal_minor=8402, tax_minor=1598, total_minor=10000, payable_minor=, lines[0].net_minor=8402, tax at 19 S=1598 on 8402",
		},
		{"a given tax that is far off", `"tax_amounts":[{"percent":19,"amount":"18.98"}],"lines":[{"quantity":1,"unit_price":100,"tax_percent":19}]`, "invalid"},
		{"another total", `"expected_total":"119.01","lines":[{"quantity":1,"unit_price":100,"tax_percent":19}]`, "invalid"},
		{"another payable", `"prepaid":1,"expected_payable":"119","lines":[{"quantity":1,"unit_price":100,"tax_percent":19}]`, "invalid"},
		{"an allowance over nothing", `"allowances":[{"amount":1}],"lines":[{"quantity":1,"unit_price":0}]`, "invalid"},
		{"an allowance over both signs", `"allowances":[{"amount":1}],"lines":[{"quantity":1,"unit_price":1},{"quantity":-1,"unit_price":2,"tax_percent":1}]`, "invalid"},
	} {
		got, _, err := checker.Figures([]byte(`{"version":2,"transaction_id":"T","issued_at":"2010-12-01T08:26:00Z","currency":"EUR",` + test.job + `}`))
		if told := strings.Join(got, ", "); err != nil && test.want != "invalid" || err == nil && told != test.want {
			t.Errorf("%s: %s, %v\nwant: %s", test.name, told, err, test.want)
		}
	}
}

// What says the same is the same, and what a job states is there, but for checks and defaults.
func TestContent(t *testing.T) {
	t.Parallel()
	const plain = `{"transaction_id":"T","issued_at":"2010-12-01T08:26:00Z","currency":"EUR","lines":[{"quantity":1,"unit_price":"10","tax_percent":19}]}`
	content := func(replacements ...string) string {
		_, told, err := checker.Figures([]byte(strings.NewReplacer(replacements...).Replace(plain)))
		if err != nil {
			t.Fatalf("%q: %v", replacements, err)
		}
		return strings.Join(slices.DeleteFunc(told, func(s string) bool { return !strings.Contains(s, "terms=") && !strings.Contains(s, "tax_percent=") }), ", ")
	}
	for _, test := range []struct{ job, line, want string }{
		{
			`"kind":"invoice","type_code":"380","prices":"net","expected_total":"11.90","rounding":"0.0","allowances":[{}],"buyer":{"contact":{"name":""}}`,
			`"prices":"net","base_quantity":"1.0","discount_amount":0,"unit":""`, "terms=, lines[0].tax_percent=19, lines[0].terms=",
		},
		{
			`"kind":"credit_note","type_code":"381","buyer":{"name":"Zoë"},"notes":[{"text":"a","code":""},{}]`, `"base_quantity":"1e1","prices":"gross"`,
			`terms={"buyer":{"name":"Zoë"},"kind":"credit_note","notes":[{"text":"a"}]}, lines[0].tax_percent=19, lines[0].terms={"base_quantity":"10","prices":"gross"}`,
		},
		{
			`"prices":"gross","charges":[{"amount":"1.50","prices":"gross","taxes":[{"percent":"7.0","compound":false}]}]`, `"prices":"gross"`,
			`terms={"charges":[{"amount":"1.5","tax_percent":"7"}],"prices":"gross"}, lines[0].tax_percent=19, lines[0].terms=`,
		},
	} {
		if got := content(`{"transaction_id"`, `{"version":2,`+test.job+`,"transaction_id"`, `19}`, `19,`+test.line+`}`); got != test.want {
			t.Errorf("%s, %s: %s", test.job, test.line, got)
		}
	}
	if got := checker.Stored([]byte(`{"notes":[{"code":"AAI"}],"rounding":"1.50"}`), []byte(`{"notes":[{"text":"a"},{"text":"b"}]}`)); got != `{"notes":[{"code":"AAI","text":"a"},{"text":"b"}],"rounding":"1.5"}` {
		t.Errorf("stored: %s", got)
	}
	if got := checker.Stored([]byte(`{"buyer":{"name":"Zoë"}}`), nil); got == checker.Stored(nil, []byte(`{"buyer":{"name":"Zoë"}}`)) {
		t.Errorf("a person beside what is no person's: %s", got)
	}
}
