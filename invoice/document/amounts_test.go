package document_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"

	"invoicer/internal/sample"
	"invoicer/invoice"
	"invoicer/invoice/document"
)

// An oracle computes with fractions of its own, from the numbers as they are spelled.
type oracle struct {
	t    *testing.T
	unit *big.Rat // the smallest amount of the currency
}

func (o oracle) of(d fmt.Stringer) *big.Rat {
	r, ok := new(big.Rat).SetString(d.String())
	if !ok {
		o.t.Fatalf("%s is no number", d)
	}
	return r
}

func (o oracle) equal(what string, stated document.Decimal, want *big.Rat) {
	o.t.Helper()
	if o.of(stated).Cmp(want) != 0 {
		o.t.Errorf("%s is %s, and comes to %s", what, stated, want.FloatString(6))
	}
}

// within reports whether a number is off by less than so many units.
func (o oracle) within(stated document.Decimal, want *big.Rat, units *big.Rat) bool {
	off := new(big.Rat).Sub(o.of(stated), want)
	return off.Abs(off).Cmp(new(big.Rat).Mul(units, o.unit)) < 0
}

// rounded rounds half away from zero to the currency's smallest amount.
func (o oracle) rounded(r *big.Rat) *big.Rat {
	units := new(big.Rat).Quo(r, o.unit)
	up := big.NewRat(1, 2)
	if r.Sign() < 0 {
		up.Neg(up)
	}
	units.Add(units, up)
	whole := new(big.Int).Quo(units.Num(), units.Denom())
	return new(big.Rat).Mul(new(big.Rat).SetInt(whole), o.unit)
}

func sumOf[T any](o oracle, list []T, of func(*T) document.Decimal) *big.Rat {
	total := new(big.Rat)
	for n := range list {
		total.Add(total, o.of(of(&list[n])))
	}
	return total
}

func plus(sign int64, terms ...*big.Rat) *big.Rat {
	total := new(big.Rat)
	for _, term := range terms {
		total.Add(total, term)
	}
	return total.Mul(total, big.NewRat(sign, 1))
}

// Each document adds up by BR-CO-10 to 17, exactly, and its amounts are the stored ones.
func TestSumsOfRandomDocuments(t *testing.T) {
	t.Parallel()
	g := sample.New(sample.Options{Seed: 10, Elaborate: true, MaxLines: 1000, Currencies: []string{"EUR", "GBP", "JPY", "SEK", "HUF", "USD", "BHD", "CLF"}})
	r := rand.New(rand.NewPCG(17, 0))
	creditNotes, gross, several := 0, 0, 0
	for n := range count {
		job := g.Next()
		job.CreditsTransactionID = ""
		sample.Complete(r, &job)
		i, err := sample.Stored(&job, fmt.Sprint(n))
		if err != nil {
			continue
		}
		d, err := document.Of(i, document.Facts{})
		if err != nil {
			t.Fatal(err)
		}
		decimals, _ := invoice.MinorUnits(i.Currency)
		o := oracle{t, new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil))}
		sign := int64(1)
		if i.Slot.Kind == invoice.KindCreditNote {
			sign, creditNotes = -1, creditNotes+1
		}
		if d.Gross != nil {
			gross++
		}
		if len(d.Taxes) > 1 {
			several++
		}
		amount := func(a *document.Adjustment) document.Decimal { return a.Amount }
		neg := func(r *big.Rat) *big.Rat { return new(big.Rat).Neg(r) }
		v := &d.Totals
		o.equal("BT-106", v.Lines, sumOf(o, d.Lines, func(l *document.Line) document.Decimal { return l.Net }))
		o.equal("BT-107", v.Allowances, sumOf(o, d.Allowances, amount))
		o.equal("BT-108", v.Charges, sumOf(o, d.Charges, amount))
		o.equal("BT-109", v.Net, plus(1, o.of(v.Lines), neg(o.of(v.Allowances)), o.of(v.Charges)))
		o.equal("BT-110", v.Tax, sumOf(o, d.Taxes, func(t *document.Tax) document.Decimal { return t.Amount }))
		o.equal("BT-112", v.Gross, plus(1, o.of(v.Net), o.of(v.Tax)))
		o.equal("BT-115", v.Payable, plus(1, o.of(v.Gross), neg(o.of(v.Prepaid)), o.of(v.Rounding)))
		for _, stored := range []struct {
			what   string
			stated document.Decimal
			minor  int64
		}{{"the subtotal", v.Net, i.Subtotal}, {"the tax", v.Tax, i.Tax}, {"the total", v.Gross, i.Total}, {"payable", v.Payable, i.Payable}} {
			o.equal(stored.what, stored.stated, plus(sign, new(big.Rat).Mul(big.NewRat(stored.minor, 1), o.unit)))
		}
		o.taxes(i, d)
		o.lines(i, d)
		if t.Failed() {
			t.Fatalf("%s %s", i.Slot.Kind, i.TransactionID)
		}
	}
	if creditNotes == 0 || gross == 0 || several == 0 {
		t.Errorf("%d credit notes, %d with tax in their prices, %d with several rates", creditNotes, gross, several)
	}
}

