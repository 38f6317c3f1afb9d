package amounts_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"invoicer/internal/sample"
	"invoicer/invoice"
	"invoicer/invoice/amounts"
	"invoicer/invoice/decimal"
)

// For every gross amount, the total is that amount, and the nets of the lines are the rate's net.
func TestEveryGrossAmount(t *testing.T) {
	t.Parallel()
	step := int64(1)
	if testing.Short() {
		step = 7
	}
	for _, percent := range []string{"5", "7", "10", "13", "15", "19", "20", "21", "24", "25"} {
		t.Run(percent, func(t *testing.T) {
			t.Parallel()
			d := &amounts.Document{Exponent: 2, Prices: amounts.Gross, Lines: []amounts.Line{line("0", at(percent)), line("0", at(percent)), line("0", at(percent))}}
			for gross := int64(1); gross <= 100_000; gross += step {
				first, second := gross/3, gross/7
				for i, amount := range []int64{first, second, gross - first - second} {
					d.Lines[i].UnitPrice = decimal.New(amount, 2)
				}
				r := calculate(t, d)
				var net int64
				for i := range r.Lines {
					net += r.Lines[i].Net
				}
				if r.Total != gross || r.Payable != gross || r.Subtotal != net || r.Taxes[0].Net != net || r.Tax != gross-net {
					t.Fatalf("%d: total %d, subtotal %d, tax %d, nets of lines %d, net of the rate %d", gross, r.Total, r.Subtotal, r.Tax, net, r.Taxes[0].Net)
				}
			}
		})
	}
}

// turned returns the document with all amounts turned: those of its lines by the prices, for which the quantities stay.
func turned(d *amounts.Document) *amounts.Document {
	c := *d
	c.Lines, c.Allowances, c.Charges = slices.Clone(d.Lines), slices.Clone(d.Allowances), slices.Clone(d.Charges)
	c.TaxAmounts, c.Withholdings = slices.Clone(d.TaxAmounts), slices.Clone(d.Withholdings)
	for i := range c.Lines {
		l := &c.Lines[i]
		l.UnitPrice, l.DiscountAmount, l.ChargeAmount = l.UnitPrice.Neg(), l.DiscountAmount.Neg(), l.ChargeAmount.Neg()
	}
	for _, list := range [][]amounts.Adjustment{c.Allowances, c.Charges} {
		for i := range list {
			list[i].Amount = list[i].Amount.Neg()
		}
	}
	for i := range c.TaxAmounts {
		c.TaxAmounts[i].Amount = c.TaxAmounts[i].Amount.Neg()
	}
	for i := range c.Withholdings {
		if base := c.Withholdings[i].Base; base != nil {
			other := base.Neg()
			c.Withholdings[i].Base = &other
		}
	}
	c.Prepaid, c.Rounding = d.Prepaid.Neg(), d.Rounding.Neg()
	return &c
}

// negate turns a result.
func negate(r *amounts.Result) {
	parts := func(parts []amounts.Part) {
		for i := range parts {
			parts[i].Amount, parts[i].Net = -parts[i].Amount, -parts[i].Net
		}
	}
	parts(r.Lines)
	for _, list := range [][]amounts.Adjusted{r.Allowances, r.Charges} {
		for i := range list {
			list[i].Amount, list[i].Net = -list[i].Amount, -list[i].Net
			parts(list[i].Shares)
		}
	}
	for i := range r.Groups {
		g := &r.Groups[i]
		g.Amount, g.Net, g.Tax = -g.Amount, -g.Net, -g.Tax
	}
	for i := range r.Taxes {
		row := &r.Taxes[i]
		row.Net, row.Base, row.Tax = -row.Net, -row.Base, -row.Tax
	}
	for i := range r.Withholdings {
		r.Withholdings[i] = -r.Withholdings[i]
	}
	for _, amount := range []*int64{&r.Subtotal, &r.Tax, &r.Total, &r.Withheld, &r.Prepaid, &r.Rounding, &r.Payable} {
		*amount = -*amount
	}
}

// documents hands out so many random documents, with their seeds.
func documents(t *testing.T, count uint64, each func(seed uint64, m maker, d *amounts.Document)) {
	t.Helper()
	if testing.Short() {
		count /= 4
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seeds %d to %d", seed, seed+count-1)
	for i := range count {
		m := newMaker(seed + i)
		each(seed+i, m, m.document())
		if t.Failed() {
			return
		}
	}
}

// Turning the sign of every amount turns every result.
func TestTurningSigns(t *testing.T) {
	t.Parallel()
	documents(t, 10_000, func(seed uint64, m maker, d *amounts.Document) {
		m.giveTaxes(d)
		r, problems := amounts.Calculate(d)
		other, otherProblems := amounts.Calculate(turned(d))
		if r == nil || other == nil {
			if len(problems) != len(otherProblems) {
				t.Errorf("seed %d: %v, and turned %v", seed, problems, otherProblems)
			}
			return
		}
		negate(other)
		equal(t, "turned", other, r)
		if t.Failed() {
			t.Logf("seed %d: %+v", seed, d)
		}
	})
}

// The order of the lines changes no sum. An allowance that is shared gives a cent to the first of equal groups, so there are none.
func TestOrderOfLines(t *testing.T) {
	t.Parallel()
	documents(t, 10_000, func(seed uint64, m maker, d *amounts.Document) {
		named := func(a amounts.Adjustment) bool { return len(a.Taxes) == 0 }
		d.Allowances, d.Charges = slices.DeleteFunc(d.Allowances, named), slices.DeleteFunc(d.Charges, named)
		r, _ := amounts.Calculate(d)
		if r == nil {
			return
		}
		shuffled := *d
		shuffled.Lines = slices.Clone(d.Lines)
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(d.Lines), func(i, j int) {
			shuffled.Lines[i], shuffled.Lines[j] = shuffled.Lines[j], shuffled.Lines[i]
		})
		other := calculate(t, &shuffled)
		equal(t, "taxes", other.Taxes, r.Taxes)
		sums := func(r *amounts.Result) []int64 { return []int64{r.Subtotal, r.Tax, r.Total, r.Withheld, r.Payable} }
		equal(t, "sums", sums(other), sums(r))
		if t.Failed() {
			t.Logf("seed %d: %+v", seed, d)
		}
	})
}

