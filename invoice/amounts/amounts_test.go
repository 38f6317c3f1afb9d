package amounts_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"invoicer/invoice/amounts"
	"invoicer/invoice/decimal"
)

func number(s string) decimal.Decimal {
	d, err := decimal.Widest().Parse(s)
	if err != nil {
		panic(s + " " + err.Error())
	}
	return d
}

// at returns a list of taxes without codes.
func at(percents ...string) []amounts.Tax {
	var taxes []amounts.Tax
	for _, p := range percents {
		taxes = append(taxes, amounts.Tax{Percent: number(p)})
	}
	return taxes
}

// line is one piece at a price.
func line(price string, taxes []amounts.Tax, edits ...func(*amounts.Line)) amounts.Line {
	l := amounts.Line{Quantity: number("1"), UnitPrice: number(price), Terms: amounts.Terms{Taxes: taxes}}
	for _, edit := range edits {
		edit(&l)
	}
	return l
}

func calculate(t testing.TB, d *amounts.Document) *amounts.Result {
	t.Helper()
	r, problems := amounts.Calculate(d)
	if problems != nil {
		t.Fatal(problems)
	}
	return r
}

// nets returns the nets of parts.
func nets(parts []amounts.Part) (all []int64) {
	for _, p := range parts {
		all = append(all, p.Net)
	}
	return all
}

func rows(r *amounts.Result) (all [][3]int64) {
	for _, row := range r.Taxes {
		all = append(all, [3]int64{row.Net, row.Base, row.Tax})
	}
	return all
}

func equal[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: want -, got +:\n%s", what, diff)
	}
}

// The design's example, in both modes: an allowance that is shared over two rates, and a charge in percent at one of them.
func TestWorkedExample(t *testing.T) {
	t.Parallel()
	document := func(prices amounts.Prices) *amounts.Document {
		return &amounts.Document{
			Exponent: 2, Prices: prices,
			Lines:      []amounts.Line{line("100.00", at("19")), line("50.00", at("7")), line("30.00", at("19"))},
			Allowances: []amounts.Adjustment{{Amount: number("10.00")}},
			Charges:    []amounts.Adjustment{{Percent: number("2"), Terms: amounts.Terms{Taxes: at("19")}}},
		}
	}
	net, gross := calculate(t, document(amounts.Net)), calculate(t, document(amounts.Gross))
	for _, r := range []*amounts.Result{net, gross} {
		equal(t, "groups", []int64{r.Groups[0].Amount, r.Groups[1].Amount}, []int64{12638, 4722})
		allowance := r.Allowances[0]
		equal(t, "allowance", []int64{allowance.Amount, allowance.Shares[0].Amount, allowance.Shares[1].Amount}, []int64{1000, 722, 278})
		equal(t, "charge", r.Charges[0].Amount, 360)
	}
	equal(t, "net: rows", rows(net), [][3]int64{{4722, 4722, 331}, {12638, 12638, 2401}})
	equal(t, "net: totals", []int64{net.Subtotal, net.Tax, net.Total, net.Payable}, []int64{17360, 2732, 20092, 20092})
	equal(t, "gross: rows", rows(gross), [][3]int64{{4413, 4413, 309}, {10620, 10620, 2018}})
	equal(t, "gross: totals", []int64{gross.Subtotal, gross.Tax, gross.Total, gross.Payable}, []int64{15033, 2327, 17360, 17360})
	equal(t, "gross: lines", nets(gross.Lines), []int64{8403, 4673, 2521})
	equal(t, "gross: allowance", nets(gross.Allowances[0].Shares), []int64{607, 260})
	equal(t, "gross: allowance in all", gross.Allowances[0].Net, 867)
	equal(t, "gross: charge", gross.Charges[0].Net, 303)
}

func BenchmarkFiveGrossLines(b *testing.B) {
	d := &amounts.Document{Exponent: 2, Prices: amounts.Gross}
	for _, price := range []string{"2.55", "3.39", "19.99", "4.25", "0.85"} {
		d.Lines = append(d.Lines, line(price, at("20"), func(l *amounts.Line) { l.Quantity = number("6") }))
	}
	d.Lines[3].Taxes = at("5")
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := amounts.Calculate(d); problems != nil {
			b.Fatal(problems)
		}
	}
}
