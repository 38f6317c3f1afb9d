package sample

import (
	"slices"
	"strconv"

	"invoicer/invoice"
)

// state has a job state what only version 2 of the format can: prices with tax, several taxes, allowances, charges, withholdings, parties
// and texts.
func (g *Generator) state(j *invoice.Job) {
	j.Version = 2
	j.Terms = &invoice.Terms{}
	if g.oneIn(2) {
		j.Terms.Prices = invoice.PricesGross
	}
	g.stateParties(j.Terms)
	for i := range j.Lines {
		g.stateLine(j, &j.Lines[i])
	}
	if !g.oneIn(2) {
		return
	}
	exponent, _ := invoice.MinorUnits(j.Currency)
	amount := func(most int) invoice.Decimal { return invoice.NewDecimal(int64(g.rand.IntN(most)), exponent) }
	if g.oneIn(2) {
		percent := percentOf(20)
		j.Terms.Allowances = []invoice.Adjustment{{Reason: "loyalty", ReasonCode: "95", Amount: amount(500), TaxPercent: &percent}}
	}
	if g.oneIn(2) {
		percent := percentOf(5)
		j.Terms.Charges = []invoice.Adjustment{{Reason: "freight", Amount: amount(900), TaxPercent: &percent, Taxation: invoice.Taxation{Prices: invoice.PricesGross}}}
	}
	if g.oneIn(3) {
		percent := percentOf(19)
		j.Terms.Withholdings = []invoice.Withholding{{Code: "IRPF", Percent: &percent}}
	}
	if g.oneIn(3) {
		j.Terms.Rounding = amount(50)
	}
	if g.oneIn(3) {
		j.Terms.Prepaid = amount(1000)
	}
}

func (g *Generator) stateParties(t *invoice.Terms) {
	if g.oneIn(2) {
		t.Buyer = &invoice.Party{
			Name: "Żabka \"Nord\" & Söhne", VATID: "DE" + strconv.Itoa(100_000_000+g.number),
			Address: &invoice.Address{Line1: "Straße 1", City: "Kraków", CountryCode: pick(g.rand, []string{"PL", "DE", "GB"})},
		}
	}
	if g.oneIn(3) {
		t.Notes = []invoice.Note{{Text: "thank you"}, {Code: "AAI", Text: "ordered by phone"}}
	}
	if g.oneIn(4) {
		t.DueDate, t.OrderReference = g.now.AddDate(0, 0, 30).Format("2006-01-02"), "PO-"+strconv.Itoa(g.number)
	}
}

func (g *Generator) stateLine(j *invoice.Job, l *invoice.Line) {
	l.Terms = &invoice.LineTerms{Unit: pick(g.rand, []string{"C62", "KGM", "HUR"}), Name: l.Description}
	switch g.rand.IntN(6) {
	case 0:
		gst, qst := percentOf(5), invoice.MustDecimal("9.975")
		l.TaxPercent = nil
		l.Terms.Taxes = []invoice.TaxRate{{Code: "GST", Percent: &gst}, {Code: "QST", Percent: &qst, Compound: g.oneIn(3)}}
	case 1:
		l.TaxPercent, l.Terms.TaxCategory, l.Terms.ExemptionReason = new(invoice.Decimal), "E", "books"
	case 2:
		thousand := invoice.NewDecimal(1000, 0)
		l.Terms.BaseQuantity = &thousand
		l.UnitPrice = invoice.MustDecimal("7.123456789012")
	case 3:
		exponent, _ := invoice.MinorUnits(j.Currency)
		l.Terms.DiscountAmount, l.Terms.DiscountReason = invoice.NewDecimal(int64(g.rand.IntN(30)), exponent), "scratched"
	}
}

// isCreditable reports whether taking back any lines of a sale leaves something of it at each of its rates: what it states beside its
// lines isn't taken back with them.
func isCreditable(sale *invoice.Job) bool {
	if t := sale.Terms; t == nil || t.Allowances == nil && t.Charges == nil {
		return !slices.ContainsFunc(sale.Lines, func(l invoice.Line) bool {
			return l.Terms != nil && (!l.Terms.DiscountAmount.IsZero() || l.Terms.Taxes != nil)
		})
	}
	return false
}

func (g *Generator) oneIn(n int) bool { return g.rand.IntN(n) == 0 }

func percentOf(n int64) invoice.Decimal { return invoice.NewDecimal(n, 0) }
