package invoice_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
)

// line is a line of quantity × price, less the discount if there is one, at the tax rate unless that is "".
func line(t testing.TB, quantity, price, discount, tax string) invoice.Line {
	t.Helper()
	parse := func(s string) invoice.Decimal {
		d, err := invoice.ParseDecimal(s)
		if err != nil {
			t.Fatalf("%q %v", s, err)
		}
		return d
	}
	l := invoice.Line{Quantity: parse(quantity), UnitPrice: parse(price)}
	if discount != "" {
		l.DiscountPercent = parse(discount)
	}
	if tax != "" {
		percent := parse(tax)
		l.TaxPercent = &percent
	}
	return l
}

func TestCalculate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		currency string
		lines    []invoice.Line
		want     invoice.Totals
	}{
		{
			"plain", "GBP",
			[]invoice.Line{line(t, "6", "2.55", "", ""), line(t, "2", "3.39", "", "")},
			invoice.Totals{Kind: "invoice", Subtotal: 2208, Total: 2208, LineNets: []int64{1530, 678}},
		},
		{
			"half goes away from zero, in both directions", "GBP",
			[]invoice.Line{
				line(t, "1", "0.005", "", ""), line(t, "-1", "0.005", "", ""), line(t, "1", "0.004999", "", ""),
				line(t, "1", "2.675", "", ""), line(t, "1", "-1.005", "", ""), line(t, "0.5", "0.01", "", ""),
			},
			invoice.Totals{Kind: "invoice", Subtotal: 168, Total: 168, LineNets: []int64{1, -1, 0, 268, -101, 1}},
		},
		{
			"too fine for a float", "GBP",
			[]invoice.Line{line(t, "1", "99999999999.994999", "", "")},
			invoice.Totals{Kind: "invoice", Subtotal: 9_999_999_999_999, Total: 9_999_999_999_999, LineNets: []int64{9_999_999_999_999}},
		},
		{
			"no minor unit", "JPY",
			[]invoice.Line{line(t, "1", "99.5", "", "10"), line(t, "1", "99.499999", "", "10"), line(t, "-1", "0.5", "", "8")},
			invoice.Totals{
				Kind: "invoice", Subtotal: 198, Tax: 20, Total: 218, LineNets: []int64{100, 99, -1},
				Taxes: []invoice.Tax{{Percent: millionths(8e6), Net: -1, Tax: 0}, {Percent: millionths(10e6), Net: 199, Tax: 20}},
			},
		},
		{
			"three decimals", "BHD",
			[]invoice.Line{line(t, "3", "0.0015", "", "5"), line(t, "1", "1.0005", "", "5")},
			invoice.Totals{
				Kind: "invoice", Subtotal: 1006, Tax: 50, Total: 1056, LineNets: []int64{5, 1001},
				Taxes: []invoice.Tax{{Percent: millionths(5e6), Net: 1006, Tax: 50}},
			},
		},
		{
			"four decimals", "CLF",
			[]invoice.Line{line(t, "1", "0.00005", "", "")},
			invoice.Totals{Kind: "invoice", Subtotal: 1, Total: 1, LineNets: []int64{1}},
		},
		{
			"discount", "EUR",
			[]invoice.Line{line(t, "1", "10", "33.333333", ""), line(t, "1", "10", "100", ""), line(t, "1", "0.01", "50", ""), line(t, "1", "0.01", "50.000001", "")},
			invoice.Totals{Kind: "invoice", Subtotal: 668, Total: 668, LineNets: []int64{667, 0, 1, 0}},
		},
		{
			"tax is rounded once for each rate, not for each line", "EUR",
			[]invoice.Line{line(t, "1", "0.02", "", "20"), line(t, "1", "0.02", "", "20"), line(t, "1", "0.02", "", "20.000000")},
			invoice.Totals{
				Kind: "invoice", Subtotal: 6, Tax: 1, Total: 7, LineNets: []int64{2, 2, 2},
				Taxes: []invoice.Tax{{Percent: millionths(20e6), Net: 6, Tax: 1}},
			},
		},
		{
			"0 % is a rate, and no rate is none", "EUR",
			[]invoice.Line{line(t, "1", "1", "", "19"), line(t, "1", "2", "", ""), line(t, "1", "4", "", "0"), line(t, "1", "8", "", "7")},
			invoice.Totals{
				Kind: "invoice", Subtotal: 1500, Tax: 75, Total: 1575, LineNets: []int64{100, 200, 400, 800},
				Taxes: []invoice.Tax{{Percent: millionths(0), Net: 400}, {Percent: millionths(7e6), Net: 800, Tax: 56}, {Percent: millionths(19e6), Net: 100, Tax: 19}},
			},
		},
		{
			"a negative total is a credit note", "GBP",
			[]invoice.Line{line(t, "-1", "27.50", "", "20"), line(t, "1", "0.025", "", "20")},
			invoice.Totals{
				Kind: "credit_note", Subtotal: -2747, Tax: -549, Total: -3296, LineNets: []int64{-2750, 3},
				Taxes: []invoice.Tax{{Percent: millionths(20e6), Net: -2747, Tax: -549}},
			},
		},
		{
			"a zero total is an invoice", "GBP",
			[]invoice.Line{line(t, "-56", "0", "", "")},
			invoice.Totals{Kind: "invoice", LineNets: []int64{0}},
		},
		{
			"sums that don't fit on the way", "EUR",
			[]invoice.Line{line(t, "50000000000", "1000000", "", ""), line(t, "50000000000", "1000000", "", ""), line(t, "-100000000", "900000000", "", "")},
			invoice.Totals{Kind: "invoice", Subtotal: 1e18, Total: 1e18, LineNets: []int64{5e18, 5e18, -9e18}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			job := &invoice.Job{Currency: tt.currency, Lines: tt.lines}
			got, err := job.Calculate()
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Payable = tt.want.Total
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error("want -, got +:", diff)
			}
		})
	}
}

