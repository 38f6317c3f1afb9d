package amounts_test

import (
	"testing"

	"invoicer/invoice/amounts"
	"invoicer/invoice/decimal"
)

// What shops reported about other systems, with the right values.
func TestCases(t *testing.T) {
	t.Parallel()
	gst := []amounts.Tax{{Code: "GST", Percent: number("5")}, {Code: "QST", Percent: number("9.975")}}
	compound := []amounts.Tax{{Code: "A", Percent: number("19")}, {Code: "B", Percent: number("1"), Compound: true}}
	net := func(l *amounts.Line) { l.Prices = amounts.Net }
	of := func(quantity string) func(*amounts.Line) {
		return func(l *amounts.Line) { l.Quantity = number(quantity) }
	}
	less := func(percent string) func(*amounts.Line) {
		return func(l *amounts.Line) { l.DiscountPercent = number(percent) }
	}
	lessAmount := func(amount string) func(*amounts.Line) {
		return func(l *amounts.Line) { l.DiscountAmount = number(amount) }
	}
	for _, tt := range []struct {
		name                          string
		d                             amounts.Document
		subtotal, tax, total, payable int64
		rows                          [][3]int64
	}{
		{
			"prices with tax, and shipping without", amounts.Document{Exponent: 2, Prices: amounts.Gross, Lines: []amounts.Line{
				line("45", at("21")), line("49", at("21")), line("4.96", at("21"), net),
			}}, 8265, 1735, 10000, 10000, [][3]int64{{8265, 8265, 1735}},
		},
		{
			"two taxes",
			amounts.Document{Exponent: 2, Lines: []amounts.Line{line("10.30", gst)}},
			1030, 155, 1185, 1185,
			[][3]int64{{1030, 1030, 52}, {1030, 1030, 103}},
		},
		{
			"two taxes in the price",
			amounts.Document{Exponent: 2, Prices: amounts.Gross, Lines: []amounts.Line{line("11.85", gst)}},
			1031, 154, 1185, 1185,
			[][3]int64{{1031, 1031, 51}, {1031, 1031, 103}},
		},
		{
			"a tax on a tax",
			amounts.Document{Exponent: 2, Lines: []amounts.Line{line("100", compound)}},
			10000, 2019, 12019, 12019,
			[][3]int64{{10000, 11900, 119}, {10000, 10000, 1900}},
		},
		{
			"a tax on a tax, in the price",
			amounts.Document{Exponent: 2, Prices: amounts.Gross, Lines: []amounts.Line{line("120.19", compound)}},
			10000, 2019, 12019, 12019,
			[][3]int64{{10000, 11900, 119}, {10000, 10000, 1900}},
		},
		{
			"a discount as an amount",
			amounts.Document{Exponent: 2, Lines: []amounts.Line{line("72786.00", nil, of("2"), lessAmount("8511.37"))}},
			13706063, 0, 13706063, 13706063, nil,
		},
		{
			"a discount as an amount, in pesos",
			amounts.Document{Exponent: 2, Lines: []amounts.Line{line("84000000", at("19"), lessAmount("70000000"))}},
			1400000000, 266000000, 1666000000, 1666000000,
			[][3]int64{{1400000000, 1400000000, 266000000}},
		},
		{
			"what is taken off before rounding",
			amounts.Document{Exponent: 2, Lines: []amounts.Line{line("0.005", nil, lessAmount("0.01"))}},
			-1, 0, -1, -1, nil,
		},
		{
			"tax withheld", amounts.Document{
				Exponent: 2, Lines: []amounts.Line{line("138.75", at("21"))}, Withholdings: []amounts.Withholding{{Percent: number("19")}},
			}, 13875, 2914, 16789, 14153, [][3]int64{{13875, 13875, 2914}},
		},
		{
			"rounded to what can be paid in cash",
			amounts.Document{Exponent: 2, Lines: []amounts.Line{line("841.40", at("25"))}, Rounding: number("0.25")},
			84140, 21035, 105175, 105200,
			[][3]int64{{84140, 84140, 21035}},
		},
		{
			"partly paid before",
			amounts.Document{Exponent: 2, Lines: []amounts.Line{line("100", at("20"))}, Prepaid: number("20.00")},
			10000, 2000, 12000, 10000,
			[][3]int64{{10000, 10000, 2000}},
		},
		{"all of it off", amounts.Document{Exponent: 2, Lines: []amounts.Line{line("64.22", nil, of("2.25"), less("100"))}}, 0, 0, 0, 0, nil},
		{
			"tax by rate, not by line",
			amounts.Document{Exponent: 2, Lines: []amounts.Line{line("55.55", at("23")), line("11.11", at("23"))}},
			6666, 1533, 8199, 8199,
			[][3]int64{{6666, 6666, 1533}},
		},
		{"half a cent off", amounts.Document{Exponent: 2, Lines: []amounts.Line{line("34.90", nil, less("15"))}}, 2967, 0, 2967, 2967, nil},
		{
			"three decimals of a percentage",
			amounts.Document{Exponent: 2, Lines: []amounts.Line{line("4495.16", at("9.975"))}},
			449516, 44839, 494355, 494355,
			[][3]int64{{449516, 449516, 44839}},
		},
		{
			"a price for a thousand", amounts.Document{Exponent: 2, Lines: []amounts.Line{
				line("7", nil, of("1234"), func(l *amounts.Line) { l.BaseQuantity = number("1000") }),
			}}, 864, 0, 864, 864, nil,
		},
		{
			"a price per call, in millions of calls", amounts.Document{Exponent: 2, Lines: []amounts.Line{
				line("0.000000000125", nil, of("999999999999999.999999999999")),
			}}, 12500000, 0, 12500000, 12500000, nil,
		},
		{
			"deposits returned beyond what was sold", amounts.Document{Exponent: 2, Prices: amounts.Gross, Lines: []amounts.Line{
				line("0.40", at("19")), line("0.25", at("19"), of("-4")),
			}}, -50, -10, -60, -60, [][3]int64{{-50, -50, -10}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := calculate(t, &tt.d)
			equal(t, "subtotal, tax, total, payable", []int64{r.Subtotal, r.Tax, r.Total, r.Payable}, []int64{tt.subtotal, tt.tax, tt.total, tt.payable})
			equal(t, "rows: net, base, tax", rows(r), tt.rows)
		})
	}
}

