package document

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/amounts"
	"invoicer/invoice/decimal"
)

// Facts are what is stored beside an invoice and stands on its document.
type Facts struct {
	// Seller is what was known of the issuer when the document was made, for jobs that state no seller; nil if nothing was.
	Seller *Party
	// Zone is the time zone in which the document is dated. Default: UTC.
	Zone *time.Location
	// Preceding are the documents of the transactions that this one credits or replaces.
	Preceding []Preceding
	// Unknown are the transactions that this one credits or replaces, and that have no invoice here.
	Unknown []string
	// Profile is the one by which the document was judged before it was made, by the settings that held then; [None] for none. It is what
	// the document is written by.
	Profile Profile
}

// Codes that say what is meant where a job gives no reason, as EN 16931 wants one: of UNTDID 5189 and 7161.
const (
	discountCode = "95"
	chargeCode   = "ABK"
)

// Of returns the document of a stored invoice. It fails if the stored sums aren't those of the stored lines, which no invoice of this
// program has.
//
// EN 16931 has no term for what is withheld: by BR-CO-16 only what is in BT-113 is taken off, so it is there, and a note says so.
func Of(i *invoice.Invoice, facts Facts) (*Document, error) {
	job := i.Content()
	result, err := job.Amounts()
	if err != nil {
		return nil, fmt.Errorf("document %s: %w", i.Number, err)
	}
	if result.Subtotal != i.Subtotal || result.Tax != i.Tax || result.Total != i.Total || result.Payable != i.Payable {
		return nil, fmt.Errorf("document %s: its lines come to %d + %d = %d, and %d to pay, in minor units; stored are %d, %d, %d and %d", i.Number,
			result.Subtotal, result.Tax, result.Total, result.Payable, i.Subtotal, i.Tax, i.Total, i.Payable)
	}
	exponent, _ := invoice.MinorUnits(i.Currency)
	w := &writer{invoice: i, terms: i.Terms, result: result, exponent: exponent, sign: 1, facts: facts}
	if w.terms == nil {
		w.terms = &invoice.Terms{}
	}
	if i.Slot.Kind == invoice.KindCreditNote {
		w.sign = -1
	}
	return w.document(), nil
}

// Draft returns the document that a job will have once it has a number, so that what it lacks for a profile can be said before. Preceding
// documents that the job names by their transactions are missing unless the facts have them. It fails as [invoice.Job.Calculate] does.
func Draft(job *invoice.Job, facts Facts) (*Document, error) {
	totals, err := job.Calculate()
	if err != nil {
		return nil, err
	}
	i := &invoice.Invoice{
		Ref: invoice.Ref{TransactionID: job.TransactionID}, Slot: invoice.Slot{Kind: totals.Kind}, Details: job.Details, IssuedAt: job.IssuedAt,
		Currency: job.Currency, Subtotal: totals.Subtotal, Tax: totals.Tax, Total: totals.Total, Payable: totals.Payable, Taxes: totals.Taxes, Terms: job.Terms,
	}
	for n := range job.Lines {
		i.Lines = append(i.Lines, invoice.InvoicedLine{Line: job.Lines[n], Net: totals.LineNets[n]})
	}
	return Of(i, facts)
}

// Judge returns for what a profile could never accept the document that a job will have: see [Lacks]. The transactions that the job credits or
// replaces count as known, since they may become so. It fails as [invoice.Job.Calculate] does.
func Judge(job *invoice.Job, facts Facts, p Profile) ([]Lack, error) {
	for _, id := range []string{job.CreditsTransactionID, job.Replaces()} {
		if id != "" {
			facts.Preceding = append(facts.Preceding, Preceding{Number: id}) // stands for its number
		}
	}
	d, err := Draft(job, facts)
	if err != nil {
		return nil, err
	}
	return Lacks(d, p), nil
}

