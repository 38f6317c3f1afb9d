package sample

import (
	"math/rand/v2"
	"strconv"

	"invoicer/invoice"
)

// Complete has a job state all that an electronic invoice needs, and much of what it can have: one of all categories, allowances, charges,
// discounts, prices with tax, references. What it states depends on the generator alone. The job may come to nothing that is valid: a
// caller asks for the next one then.
func Complete(r *rand.Rand, j *invoice.Job) {
	c := &completer{Rand: r, job: j}
	c.decimals, _ = invoice.MinorUnits(j.Currency)
	j.Version = 2
	j.Terms = &invoice.Terms{}
	c.categories = c.pickCategories()
	if c.oneIn(3) {
		j.Terms.Prices = invoice.PricesGross
	}
	c.parties()
	c.lines()
	c.adjustments()
	c.amounts()
	c.texts()
}

// A completer completes one job.
type completer struct {
	*rand.Rand

	job        *invoice.Job
	decimals   int
	categories []invoice.Taxation // with the percentages below, those of the document
	percents   []string
}

func (c *completer) oneIn(n int) bool { return c.IntN(n) == 0 }

func (c *completer) amount(most int) invoice.Decimal {
	return invoice.NewDecimal(int64(1+c.IntN(most)), c.decimals)
}

// pickCategories returns how the document's lines can be taxed.
func (c *completer) pickCategories() (list []invoice.Taxation) {
	add := func(category, percent, reason, code string) {
		list = append(list, invoice.Taxation{TaxCategory: category, ExemptionReason: reason, ExemptionCode: code})
		c.percents = append(c.percents, percent)
	}
	switch c.IntN(10) {
	case 0:
		add("O", "0", "not subject to VAT", "")
	case 1:
		add("K", "0", "", "VATEX-EU-IC")
	case 2:
		add("G", "0", "Export outside the EU", "VATEX-EU-G")
	case 3:
		add("AE", "0", "Reverse charge", "")
		add("S", "21", "", "")
	case 4:
		add("L", "7", "", "")
		add("M", "4", "", "")
	default:
		add("S", "19", "", "")
		if c.oneIn(2) {
			add("S", "7", "", "")
			add("Z", "0", "", "")
			add("E", "0", "Books", "")
			add("S", "5.5", "", "")
		}
	}
	return list
}

// taxed returns one of the document's categories.
func (c *completer) taxed() (invoice.Taxation, *invoice.Decimal) {
	n := c.IntN(len(c.categories))
	percent := invoice.MustDecimal(c.percents[n])
	return c.categories[n], &percent
}

func (c *completer) parties() {
	t := c.job.Terms
	t.Seller = &invoice.Party{
		Name: "Müller & Söhne <GmbH>", LegalID: "HRB 12345", Address: &invoice.Address{Line1: "Hauptstraße 1", City: "Köln", Postcode: "50667", CountryCode: "DE"},
		VATID: "DE123456788", ElectronicAddress: &invoice.ElectronicAddress{Scheme: "9930", ID: "DE123456788"},
		Contact: &invoice.Contact{Name: "Ada", Phone: "+49 221 1234567", Email: "ada@example.com"},
	}
	t.Buyer = &invoice.Party{
		Name: "Żabka \"Nord\"", LegalID: "0000123456", Address: &invoice.Address{Line1: "ul. Długa 2", Line2: "2 p.", Line3: "c/o", City: "Kraków", Postcode: "31-146", Region: "Małopolska", CountryCode: "PL"},
		VATID: "PL1234567883", ElectronicAddress: &invoice.ElectronicAddress{Scheme: "9945", ID: "PL1234567883"}, TradingName: "Nord",
		Email: "buyer@example.com",
	}
	if c.categories[0].TaxCategory == "O" {
		t.Seller.VATID, t.Buyer.VATID = "", ""
	} else if c.oneIn(3) {
		t.Seller.TaxID = "214/5678/1234"
	}
	t.Delivery = &invoice.Delivery{Name: "Lager", Date: "2010-12-01", Address: &invoice.Address{City: "Kraków", Postcode: "31-146", CountryCode: "PL"}}
	if c.oneIn(4) {
		t.Payee = &invoice.Party{Name: "Factor AG", LegalID: "HRB 9"}
	}
	if c.oneIn(6) && t.Seller.VATID != "" {
		t.TaxRepresentative = &invoice.Party{Name: "Steuer AG", VATID: "DE987654321", Address: &invoice.Address{CountryCode: "DE"}}
	}
	t.Payment = &invoice.Payment{Terms: "30 days", MeansCode: "58", IBAN: "DE89370400440532013000", BIC: "COBADEFFXXX", AccountName: "Müller", Reference: "RF18"}
	if c.oneIn(5) {
		t.Payment = &invoice.Payment{MeansCode: "10"}
		if t.Payee != nil || t.Seller.TaxID != "" {
			t.Payment = &invoice.Payment{Terms: "on 14 December", MeansCode: "59", IBAN: "DE02120300000000202051", Mandate: "M-1", CreditorID: "DE98ZZZ09999999999", Reference: "RF18"}
		}
	}
}