// A tax service's amount is taken within a cent for each line of its rate. At net prices the total changes, at gross prices the net.
func TestTaxIsGiven(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		prices               amounts.Prices
		given                string
		subtotal, tax, total int64
		nets                 []int64
	}{
		{amounts.Net, "4.02", 2000, 402, 2402, []int64{1000, 1000}},
		{amounts.Net, "3.98", 2000, 398, 2398, []int64{1000, 1000}},
		{amounts.Gross, "3.35", 1665, 335, 2000, []int64{833, 832}},
		{amounts.Gross, "3.31", 1669, 331, 2000, []int64{835, 834}},
	} {
		document := func(given string) *amounts.Document {
			return &amounts.Document{
				Exponent: 2, Prices: tt.prices, Lines: []amounts.Line{line("10", at("20")), line("10", at("20"))},
				TaxAmounts: []amounts.TaxAmount{{Percent: number("20"), Amount: number(given)}},
			}
		}
		r := calculate(t, document(tt.given))
		equal(t, tt.given, []int64{r.Subtotal, r.Tax, r.Total, r.Taxes[0].Tax}, []int64{tt.subtotal, tt.tax, tt.total, tt.tax})
		equal(t, tt.given, nets(r.Lines), tt.nets)
		beyond := decimal.New(tt.tax+map[bool]int64{true: 1, false: -1}[tt.tax == 402 || tt.tax == 335], 2)
		if _, problems := amounts.Calculate(document(beyond.String())); len(problems) != 1 || problems[0].Field != "tax_amounts[0].amount" {
			t.Errorf("%s is taken: %v", beyond, problems)
		}
	}
}

// A free line stays free, whatever else is a cent off.
func TestGivenTaxLeavesFreeLines(t *testing.T) {
	t.Parallel()
	d := &amounts.Document{
		Exponent: 2, Prices: amounts.Gross, Lines: []amounts.Line{line("0", at("20")), line("10", at("20")), line("0", at("20"))},
		TaxAmounts: []amounts.TaxAmount{{Percent: number("20"), Amount: number("1.70")}},
	}
	equal(t, "nets", nets(calculate(t, d).Lines), []int64{0, 830, 0})
}
