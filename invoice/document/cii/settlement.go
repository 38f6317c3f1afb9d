package cii

import (
	"cmp"

	"invoicer/invoice"
	"invoicer/invoice/document"
	"invoicer/invoice/document/node"
)

// amount is an amount. CII allows a currency on those of the tax alone (CII-DT-031).
func (w *writer) amount(name string, d document.Decimal) *node.Node {
	return node.Amount(name, d, w.decimals)
}

func (w *writer) settlement() *node.Node {
	made := node.Always("ram:ApplicableHeaderTradeSettlement")
	p := w.Payment
	if p == nil {
		p = &document.Payment{}
	}
	made.Add(node.Text("ram:CreditorReferenceID", p.Creditor), node.Text("ram:PaymentReference", p.Reference),
		node.Text("ram:TaxCurrencyCode", w.TaxCurrency), node.Text("ram:InvoiceCurrencyCode", w.Currency), w.payee(), w.means(p))
	for n := range w.Taxes {
		made.Add(w.tax(&w.Taxes[n], n == 0))
	}
	made.Add(period(w.Period))
	for n := range w.Allowances {
		made.Add(w.adjustment(&w.Allowances[n], false))
	}
	for n := range w.Charges {
		made.Add(w.adjustment(&w.Charges[n], true))
	}
	made.Add(node.New("ram:SpecifiedTradePaymentTerms", node.Text("ram:Description", w.PaymentTerms), date("ram:DueDateDateTime", w.DueDate),
		node.Text("ram:DirectDebitMandateID", p.Mandate)))
	made.Add(w.totals())
	if len(w.Preceding) > 0 { // D16B has one; the others are in notes
		before := &w.Preceding[0]
		made.Add(node.New("ram:InvoiceReferencedDocument", node.Text("ram:IssuerAssignedID", before.Number),
			node.New("ram:FormattedIssueDateTime", node.Text("qdt:DateTimeString", day(before.Date)).With("format", "102"))))
	}
	made.Add(node.New("ram:ReceivableSpecifiedTradeAccountingAccount", node.Text("ram:ID", w.AccountingReference)))
	return made
}

func (w *writer) payee() *node.Node {
	p := w.Payee
	if p == nil {
		return nil
	}
	return node.New("ram:PayeeTradeParty", node.Text("ram:ID", p.ID), node.Text("ram:Name", p.Name),
		node.New("ram:SpecifiedLegalOrganization", node.Text("ram:ID", p.LegalID)))
}

func (w *writer) means(p *document.Payment) *node.Node {
	if node.IsBlank(p.MeansCode) {
		return nil
	}
	made := node.New("ram:SpecifiedTradeSettlementPaymentMeans", node.Text("ram:TypeCode", p.MeansCode),
		node.New("ram:PayerPartyDebtorFinancialAccount", node.Text("ram:IBANID", p.Debited)))
	if node.IsBlank(p.Account) {
		return made
	}
	account := "ram:ProprietaryID"
	if isIBAN(p.Account) {
		account = "ram:IBANID"
	}
	made.Add(node.New("ram:PayeePartyCreditorFinancialAccount", node.Text(account, p.Account), w.beyond(node.Text("ram:AccountName", p.AccountName))),
		w.beyond(node.New("ram:PayeeSpecifiedCreditorFinancialInstitution", node.Text("ram:BICID", p.Bank))))
	return made
}

// isIBAN reports whether an account looks like an IBAN: two letters and two digits in front.
func isIBAN(account string) bool {
	letter := func(c byte) bool { return c >= 'A' && c <= 'Z' }
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	return len(account) > 4 && letter(account[0]) && letter(account[1]) && digit(account[2]) && digit(account[3])
}

