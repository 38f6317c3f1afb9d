package document_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/document"
)

// stored returns the invoice that a job becomes.
func stored(t testing.TB, payload string) *invoice.Invoice {
	t.Helper()
	job, err := invoice.Decode([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	totals, err := job.Calculate()
	if err != nil {
		t.Fatal(err)
	}
	i := &invoice.Invoice{
		Ref:  invoice.Ref{Number: "INV-000001", TransactionID: job.TransactionID, Fingerprint: job.Fingerprint()},
		Slot: invoice.Slot{Series: "INV", Kind: totals.Kind}, Details: job.Details, IssuedAt: job.IssuedAt, Currency: job.Currency,
		Subtotal: totals.Subtotal, Tax: totals.Tax, Total: totals.Total, Payable: totals.Payable, Taxes: totals.Taxes, Terms: job.Terms, Metadata: job.Metadata,
	}
	for n, line := range job.Lines {
		i.Lines = append(i.Lines, invoice.InvoicedLine{Line: line, Net: totals.LineNets[n]})
	}
	return i
}

func TestOfAPlainInvoice(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	i := stored(t, `{"version":2,"transaction_id":"T1","issued_at":"2026-03-31T22:30:00Z","currency":"EUR","buyer":{"name":"Ada"},
"allowances":[{"percent":"10","reason":"loyalty"}],"withholdings":[{"code":"IRPF","percent":"15"}],
"lines":[{"quantity":"3","unit_price":"10.00","discount_percent":"5","tax_percent":"19","description":"pens"},
{"quantity":"1","unit_price":"2.50","tax_percent":"7","sku":"B1"}]}`)
	d, err := document.Of(i, document.Facts{Zone: berlin})
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.MarshalIndent(d, "", " ")
	t.Logf("%s", got)
	if d.IssueDate != "2026-04-01" {
		t.Errorf("dated %s", d.IssueDate)
	}
}

// Before a job has a number, its document lacks what it will lack then.
func TestDraft(t *testing.T) {
	t.Parallel()
	for name, payload := range goldens() {
		job, err := invoice.Decode([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		draft, err := document.Draft(job, document.Facts{})
		if err != nil {
			t.Fatal(err)
		}
		final, err := document.Of(stored(t, payload), document.Facts{})
		if err != nil {
			t.Fatal(err)
		}
		if draft.Number = final.Number; !reflect.DeepEqual(draft, final) {
			t.Errorf("%s: %+v\n%+v", name, draft, final)
		}
		for _, p := range document.Profiles() {
			if !reflect.DeepEqual(document.Lacks(draft, p), document.Lacks(final, p)) {
				t.Errorf("%s: lacks for %s differ", name, p)
			}
		}
	}
	lacks := document.Lacks(draftOf(t, `{"transaction_id":"T","issued_at":"2026-03-31T10:30:00Z","currency":"BHD","lines":[{"quantity":1,"unit_price":"1.001"}]}`), document.EN16931)
	for _, want := range []string{
		"seller.name is missing (BT-27, BR-06)",
		"currency is BHD, which has 3 decimals: amounts of EN 16931 have two at most (BT-109, BR-DEC-12)",
		"lines[0].name is missing (BT-153, BR-25)",
	} {
		if !slices.ContainsFunc(lacks, func(l document.Lack) bool { return l.String() == want }) {
			t.Errorf("%q isn't among %v", want, lacks)
		}
	}
}

func draftOf(t *testing.T, payload string) *document.Document {
	t.Helper()
	job, err := invoice.Decode([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	d, err := document.Draft(job, document.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// No reason for which no tax is charged is lost, and no code stands for lines that have another one.
func TestReasonsOfExemption(t *testing.T) {
	t.Parallel()
	const x, y = `"exemption_code":"VATEX-EU-132"`, `"exemption_code":"VATEX-EU-135"`
	for _, c := range []struct{ first, second, reason, code string }{
		{``, ``, "", ""},
		{`"exemption_reason":"school"`, ``, "school", ""},
		{``, `"exemption_reason":"school",` + x, "school", "VATEX-EU-132"},
		{`"exemption_reason":"school"`, `"exemption_reason":"bank"`, "school; bank", ""},
		{`"exemption_reason":"school"`, `"exemption_reason":"school"`, "school", ""},
		{`"exemption_reason":"school",` + x, `"exemption_reason":"bank",` + x, "school; bank", "VATEX-EU-132"},
		{`"exemption_reason":"school",` + x, `"exemption_reason":"bank",` + y, "school; bank", ""},
		{`"exemption_reason":"school",` + x, `"exemption_reason":"school"`, "school", "VATEX-EU-132"},
		{`"exemption_reason":"school",` + x, `"exemption_reason":"bank"`, "school; bank", ""},
		{x, x, "", "VATEX-EU-132"},
		{x, y, "VATEX-EU-132; VATEX-EU-135", ""},
		{x, `"exemption_reason":"bank"`, "VATEX-EU-132; bank", ""},
	} {
		line := func(why string) string {
			if why != "" {
				why = "," + why
			}
			return `{"description":"x","quantity":1,"unit_price":"1","tax_category":"E"` + why + `}`
		}
		d := draftOf(t, `{"version":2,"transaction_id":"T","issued_at":"2026-03-31T10:30:00Z","currency":"EUR","lines":[`+line(c.first)+","+line(c.second)+
			`],"charges":[{"amount":"1","tax_category":"E"}]}`)
		if len(d.Taxes) != 1 || d.Taxes[0].Reason != c.reason || d.Taxes[0].ReasonCode != c.code {
			t.Errorf("%s, %s: %+v", c.first, c.second, d.Taxes)
		}
	}
}
