package amounts_test

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"
	"time"

	"invoicer/invoice/amounts"
	"invoicer/invoice/decimal"
)

// disagreements returns where a result is not what the oracle says.
func disagreements(r *amounts.Result, problems []amounts.Problem, o *oracle) []string {
	var bad []string
	if len(problems) > 0 || len(o.problems) > 0 {
		var fields []string
		for _, p := range problems {
			fields = append(fields, p.Field)
		}
		sort.Strings(fields)
		if got, want := strings.Join(fields, " "), strings.Join(o.fields(), " "); got != want {
			bad = append(bad, fmt.Sprintf("problems in %q, want %q", got, want))
		}
		return bad
	}
	differ := func(name string, got int64) {
		want := "0"
		if o.amounts[name] != nil {
			want = o.amounts[name].RatString()
		}
		if fmt.Sprint(got) != want {
			bad = append(bad, fmt.Sprintf("%s is %d, want %s", name, got, want))
		}
	}
	for i := range r.Lines {
		name := fmt.Sprintf("lines[%d]", i)
		differ(name, r.Lines[i].Amount)
		differ("net "+name, r.Lines[i].Net)
	}
	for i, a := range r.Allowances {
		name := fmt.Sprintf("allowances[%d]", i)
		differ(name, a.Amount)
		differ("net "+name, -a.Net)
	}
	for i, a := range r.Charges {
		name := fmt.Sprintf("charges[%d]", i)
		differ(name, a.Amount)
		differ("net "+name, a.Net)
	}
	rows := 0
	for name := range o.amounts {
		if strings.HasPrefix(name, "tax ") {
			rows++
		}
	}
	if len(r.Taxes) != rows {
		bad = append(bad, fmt.Sprintf("%d tax rows, want %d", len(r.Taxes), rows))
	}
	for _, row := range r.Taxes {
		name := rateName(row.Code, row.Category, row.Percent)
		differ("row net "+name, row.Net)
		differ("row base "+name, row.Base)
		differ("tax "+name, row.Tax)
	}
	for i, w := range r.Withholdings {
		differ(fmt.Sprintf("withholdings[%d]", i), w)
	}
	differ("subtotal", r.Subtotal)
	differ("tax", r.Tax)
	differ("total", r.Total)
	differ("withheld", r.Withheld)
	differ("payable", r.Payable)
	return bad
}

// A maker makes up documents.
type maker struct{ *rand.Rand }

func newMaker(seed uint64) maker { return maker{rand.New(rand.NewPCG(seed, 16))} }

func oneOf[T any](m maker, from ...T) T { return from[m.IntN(len(from))] }

// chance is true once in n times.
func (m maker) chance(n int) bool { return m.IntN(n) == 0 }

// number returns a number of any size, so that small ones meet ties and large ones limits.
func (m maker) number() decimal.Decimal {
	switch m.IntN(12) {
	case 0:
		return decimal.New(m.Int64N(2_000_001)-1_000_000, decimal.Places)
	case 1:
		return decimal.New(m.Int64N(2_000_000_000_000_000_000)-1_000_000_000_000_000_000, oneOf(m, 12, 12, 9, 6))
	case 2:
		return oneOf(m, number("0"), number("0.333333333333"), number("1.333333333333"), number("-0.000000000001"), number("1000"))
	case 3, 4, 5:
		return decimal.New(m.Int64N(41)-20, 1)
	default:
		return decimal.New(m.Int64N(20_001)-5_000, 2)
	}
}

func (m maker) quantity() decimal.Decimal {
	if m.chance(4) {
		return m.number()
	}
	return decimal.New(oneOf[int64](m, 1, 1, 1, 2, 3, -1, 12), 0)
}

func (m maker) percent() decimal.Decimal {
	if m.chance(3) {
		return decimal.New(m.Int64N(100_000_000_000_001), decimal.Places)
	}
	return number(oneOf(m, "0", "0", "5", "7", "9.975", "19", "20", "25", "50", "100", "0.000000000001", "33.333333333333"))
}

// amount returns an amount of money, often a small one.
func (m maker) amount(exponent int) decimal.Decimal {
	return decimal.New(m.Int64N(oneOf[int64](m, 7, 7, 201, 20_001))-oneOf[int64](m, 0, 0, 3), exponent)
}

// lists returns the lists of taxes that a document uses.
func (m maker) lists() [][]amounts.Tax {
	lists := [][]amounts.Tax{nil, at("19"), at("7")}
	for range 1 + m.IntN(3) {
		var list []amounts.Tax
		for range oneOf(m, 1, 1, 2, 2, 3, 8) {
			list = append(list, amounts.Tax{
				Code: oneOf(m, "", "GST", "QST"), Category: oneOf(m, "", "", "S"), Percent: m.percent(), Compound: m.chance(3),
			})
		}
		if m.chance(3) {
			list = append(list, list[0]) // the same tax twice
		}
		lists = append(lists, list, list[:1])
	}
	return lists[m.IntN(3):]
}