// tax is BG-23. The first has BT-7, which is the document's.
func (w *writer) tax(t *document.Tax, first bool) *node.Node {
	made := node.New("ram:ApplicableTradeTax", w.amount("ram:CalculatedAmount", t.Amount), node.Text("ram:TypeCode", cmp.Or(t.Code, vat)),
		node.Text("ram:ExemptionReason", t.Reason), w.amount("ram:BasisAmount", t.Base), node.Text("ram:CategoryCode", t.Category),
		node.Text("ram:ExemptionReasonCode", t.ReasonCode))
	if first && w.TaxPointDate != "" {
		made.Add(w.beyond(node.New("ram:TaxPointDate", node.Text("udt:DateString", day(w.TaxPointDate)).With("format", "102"))))
	}
	w.addPercent(made, t.Rate, true)
	return made
}

const vat = "VAT"

// addPercent adds a rate. XRechnung wants one in every breakdown (BR-DE-14), where EN 16931 has none for O.
func (w *writer) addPercent(to *node.Node, r document.Rate, breakdown bool) {
	switch {
	case r.Percent != nil:
		to.Add(node.Number("ram:RateApplicablePercent", *r.Percent))
	case breakdown && w.profile == document.XRechnung:
		to.Add(node.Number("ram:RateApplicablePercent", document.Decimal{}))
	}
}

// category is a category with its rate, in an element of that name.
func (w *writer) category(name string, r document.Rate, code string) *node.Node {
	made := node.New(name, node.Text("ram:TypeCode", cmp.Or(code, vat)), node.Text("ram:CategoryCode", r.Category))
	w.addPercent(made, r, false)
	return made
}

func period(p *document.Period) *node.Node {
	if p == nil {
		return nil
	}
	return node.New("ram:BillingSpecifiedPeriod", date("ram:StartDateTime", p.Start), date("ram:EndDateTime", p.End))
}

// adjustment is an allowance or a charge, of a line without a category.
func (w *writer) adjustment(a *document.Adjustment, charge bool) *node.Node {
	indicator := "false"
	if charge {
		indicator = "true"
	}
	made := node.New("ram:SpecifiedTradeAllowanceCharge", node.New("ram:ChargeIndicator", node.Text("udt:Indicator", indicator)))
	if a.Adds() {
		made.Add(node.Number("ram:CalculationPercent", *a.Percent))
		made.Add(w.amount("ram:BasisAmount", *a.Base))
	}
	made.Add(w.amount("ram:ActualAmount", a.Amount), node.Text("ram:ReasonCode", a.ReasonCode), node.Text("ram:Reason", a.Reason))
	if a.Stated() {
		made.Add(w.category("ram:CategoryTradeTax", a.Rate, ""))
	}
	return made
}

func (w *writer) totals() *node.Node {
	t := &w.Totals
	made := node.New("ram:SpecifiedTradeSettlementHeaderMonetarySummation", w.amount("ram:LineTotalAmount", t.Lines))
	if len(w.Charges) > 0 {
		made.Add(w.amount("ram:ChargeTotalAmount", t.Charges))
	}
	if len(w.Allowances) > 0 {
		made.Add(w.amount("ram:AllowanceTotalAmount", t.Allowances))
	}
	made.Add(w.amount("ram:TaxBasisTotalAmount", t.Net), w.amount("ram:TaxTotalAmount", t.Tax).With("currencyID", w.Currency))
	if t.TaxInOther != nil {
		decimals, _ := invoice.MinorUnits(w.TaxCurrency)
		made.Add(node.Amount("ram:TaxTotalAmount", *t.TaxInOther, decimals).With("currencyID", w.TaxCurrency))
	}
	if !t.Rounding.IsZero() {
		made.Add(w.beyond(w.amount("ram:RoundingAmount", t.Rounding)))
	}
	made.Add(w.amount("ram:GrandTotalAmount", t.Gross))
	if !t.Prepaid.IsZero() {
		made.Add(w.amount("ram:TotalPrepaidAmount", t.Prepaid))
	}
	made.Add(w.amount("ram:DuePayableAmount", t.Payable))
	return made
}