func (c *completer) lines() {
	for i := range c.job.Lines {
		l := &c.job.Lines[i]
		t := &invoice.LineTerms{Unit: pick(c.Rand, []string{"C62", "KGM", "HUR", "XPP"})}
		l.Terms = t
		t.Taxation, l.TaxPercent = c.taxed()
		if l.Description == "" && l.SKU == "" {
			l.SKU = "X"
		}
		gross := c.job.Terms.Prices == invoice.PricesGross
		if c.oneIn(20) && !gross {
			t.Prices, gross = invoice.PricesGross, true
		}
		switch c.IntN(10) {
		case 0:
			thousand := invoice.NewDecimal(1000, 0)
			t.BaseQuantity = &thousand
			l.UnitPrice = invoice.MustDecimal("71.23456789")
		case 1:
			t.DiscountAmount, t.DiscountReason = c.amount(30), "scratched"
		case 2:
			t.ChargeAmount = c.amount(30)
		case 3:
			l.DiscountPercent = invoice.MustDecimal("12.5")
			t.DiscountAmount = c.amount(9)
		case 4:
			l.UnitPrice, l.Quantity = l.UnitPrice.Neg(), l.Quantity.Neg()
		case 5:
			t.Name, t.Note, t.OrderLine, t.AccountingReference = "Ding №"+strconv.Itoa(i), "a note", "7", "K1"
			t.Period = &invoice.Period{Start: "2010-12-01", End: "2010-12-31"}
			t.ItemIDs = &invoice.ItemIDs{Seller: "S", Buyer: "B", Standard: "4012345000009", StandardScheme: "0160"}
			t.Classifications = []invoice.Classification{{Scheme: "STI", Code: "12345"}}
			t.OriginCountry = "DE"
		}
		if l.Quantity.IsZero() && gross {
			l.Quantity = invoice.NewDecimal(1, 0) // what has no quantity has no price without tax
		}
	}
}

func (c *completer) adjustments() {
	t := c.job.Terms
	for _, list := range []*[]invoice.Adjustment{&t.Allowances, &t.Charges} {
		for c.oneIn(3) && len(*list) < 3 {
			a := invoice.Adjustment{Reason: "because", Amount: c.amount(900)}
			if c.oneIn(2) {
				a.Reason = ""
			}
			if c.oneIn(3) {
				a.Amount, a.Percent = invoice.Decimal{}, invoice.MustDecimal("2.5")
			}
			if c.oneIn(2) {
				a.Taxation, a.TaxPercent = c.taxed()
			}
			*list = append(*list, a)
		}
	}
}

func (c *completer) amounts() {
	t := c.job.Terms
	if c.oneIn(4) {
		percent := invoice.MustDecimal("15")
		t.Withholdings = []invoice.Withholding{{Code: "IRPF", Percent: &percent}}
	}
	if c.oneIn(4) {
		t.Rounding = c.amount(50)
	}
	if c.oneIn(4) {
		t.Prepaid = c.amount(1000)
	}
	if c.oneIn(5) && c.job.Currency != "CZK" {
		t.TaxCurrency, t.TaxCurrencyRate = "CZK", invoice.MustDecimal("25.123456")
	}
}

func (c *completer) texts() {
	t := c.job.Terms
	t.BuyerReference = "04011000-12345-34"
	if c.oneIn(2) {
		return
	}
	t.OrderReference, t.ContractReference, t.ProjectReference, t.TenderReference = "PO 1", "C 1", "P 1", "T 1"
	t.DespatchReference, t.ReceiptReference, t.ObjectReference, t.AccountingReference = "D 1", "R 1", "meter 7", "cost centre"
	t.Notes = []invoice.Note{{Text: "thank you"}, {Code: "AAI", Text: "ordered\nby phone \u0001 ]]> \uFFFE"}}
	t.DueDate, t.TaxPointDate = "2011-01-31", "2010-12-31"
	t.Period = &invoice.Period{Start: "2010-12-01", End: "2010-12-31"}
	t.Preceding = []invoice.Preceding{{InvoiceNumber: "OLD 1", Date: "2009-12-31"}, {InvoiceNumber: "OLD 2"}}
}