// Whatever is in a document, its sums agree with each other.
func TestSumsAgree(t *testing.T) {
	t.Parallel()
	documents(t, 10_000, func(seed uint64, m maker, d *amounts.Document) {
		m.giveTaxes(d)
		r, _ := amounts.Calculate(d)
		if r == nil {
			return
		}
		groups := make([]amounts.Group, len(r.Groups))
		add := func(p amounts.Part, sign int64) {
			groups[p.Group].Amount += sign * p.Amount
			groups[p.Group].Net += sign * p.Net
		}
		var taxes, subtotal int64
		for _, l := range r.Lines {
			add(l, 1)
		}
		for i, list := range [][]amounts.Adjusted{r.Charges, r.Allowances} {
			for _, a := range list {
				var amount, net int64
				for _, s := range a.Shares {
					add(s, []int64{1, -1}[i])
					amount, net = amount+s.Amount, net+s.Net
				}
				equal(t, "an adjustment and its shares", []int64{amount, net}, []int64{a.Amount, a.Net})
			}
		}
		for i, g := range r.Groups {
			equal(t, "a group and its parts", []int64{groups[i].Amount, groups[i].Net}, []int64{g.Amount, g.Net})
			if g.Prices == amounts.Gross {
				equal(t, "a gross group's net and tax", g.Net+g.Tax, g.Amount)
			}
			subtotal += g.Net
		}
		for _, row := range r.Taxes {
			taxes += row.Tax
		}
		equal(t, "sums", []int64{subtotal, taxes, subtotal + taxes, r.Total - r.Withheld - r.Prepaid + r.Rounding},
			[]int64{r.Subtotal, r.Tax, r.Total, r.Payable})
		if t.Failed() {
			t.Logf("seed %d: %+v", seed, d)
		}
	})
}

// ofVersion1 returns a job of version 1 as a document.
func ofVersion1(j *invoice.Job) *amounts.Document {
	exponent, _ := invoice.MinorUnits(j.Currency)
	d := &amounts.Document{Exponent: exponent}
	for _, l := range j.Lines {
		line := amounts.Line{Quantity: l.Quantity, UnitPrice: l.UnitPrice, DiscountPercent: l.DiscountPercent}
		if l.TaxPercent != nil {
			line.Terms = amounts.Terms{Taxes: []amounts.Tax{{Percent: *l.TaxPercent}}, Short: true}
		}
		d.Lines = append(d.Lines, line)
	}
	return d
}

// A job of version 1 comes to what its own arithmetic makes of it.
func TestVersion1(t *testing.T) {
	t.Parallel()
	count := 4_000
	if testing.Short() {
		count = 1_000
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	jobs := sample.New(sample.Options{Seed: seed, Elaborate: true, MaxLines: 60, Currencies: []string{"GBP", "EUR", "JPY", "BHD", "CLF"}})
	for range count {
		j := jobs.Next()
		want, err := j.Calculate()
		if err != nil {
			t.Fatal(err)
		}
		r := calculate(t, ofVersion1(&j))
		got := invoice.Totals{Kind: want.Kind, Subtotal: r.Subtotal, Tax: r.Tax, Total: r.Total, Payable: r.Payable, LineNets: nets(r.Lines)}
		for _, row := range r.Taxes {
			equal(t, "base", row.Base, row.Net)
			got.Taxes = append(got.Taxes, invoice.Tax{Percent: row.Percent, Net: row.Net, Tax: row.Tax})
		}
		if equal(t, j.TransactionID, got, want); r.Payable != r.Total || t.Failed() {
			t.Fatalf("%+v", j)
		}
	}
}

// What is too big for version 1 is too big here, with the same problem.
func TestVersion1TooBig(t *testing.T) {
	t.Parallel()
	big, twenty, one := invoice.MustDecimal("9000000000"), invoice.MustDecimal("20"), invoice.MustDecimal("1")
	for _, lines := range [][]invoice.Line{
		{{Quantity: big, UnitPrice: big}, {Quantity: one, UnitPrice: one}, {Quantity: big, UnitPrice: big.Neg()}},
		{{Quantity: big, UnitPrice: invoice.MustDecimal("10000000")}, {Quantity: big, UnitPrice: invoice.MustDecimal("10000000")}},
		{{Quantity: big, UnitPrice: invoice.MustDecimal("10000000"), TaxPercent: &twenty}},
		{{Quantity: big, UnitPrice: invoice.MustDecimal("10000000"), TaxPercent: &twenty}, {Quantity: big, UnitPrice: invoice.MustDecimal("10000000"), TaxPercent: &twenty}},
	} {
		j := &invoice.Job{Currency: "EUR", Lines: lines}
		_, err := j.Calculate()
		var want *invoice.InvalidError
		if !errors.As(err, &want) {
			t.Fatal(err)
		}
		_, problems := amounts.Calculate(ofVersion1(j))
		got := make([]invoice.Problem, len(problems))
		for i, p := range problems {
			got[i] = invoice.Problem(p)
		}
		equal(t, "problems", got, want.Problems)
	}
}