func (m maker) terms(lists [][]amounts.Tax) amounts.Terms {
	return amounts.Terms{Prices: oneOf(m, amounts.AsDocument, amounts.AsDocument, amounts.AsDocument, amounts.Net, amounts.Gross), Taxes: oneOf(m, lists...)}
}

func (m maker) adjustments(lists [][]amounts.Tax, exponent int) (all []amounts.Adjustment) {
	for m.chance(2) {
		a := amounts.Adjustment{Terms: m.terms(append(lists, nil, nil))}
		if m.chance(2) {
			a.Percent = m.percent()
		} else {
			a.Amount = m.amount(exponent)
		}
		all = append(all, a)
	}
	return all
}

func (m maker) document() *amounts.Document {
	d := &amounts.Document{Exponent: oneOf(m, 2, 2, 2, 0, 3, 4), Prices: oneOf(m, amounts.AsDocument, amounts.Net, amounts.Gross, amounts.Gross)}
	lists := m.lists()
	for range 1 + m.IntN(7) {
		l := amounts.Line{Terms: m.terms(lists), Quantity: m.quantity(), UnitPrice: m.number()}
		if m.chance(5) {
			l.BaseQuantity = number(oneOf(m, "1", "3", "7", "1000", "0.000000000007", "999999999999999.999999999999"))
		}
		if m.chance(4) {
			l.DiscountPercent = m.percent()
		}
		if m.chance(5) {
			l.DiscountAmount = m.amount(d.Exponent)
		}
		if m.chance(5) {
			l.ChargeAmount = m.amount(d.Exponent)
		}
		d.Lines = append(d.Lines, l)
	}
	if m.chance(2) {
		d.Allowances = m.adjustments(lists, d.Exponent)
		d.Charges = m.adjustments(lists, d.Exponent)
	}
	for m.chance(4) {
		w := amounts.Withholding{Percent: m.percent()}
		if m.chance(2) {
			base := m.amount(d.Exponent)
			w.Base = &base
		}
		d.Withholdings = append(d.Withholdings, w)
	}
	if m.chance(4) {
		d.Prepaid, d.Rounding = m.amount(d.Exponent), m.amount(d.Exponent)
	}
	return d
}

// giveTaxes adds taxes that a service has computed: the right ones, or a little off.
func (m maker) giveTaxes(d *amounts.Document) {
	r, _ := amounts.Calculate(d)
	if r == nil {
		return
	}
	for _, row := range r.Taxes {
		if m.chance(2) && row.Tax < 1e17 && row.Tax > -1e17 {
			d.TaxAmounts = append(d.TaxAmounts, amounts.TaxAmount{
				Code: row.Code, Category: row.Category, Percent: row.Percent, Amount: decimal.New(row.Tax+m.Int64N(9)-4, d.Exponent),
			})
		}
	}
}

// expect adds expected amounts, mostly the right ones.
func (m maker) expect(d *amounts.Document) {
	r, _ := amounts.Calculate(d)
	if r == nil {
		return
	}
	total, payable := decimal.New(r.Total, d.Exponent), decimal.New(r.Payable, d.Exponent)
	if d.ExpectedTotal, d.ExpectedPayable = &total, &payable; m.chance(4) && r.Total < 1e17 {
		total = decimal.New(r.Total+1, d.Exponent)
	}
}

// Whatever a document holds, its amounts are those of the oracle.
func TestAgainstOracle(t *testing.T) {
	t.Parallel()
	count := 30_000
	if testing.Short() {
		count = 5_000
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seeds %d to %d", seed, seed+uint64(count)-1)
	seen := map[string]int{}
	for i := range uint64(count) {
		m := newMaker(seed + i)
		d := m.document()
		if m.chance(3) {
			m.giveTaxes(d)
		}
		if m.chance(4) {
			m.expect(d)
		}
		r, problems := amounts.Calculate(d)
		o := ask(d)
		if bad := disagreements(r, problems, o); len(bad) > 0 {
			t.Fatalf("seed %d: %+v\n%s", seed+i, d, strings.Join(bad, "\n"))
		}
		switch {
		case r == nil:
			seen["refused"]++
		case len(d.TaxAmounts) > 0:
			seen["given"]++
		default:
			seen["computed"]++
		}
	}
	t.Log(seen)
	for _, what := range []string{"refused", "given", "computed"} {
		if seen[what] < count/20 {
			t.Errorf("%d of %d are %s", seen[what], count, what)
		}
	}
}