// A writer has what one document is made of.
type writer struct {
	invoice  *invoice.Invoice
	terms    *invoice.Terms
	result   *amounts.Result
	exponent int
	sign     int64 // -1 in a credit note
	facts    Facts
}

func (w *writer) document() *Document {
	i, t := w.invoice, w.terms
	d := &Document{
		Kind: Kind(i.Slot.Kind), Number: i.Number, IssueDate: w.issueDate(), TypeCode: t.TypeCode, Currency: i.Currency,
		TaxCurrency: t.TaxCurrency, TaxPointDate: t.TaxPointDate, DueDate: t.DueDate, BuyerReference: t.BuyerReference,
		ProjectReference: t.ProjectReference, ContractReference: t.ContractReference, OrderReference: t.OrderReference,
		ReceiptReference: t.ReceiptReference, DespatchReference: t.DespatchReference, TenderReference: t.TenderReference,
		ObjectReference: t.ObjectReference, AccountingReference: t.AccountingReference, Language: t.Language, Transaction: i.TransactionID,
		Period: periodOf(t.Period),
	}
	if d.TypeCode == "" {
		d.TypeCode = map[Kind]string{Invoice: "380", CreditNote: "381"}[d.Kind]
	}
	for _, n := range t.Notes {
		d.Notes = append(d.Notes, Note(n))
	}
	for _, p := range t.Preceding {
		d.Preceding = append(d.Preceding, Preceding{p.InvoiceNumber, p.Date})
	}
	d.Preceding = append(d.Preceding, w.facts.Preceding...)
	w.addParties(d)
	w.addPayment(d)
	for n := range i.Lines {
		d.Lines = append(d.Lines, w.line(n))
	}
	for n := range t.Allowances {
		d.Allowances = append(d.Allowances, w.adjustments(fmt.Sprintf("allowances[%d]", n), &t.Allowances[n], &w.result.Allowances[n], discountCode)...)
	}
	for n := range t.Charges {
		d.Charges = append(d.Charges, w.adjustments(fmt.Sprintf("charges[%d]", n), &t.Charges[n], &w.result.Charges[n], chargeCode)...)
	}
	w.addTaxes(d)
	w.addTotals(d)
	return d
}

func (w *writer) issueDate() string {
	if w.invoice.DocumentDate != "" {
		return w.invoice.DocumentDate
	}
	zone := w.facts.Zone
	if zone == nil {
		zone = time.UTC
	}
	return w.invoice.IssuedAt.In(zone).Format(time.DateOnly)
}

// amount returns minor units as the document states them.
func (w *writer) amount(minor int64) Decimal { return decimal.New(w.sign*minor, w.exponent) }

// turned returns a number that has the document's sign.
func (w *writer) turned(d Decimal) Decimal {
	if w.sign < 0 {
		return d.Neg()
	}
	return d
}

func (w *writer) addParties(d *Document) {
	t := w.terms
	switch {
	case t.Seller != nil:
		d.Seller = *party(t.Seller)
	case w.facts.Seller != nil:
		d.Seller = *w.facts.Seller
	}
	if t.Buyer != nil {
		d.Buyer = *party(t.Buyer)
	}
	d.Buyer.Name = cmp.Or(d.Buyer.Name, w.invoice.CustomerName)
	d.Buyer.ID = w.invoice.CustomerID
	if d.Buyer.Address == nil && isCountry(w.invoice.Country) {
		d.Buyer.Address = &Address{Country: w.invoice.Country}
	}
	d.Payee, d.TaxRepresentative = party(t.Payee), party(t.TaxRepresentative)
	if t.Delivery != nil {
		d.Delivery = &Delivery{Name: t.Delivery.Name, Date: t.Delivery.Date, Address: addressOf(t.Delivery.Address)}
	}
}

// isCountry reports whether a text, which version 1 leaves free, is a code.
func isCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}