// calculateByOracle is Calculate in another library's arithmetic. field is "", or where the first amount past int64 is.
func calculateByOracle(j *invoice.Job) (totals invoice.Totals, field string) {
	exponent, _ := invoice.MinorUnits(j.Currency)
	hundred := decimal.New(100, 0)
	minor := func(d decimal.Decimal) decimal.Decimal { return d.Shift(int32(exponent)).Round(0) }
	fits := func(d decimal.Decimal) bool { return d.BigInt().IsInt64() }
	number := func(d invoice.Decimal) decimal.Decimal { return decimal.RequireFromString(d.String()) }

	totals.LineNets = make([]int64, len(j.Lines))
	subtotal := decimal.Zero
	nets := map[invoice.Decimal]decimal.Decimal{}
	for i, l := range j.Lines {
		net := number(l.Quantity).Mul(number(l.UnitPrice)).Mul(hundred.Sub(number(l.DiscountPercent))).Shift(-2)
		net = minor(net)
		if !fits(net) {
			return totals, "lines"
		}
		totals.LineNets[i] = net.IntPart()
		subtotal = subtotal.Add(net)
		if l.TaxPercent != nil {
			nets[*l.TaxPercent] = nets[*l.TaxPercent].Add(net)
		}
	}
	tax := decimal.Zero
	overflow := false
	for percent, net := range nets {
		amount := net.Mul(number(percent)).Shift(-2).Round(0)
		overflow = overflow || !fits(net) || !fits(amount)
		tax = tax.Add(amount)
		totals.Taxes = append(totals.Taxes, invoice.Tax{Percent: percent, Net: net.IntPart(), Tax: amount.IntPart()})
	}
	slices.SortFunc(totals.Taxes, func(a, b invoice.Tax) int { return a.Percent.Cmp(b.Percent) })
	total := subtotal.Add(tax)
	switch {
	case !fits(subtotal):
		return totals, "subtotal"
	case overflow || !fits(tax):
		return totals, "tax"
	case !fits(total):
		return totals, "total"
	}
	totals.Subtotal, totals.Tax, totals.Total = subtotal.IntPart(), tax.IntPart(), total.IntPart()
	totals.Kind = invoice.KindInvoice
	if total.IsNegative() {
		totals.Kind = invoice.KindCreditNote
	}
	return totals, ""
}

func TestCalculateAgainstOracle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		job := &invoice.Job{Currency: rapid.SampledFrom([]string{"GBP", "JPY", "BHD", "CLF"}).Draw(t, "currency")}
		// Half of the runs use amounts that fit, so that what follows the lines is reached.
		small := rapid.Bool().Draw(t, "small")
		for range rapid.IntRange(1, 8).Draw(t, "lines") {
			l := drawLine(t, "line")
			if small {
				l.UnitPrice = within(l.UnitPrice, 30_000_000_000)
				l.Quantity = within(l.Quantity, 300_000_000_000_000)
			}
			job.Lines = append(job.Lines, l)
		}
		want, field := calculateByOracle(job)
		got, err := job.Calculate()
		if field != "" {
			if fields := problemFields(t, err); len(fields) == 0 || !strings.HasPrefix(fields[0], field) {
				t.Fatalf("Calculate names %q, want %q", fields, field)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		want.Payable = want.Total
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal("want -, got +:", diff)
		}
	})
}

