package amounts_test

import (
	"testing"

	"invoicer/invoice/amounts"
	"invoicer/invoice/decimal"
)

// Every bad field has its path in the problems, and all of one step are there at once.
func TestProblems(t *testing.T) {
	t.Parallel()
	const (
		percentage = "must be a percentage from 0 to 100"
		cents      = "must not have more than 2 decimals, as amounts in this currency have no more"
		tooBig     = "comes to an amount that is too big, so split the transaction"
	)
	pointer := func(s string) *decimal.Decimal {
		d := number(s)
		return &d
	}
	edit := func(edits ...func(*amounts.Document)) amounts.Document {
		d := amounts.Document{Exponent: 2, Lines: []amounts.Line{line("100", at("19")), line("50", at("7"))}}
		for _, e := range edits {
			e(&d)
		}
		return d
	}
	for _, tt := range []struct {
		name string
		d    amounts.Document
		want []amounts.Problem
	}{
		{"fields", edit(func(d *amounts.Document) {
			d.Lines[0] = amounts.Line{
				BaseQuantity: number("-1"), DiscountPercent: number("100.000000000001"), DiscountAmount: number("0.001"), ChargeAmount: number("1.005"),
				Terms: amounts.Terms{Taxes: at("5", "-1", "101")},
			}
			d.Lines[1].Taxes, d.Lines[1].Short = at("100.5"), true
			d.Allowances = []amounts.Adjustment{{Amount: number("0.001")}, {Amount: number("1"), Percent: number("1")}, {Percent: number("-1")}}
			d.Charges = []amounts.Adjustment{{Amount: number("1"), Terms: amounts.Terms{Taxes: at("200")}}}
			d.TaxAmounts = []amounts.TaxAmount{{Percent: number("19"), Amount: number("0.001")}}
			d.Withholdings = []amounts.Withholding{{Percent: number("19")}, {Percent: number("-19"), Base: pointer("0.001")}}
			d.Prepaid, d.Rounding, d.ExpectedTotal, d.ExpectedPayable = number("0.001"), number("0.001"), pointer("0.001"), pointer("0.001")
		}), []amounts.Problem{
			{"lines[0].base_quantity", "must be greater than 0"},
			{"lines[0].discount_percent", percentage},
			{"lines[0].discount_amount", cents},
			{"lines[0].charge_amount", cents},
			{"lines[0].taxes[1].percent", percentage},
			{"lines[0].taxes[2].percent", percentage},
			{"lines[1].tax_percent", percentage},
			{"allowances[0].amount", cents},
			{"allowances[1].percent", "must not be stated beside amount: state one of both"},
			{"allowances[2].percent", percentage},
			{"charges[0].taxes[0].percent", percentage},
			{"tax_amounts[0].amount", cents},
			{"withholdings[1].percent", percentage},
			{"withholdings[1].base", cents},
			{"prepaid", cents},
			{"rounding", cents},
			{"expected_total", cents},
			{"expected_payable", cents},
		}},
		{"no minor unit", edit(func(d *amounts.Document) { d.Exponent, d.Prepaid = 0, number("0.5") }), []amounts.Problem{
			{"prepaid", "must not have decimals, as amounts in this currency have none"},
		}},
		{"an amount past int64", edit(func(d *amounts.Document) { d.Exponent, d.Prepaid = 4, number("999999999999999") }), []amounts.Problem{
			{"prepaid", "is an amount that is too big, so split the transaction"},
		}},
		{"lines past int64", edit(func(d *amounts.Document) {
			d.Lines[0].Quantity, d.Lines[0].UnitPrice = number("999999999999"), number("999999999999")
			d.Lines = append(d.Lines, d.Lines[0])
		}), []amounts.Problem{{"lines[0]", tooBig}, {"lines[2]", tooBig}}},
		{"allowances that can't be shared", edit(func(d *amounts.Document) {
			d.Lines[1].UnitPrice = number("-50")
			d.Allowances = []amounts.Adjustment{{Amount: number("1")}, {Amount: number("1"), Terms: amounts.Terms{Prices: amounts.Gross}}, {}}
			d.Charges = []amounts.Adjustment{{Percent: number("10")}, {Percent: number("10"), Terms: amounts.Terms{Prices: amounts.Gross}}}
		}), []amounts.Problem{
			{"allowances[0].taxes", mustNameTaxes},
			{"allowances[1].taxes", mustNameTaxes},
			{"charges[0].taxes", mustNameTaxes},
		}},
		{"given taxes", edit(func(d *amounts.Document) {
			d.Lines = append(d.Lines, d.Lines[0])
			d.TaxAmounts = []amounts.TaxAmount{
				{Percent: number("19"), Amount: number("38.03")},
				{Percent: number("7"), Amount: number("3.48")},
				{Percent: number("7"), Category: "S", Amount: number("3.50")},
				{Percent: number("7"), Amount: number("3.50")},
			}
		}), []amounts.Problem{
			{"tax_amounts[0].amount", "is 38.03, but the tax comes to 38.00, a difference of 0.03: it may differ by 0.02, the smallest amount for each line with that rate"},
			{"tax_amounts[1].amount", "is 3.48, but the tax comes to 3.50, a difference of 0.02: it may differ by 0.01, the smallest amount for each line with that rate"},
			{"tax_amounts[2]", "names a code, category and percentage that are on no line, allowance or charge"},
			{"tax_amounts[3]", "names a rate whose amount is given already"},
		}},
		{"expected amounts", edit(func(d *amounts.Document) {
			d.Prepaid, d.ExpectedTotal, d.ExpectedPayable = number("20"), pointer("172.49"), pointer("152.51")
		}), []amounts.Problem{
			{"expected_total", "is 172.49, but the total comes to 172.50, a difference of 0.01"},
			{"expected_payable", "is 152.51, but the payable amount comes to 152.50, a difference of 0.01"},
		}},
		{"a payable amount past int64", edit(func(d *amounts.Document) {
			d.Exponent = 4
			d.Lines[0].UnitPrice, d.Lines[0].Taxes = number("900000000000000"), nil
			d.Rounding = number("900000000000000")
		}), []amounts.Problem{{"payable", tooBig}}},
		{"withholdings past int64", edit(func(d *amounts.Document) {
			d.Exponent = 4
			all := amounts.Withholding{Percent: number("100"), Base: pointer("900000000000000")}
			d.Withholdings = []amounts.Withholding{all, all}
		}), []amounts.Problem{{"withholdings", tooBig}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, problems := amounts.Calculate(&tt.d)
			if r != nil {
				t.Error("there is a result")
			}
			equal(t, "problems", problems, tt.want)
		})
	}
}

const mustNameTaxes = "must be stated, since the amount can't be shared over the rates of the lines: what the lines of each rate come to is 0, or differs in sign"

// What comes to nothing needs no rate.
func TestNothingIsShared(t *testing.T) {
	t.Parallel()
	r := calculate(t, &amounts.Document{
		Exponent: 2, Lines: []amounts.Line{line("0", at("19"))}, Allowances: []amounts.Adjustment{{Percent: number("10")}},
	})
	if r.Total != 0 || len(r.Allowances[0].Shares) != 0 {
		t.Errorf("%+v", r)
	}
}