func party(p *invoice.Party) *Party {
	if p == nil {
		return nil
	}
	made := &Party{Name: p.Name, TradingName: p.TradingName, LegalID: p.LegalID, VATID: p.VATID, TaxID: p.TaxID, Address: addressOf(p.Address)}
	if p.ElectronicAddress != nil {
		made.Endpoint = &Identifier{p.ElectronicAddress.Scheme, p.ElectronicAddress.ID}
	}
	if p.Contact != nil {
		made.Contact = &Contact{p.Contact.Name, p.Contact.Phone, cmp.Or(p.Contact.Email, p.Email)}
	} else if p.Email != "" {
		made.Contact = &Contact{Email: p.Email}
	}
	return made
}

func addressOf(a *invoice.Address) *Address {
	if a == nil {
		return nil
	}
	return &Address{Line1: a.Line1, Line2: a.Line2, Line3: a.Line3, City: a.City, Postcode: a.Postcode, Region: a.Region, Country: a.CountryCode}
}

func periodOf(p *invoice.Period) *Period {
	if p == nil {
		return nil
	}
	return &Period{p.Start, p.End}
}

// transfer is a credit transfer in UNTDID 4461, for a job that names an account and no means.
const transfer = "30"

// IsDirectDebit reports whether a means of payment is one, by which BG-19 is told from BG-17.
func IsDirectDebit(means string) bool { return means == "49" || means == "59" }

func (w *writer) addPayment(d *Document) {
	p := w.terms.Payment
	if p == nil {
		return
	}
	d.PaymentTerms = p.Terms
	to := Payment{MeansCode: p.MeansCode, Reference: p.Reference}
	if IsDirectDebit(p.MeansCode) {
		to.Mandate, to.Creditor, to.Debited = p.Mandate, p.CreditorID, p.IBAN
	} else {
		to.Account, to.AccountName, to.Bank = p.IBAN, p.AccountName, p.BIC
	}
	if to == (Payment{}) {
		return
	}
	switch {
	case to.MeansCode != "":
	case to.Account != "":
		to.MeansCode = transfer
	default:
		to.MeansCode = NoMeans // BR-49 wants a code
	}
	d.Payment = &to
}

// rates returns how a group is taxed: the first tax, and the others, which EN 16931 doesn't know.
func rates(g *amounts.Group) (first Rate, more []Rate, codes []string) {
	for n := range g.Taxes {
		tax := &g.Taxes[n]
		rate := rateOf(tax.Category, tax.Percent)
		if codes = append(codes, tax.Code); n == 0 {
			first = rate
		} else {
			more = append(more, rate)
		}
	}
	if len(codes) == 1 && codes[0] == "" {
		codes = nil
	}
	return first, more, codes
}

// rateOf returns the rate of a category, which is S where a job states none and a percentage above 0.
func rateOf(category string, percent Decimal) Rate {
	if category == "" && percent.Sign() > 0 {
		category = "S"
	}
	if category == "O" {
		return Rate{Category: category}
	}
	return Rate{category, &percent}
}