// taxes looks at BR-CO-17 and the bases: the tax is exact where prices are without, and less than one minor unit off where they are with.
func (o oracle) taxes(i *invoice.Invoice, d *document.Document) {
	for n := range d.Taxes {
		tax := &d.Taxes[n]
		base, net, gross := new(big.Rat), false, false
		key := func(r document.Rate) string { return fmt.Sprint(r.Category, r.Percent) }
		for k := range d.Lines {
			if key(d.Lines[k].Rate) == key(tax.Rate) {
				base.Add(base, o.of(d.Lines[k].Net))
				lineGross := hasGrossPrice(i, k)
				net, gross = net || !lineGross, gross || lineGross
			}
		}
		documentGross := i.Terms != nil && i.Terms.Prices == invoice.PricesGross
		for k := range d.Allowances {
			if key(d.Allowances[k].Rate) == key(tax.Rate) {
				base.Sub(base, o.of(d.Allowances[k].Amount))
				net, gross = net || !documentGross, gross || documentGross
			}
		}
		for k := range d.Charges {
			if key(d.Charges[k].Rate) == key(tax.Rate) {
				base.Add(base, o.of(d.Charges[k].Amount))
				net, gross = net || !documentGross, gross || documentGross
			}
		}
		o.equal("BT-116", tax.Base, base)
		exact := new(big.Rat)
		if tax.Percent != nil {
			exact.Mul(o.of(tax.Base), o.of(*tax.Percent)).Quo(exact, big.NewRat(100, 1))
		}
		switch {
		case net && !gross:
			o.equal("BT-117", tax.Amount, o.rounded(exact))
		case gross && !net && !o.within(tax.Amount, exact, big.NewRat(1, 1)):
			o.t.Errorf("BT-117 is %s where the prices contain it, and exactly %s", tax.Amount, exact.FloatString(6))
		case !o.within(tax.Amount, exact, big.NewRat(2, 1)):
			o.t.Errorf("BT-117 is %s, and exactly %s", tax.Amount, exact.FloatString(6))
		}
	}
}

// hasGrossPrice reports whether the price of a line contains its taxes.
func hasGrossPrice(i *invoice.Invoice, line int) bool {
	if t := i.Lines[line].Terms; t != nil && t.Prices != "" {
		return t.Prices == invoice.PricesGross
	}
	return i.Terms != nil && i.Terms.Prices == invoice.PricesGross
}

// lines looks at quantity × price, the line's discounts and the signs of prices.
func (o oracle) lines(i *invoice.Invoice, d *document.Document) {
	for n := range d.Lines {
		l := &d.Lines[n]
		if l.Price.Sign() < 0 {
			o.t.Errorf("line %s has the price %s", l.ID, l.Price)
		}
		value := new(big.Rat).Mul(o.of(l.Quantity), o.of(l.Price))
		if l.BaseQuantity != nil {
			value.Quo(value, o.of(*l.BaseQuantity))
		}
		for k := range l.Allowances {
			value.Sub(value, o.of(l.Allowances[k].Amount))
		}
		for k := range l.Charges {
			value.Add(value, o.of(l.Charges[k].Amount))
		}
		// A discount in percent is what is left between the rounded base and the net, so that a line of three roundings is off by less than 1.
		if !o.within(l.Net, value, big.NewRat(1, 1)) {
			o.t.Errorf("line %s of %s %s comes to %s and is %s", l.ID, i.Currency, i.TransactionID, value.FloatString(6), l.Net)
		}
	}
}