// Every amount has its place in the error, and all lines that don't fit are in it.
func TestCalculatePastInt64(t *testing.T) {
	t.Parallel()
	big := line(t, "999999999999.999999", "999999999999.999999", "", "")
	job := &invoice.Job{Currency: "EUR", Lines: []invoice.Line{big, line(t, "1", "1", "", ""), big}}
	_, err := job.Calculate()
	if diff := cmp.Diff([]string{"lines[0]", "lines[2]"}, problemFields(t, err)); diff != "" {
		t.Error("want -, got +:", diff)
	}
}

// The whole of int64 can be used, and one more is too much, for a line as for a sum.
func TestCalculateAtTheLimits(t *testing.T) {
	t.Parallel()
	const ( // as quantity and price in JPY
		maxA, maxB = "60247241209", "153092023"  // 2⁶³ − 1
		minA, minB = "-2147483648", "4294967296" // −2⁶³
	)
	for _, tt := range []struct {
		name  string
		lines []invoice.Line
		field string
		total int64
	}{
		{"largest line", []invoice.Line{line(t, maxA, maxB, "", "")}, "", math.MaxInt64},
		{"smallest line", []invoice.Line{line(t, minA, minB, "", "")}, "", math.MinInt64},
		{"line one too large", []invoice.Line{line(t, "2147483648", minB, "", "")}, "lines[0]", 0},
		{"line rounded past the end", []invoice.Line{line(t, minA, "4294967296.000001", "", "")}, "lines[0]", 0},
		{"sum one too large", []invoice.Line{line(t, maxA, maxB, "", ""), line(t, "1", "1", "", "")}, "subtotal", 0},
		{"sum one too small", []invoice.Line{line(t, minA, minB, "", ""), line(t, "-1", "1", "", "")}, "subtotal", 0},
		{"sum of extremes", []invoice.Line{line(t, minA, minB, "", ""), line(t, maxA, maxB, "", "")}, "", -1},
		{"tax at the end", []invoice.Line{line(t, maxA, maxB, "", "100"), line(t, "-"+maxA, maxB, "", "")}, "", math.MaxInt64},
		{"total one too large", []invoice.Line{line(t, maxA, maxB, "", ""), line(t, "1", "1", "", "100"), line(t, "-1", "1", "", "")}, "total", 0},
	} {
		got, err := (&invoice.Job{Currency: "JPY", Lines: tt.lines}).Calculate()
		fields := problemFields(t, err)
		switch {
		case tt.field == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.field == "" && got.Total != tt.total:
			t.Errorf("%s: total %d, want %d", tt.name, got.Total, tt.total)
		case tt.field != "" && !slices.Equal(fields, []string{tt.field}):
			t.Errorf("%s: %v, want %s", tt.name, fields, tt.field)
		}
	}
}

func TestCalculateRefuses(t *testing.T) {
	t.Parallel()
	_, err := (&invoice.Job{Currency: "XXX"}).Calculate()
	if diff := cmp.Diff([]string{"currency"}, problemFields(t, err)); diff != "" {
		t.Error("want -, got +:", diff)
	}
	tooFine := invoice.NewDecimal(1, 7)
	_, err = (&invoice.Job{Currency: "GBP", Lines: []invoice.Line{{Quantity: tooFine}, {UnitPrice: invoice.NewDecimal(1e12, 0), TaxPercent: &tooFine}}}).Calculate()
	if diff := cmp.Diff([]string{"lines[0].quantity", "lines[1].unit_price", "lines[1].tax_percent"}, problemFields(t, err)); diff != "" {
		t.Error("want -, got +:", diff)
	}
	tooMuch := millionths(percentMax + 1)
	_, err = (&invoice.Job{Currency: "GBP", Lines: []invoice.Line{{DiscountPercent: millionths(-1)}, {TaxPercent: &tooMuch}}}).Calculate()
	if diff := cmp.Diff([]string{"lines[0].discount_percent", "lines[1].tax_percent"}, problemFields(t, err)); diff != "" {
		t.Error("want -, got +:", diff)
	}
}

func problemFields(t interface{ Fatalf(string, ...any) }, err error) []string {
	if err == nil {
		return nil
	}
	var invalid *invoice.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("%T %v is no *InvalidError", err, err)
	}
	fields := make([]string, len(invalid.Problems))
	for i, p := range invalid.Problems {
		fields[i] = p.Field
	}
	return fields
}

func BenchmarkCalculate(b *testing.B) {
	job := invoicetest.Job("536365", func(j *invoice.Job) {
		for len(j.Lines) < 20 { // the mean of the real transactions
			j.Lines = append(j.Lines, j.Lines...)
		}
		j.Lines = j.Lines[:20]
	})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := job.Calculate(); err != nil {
			b.Fatal(err)
		}
	}
}