func (w *writer) line(n int) Line {
	l, part := &w.invoice.Lines[n], &w.result.Lines[n]
	t := l.Terms
	if t == nil {
		t = &invoice.LineTerms{}
	}
	to := Line{
		ID: strconv.Itoa(n + 1), Note: t.Note, Quantity: w.turned(l.Quantity), Unit: cmp.Or(t.Unit, "C62"), Net: w.amount(part.Net),
		OrderLine: t.OrderLine, AccountingReference: t.AccountingReference, Period: periodOf(t.Period), Price: l.UnitPrice,
		BaseQuantity: t.BaseQuantity, Name: cmp.Or(t.Name, l.Description, l.SKU), SellerID: l.SKU, OriginCountry: t.OriginCountry,
	}
	if l.Description != to.Name {
		to.Description = l.Description
	}
	if ids := t.ItemIDs; ids != nil {
		to.SellerID, to.BuyerID = cmp.Or(ids.Seller, l.SKU), ids.Buyer
		if ids.Standard != "" {
			to.StandardID = &Identifier{ids.StandardScheme, ids.Standard}
		}
	}
	for _, c := range t.Classifications {
		to.Classifications = append(to.Classifications, Identifier{c.Scheme, c.Code})
	}
	group := &w.result.Groups[part.Group]
	to.Rate, to.More, to.TaxCodes = rates(group)
	if group.Prices == amounts.Gross {
		price, total := l.UnitPrice, w.amount(part.Amount)
		to.GrossPrice, to.GrossTotal = &price, &total
		to.Price = priceOf(to.Net, to.Quantity, t.BaseQuantity, w.exponent)
		w.addGrossAdjustments(&to, l, t)
		if to.Price.Sign() < 0 && price.Sign() > 0 {
			w.takeOff(&to, t)
		}
	} else {
		w.addLineAdjustments(&to, l, t)
	}
	if to.Price.Sign() < 0 { // BR-27 allows no negative price
		to.Price, to.Quantity = to.Price.Neg(), to.Quantity.Neg()
		if to.GrossPrice != nil {
			turned := to.GrossPrice.Neg()
			to.GrossPrice = &turned
		}
	}
	return to
}

// addLineAdjustments says how the line's net follows from its price. What is taken off by percentage is what is left to its net, so that
// all adds up however it was rounded.
func (w *writer) addLineAdjustments(to *Line, l *invoice.InvoicedLine, t *invoice.LineTerms) {
	if !t.ChargeAmount.IsZero() {
		charge := Adjustment{Amount: w.turned(t.ChargeAmount), Reason: t.ChargeReason}
		charge.explain(chargeCode)
		to.Charges = append(to.Charges, charge)
	}
	if !l.DiscountPercent.IsZero() {
		base := rounded(value(to.Quantity, to.Price, t.BaseQuantity), w.exponent)
		off := rat(base)
		off.Sub(off, rat(to.Net)).Add(off, rat(w.turned(t.ChargeAmount))).Sub(off, rat(w.turned(t.DiscountAmount)))
		percent := l.DiscountPercent
		discount := Adjustment{Amount: rounded(off, w.exponent), Base: &base, Percent: &percent, Reason: t.DiscountReason}
		discount.explain(discountCode)
		to.Allowances = append(to.Allowances, discount)
	}
	if !t.DiscountAmount.IsZero() {
		discount := Adjustment{Amount: w.turned(t.DiscountAmount), Reason: t.DiscountReason}
		discount.explain(discountCode)
		to.Allowances = append(to.Allowances, discount)
	}
}

// explain gives an allowance or a charge a code if it has neither a reason nor a code.
func (a *Adjustment) explain(code string) {
	if isBlank(a.Reason) && isBlank(a.ReasonCode) {
		a.ReasonCode = code
	}
}

// adjustments returns an allowance or a charge of the document, once for each rate that has a share of it.
func (w *writer) adjustments(field string, stated *invoice.Adjustment, became *amounts.Adjusted, code string) (list []Adjustment) {
	for _, share := range became.Shares {
		group := &w.result.Groups[share.Group]
		one := Adjustment{Field: field, Amount: w.amount(share.Net), Reason: stated.Reason, ReasonCode: stated.ReasonCode}
		one.Rate, _, _ = rates(group)
		one.explain(code)
		if !stated.Percent.IsZero() && group.Prices != amounts.Gross {
			var base int64
			for n := range w.result.Lines {
				if w.result.Lines[n].Group == share.Group || len(became.Shares) == 1 && w.result.Groups[w.result.Lines[n].Group].Prices == group.Prices {
					base += w.result.Lines[n].Net
				}
			}
			of, percent := w.amount(base), stated.Percent
			one.Base, one.Percent = &of, &percent
		}
		list = append(list, one)
	}
	return list
}
