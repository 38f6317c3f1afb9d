package invoice

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"invoicer/invoice/fields"
	"invoicer/invoice/identifier"
)

// Terms are what a job of version 2 states about the whole document beyond version 1. The zero value of each field means that the job
// doesn't state it.
//
// The tags describe the fields, once for all that is done with them: see package fields. A field that is added here is read, refused
// where it is bad, fingerprinted, compared, stored, hashed into the chain and part of [Schema].
type Terms struct {
	// Kind is what the document is, where that isn't what the sign of its total makes it.
	Kind Kind `job:"kind,one=invoice|credit_note"`
	// TypeCode is the document's type in UNTDID 1001, where that isn't 380 for an invoice and 381 for a credit note.
	TypeCode string `job:"type_code,like=type_code"`
	// Prices say whether unit prices and amounts contain the taxes: [PricesNet], also if it is "", or [PricesGross].
	Prices string `job:"prices,one=net|gross"`

	// ExpectedTotal and ExpectedPayable are what the producer takes the amounts to be. A job that comes to others is invalid.
	ExpectedTotal   *Decimal `job:"expected_total,check"`
	ExpectedPayable *Decimal `job:"expected_payable,check"`

	// ReplacesTransactionID names the transaction whose invoice this one stands in for.
	ReplacesTransactionID string      `job:"replaces_transaction_id,like=identifier"`
	Preceding             []Preceding `job:"preceding,most=100"`

	Allowances   []Adjustment  `job:"allowances,most=100"`
	Charges      []Adjustment  `job:"charges,most=100"`
	Withholdings []Withholding `job:"withholdings,most=10"`
	Rounding     Decimal       `job:"rounding"` // added to the payable amount
	Prepaid      Decimal       `job:"prepaid"`  // taken off the payable amount

	TaxCurrency           string      `job:"tax_currency,like=currency"`
	TaxCurrencyRate       Decimal     `job:"tax_currency_rate"` // units of TaxCurrency for one of the document's currency
	TaxCurrencyRateDate   string      `job:"tax_currency_rate_date,like=date"`
	TaxCurrencyRateSource string      `job:"tax_currency_rate_source,shown,most=200"`
	TaxAmounts            []TaxAmount `job:"tax_amounts,most=100"`

	TaxPointDate string    `job:"tax_point_date,like=date"`
	DueDate      string    `job:"due_date,like=date"`
	Period       *Period   `job:"period"`
	Delivery     *Delivery `job:"delivery,personal"`

	Seller            *Party   `job:"seller,personal"`
	Buyer             *Party   `job:"buyer,personal"`
	Payee             *Party   `job:"payee,personal"`
	TaxRepresentative *Party   `job:"tax_representative,personal"`
	Payment           *Payment `job:"payment,personal"`

	BuyerReference      string `job:"buyer_reference,shown,most=200"`
	OrderReference      string `job:"order_reference,shown,most=200"`
	ContractReference   string `job:"contract_reference,shown,most=200"`
	ProjectReference    string `job:"project_reference,shown,most=200"`
	TenderReference     string `job:"tender_reference,shown,most=200"`
	DespatchReference   string `job:"despatch_reference,shown,most=200"`
	ReceiptReference    string `job:"receipt_reference,shown,most=200"`
	ObjectReference     string `job:"object_reference,shown,most=200"` // such as a meter or a telephone number
	AccountingReference string `job:"accounting_reference,shown,most=200"`
	Notes               []Note `job:"notes,most=20"`
	Language            string `job:"language,like=language,shown"`
}

// The modes of prices.
const (
	PricesNet   = "net"   // without taxes
	PricesGross = "gross" // taxes included
)

// LineTerms are what a job of version 2 states about a line beyond version 1.
type LineTerms struct {
	Name string `job:"name,shown"`
	Unit string `job:"unit,like=code"` // of UN/ECE recommendation 20, such as C62
	// BaseQuantity is how many units the price is for; nil for 1.
	BaseQuantity *Decimal `job:"base_quantity"`

	DiscountAmount Decimal `job:"discount_amount"` // taken off after the percentage
	ChargeAmount   Decimal `job:"charge_amount"`   // added after the percentage
	DiscountReason string  `job:"discount_reason,shown"`
	ChargeReason   string  `job:"charge_reason,shown"`

	Taxation

	Period          *Period          `job:"period"`
	ItemIDs         *ItemIDs         `job:"item_ids"`
	Classifications []Classification `job:"classifications,most=20"`
	OriginCountry   string           `job:"origin_country,like=country"`

	Note                string `job:"note,shown"`
	OrderLine           string `job:"order_line,shown,most=200"`
	AccountingReference string `job:"accounting_reference,shown,most=200"`
}

// Taxation says how a line, an allowance or a charge is taxed.
type Taxation struct {
	// Prices are the mode of its prices and amounts, where that isn't the document's.
	Prices string `job:"prices,one=net|gross"`
	// Taxes stand instead of a tax_percent, in the order in which they are computed.
	Taxes []TaxRate `job:"taxes,most=8"`
	// TaxCategory is the category, in UNTDID 5305, of all taxes that state none of their own.
	TaxCategory     string `job:"tax_category,like=category"`
	ExemptionReason string `job:"exemption_reason,shown"`
	ExemptionCode   string `job:"exemption_code,like=code"` // of the VATEX list
}

// A TaxRate is one of several taxes.
type TaxRate struct {
	Code     string   `job:"code,like=code"` // such as GST
	Category string   `job:"category,like=category"`
	Percent  *Decimal `job:"percent,required,percent"`
	Compound bool     `job:"compound"` // on the net and the taxes before it
}

// An Adjustment is an allowance or a charge on the document.
type Adjustment struct {
	Reason     string   `job:"reason,shown"`
	ReasonCode string   `job:"reason_code,like=code"` // of UNTDID 5189 for allowances, 7161 for charges
	Amount     Decimal  `job:"amount"`
	Percent    Decimal  `job:"percent,percent"` // of the sum of all lines in its mode of prices
	TaxPercent *Decimal `job:"tax_percent,percent"`
	Taxation
}

// A Withholding is a tax that the buyer keeps back and pays for the seller.
type Withholding struct {
	Code    string   `job:"code,like=code"` // such as IRPF
	Percent *Decimal `job:"percent,required,percent"`
	Base    *Decimal `job:"base"` // nil for the subtotal
}

// A TaxAmount is the amount that a tax service has computed for a rate.
type TaxAmount struct {
	Code     string   `job:"code,like=code"`
	Category string   `job:"category,like=category"`
	Percent  *Decimal `job:"percent,required,percent"`
	Amount   *Decimal `job:"amount,required"`
}

// A Preceding is an invoice of another system that this document refers to.
type Preceding struct {
	InvoiceNumber string `job:"invoice_number,required,most=200"`
	Date          string `job:"date,like=date"`
}

// A Period is a time of whole days, of which the last belongs to it.
type Period struct {
	Start string `job:"start,like=date"`
	End   string `job:"end,like=date"`
}

// A Delivery says when and where the goods were delivered.
type Delivery struct {
	Name    string   `job:"name,most=500"`
	Date    string   `job:"date,like=date"`
	Address *Address `job:"address"`
}

// A Party is a seller, a buyer, or whoever acts for one of them.
type Party struct {
	Name              string             `job:"name,most=500"`
	TradingName       string             `job:"trading_name,most=500"`
	LegalID           string             `job:"legal_id,most=100"`
	VATID             string             `job:"vat_id,most=100"`
	TaxID             string             `job:"tax_id,most=100"`
	Email             string             `job:"email,most=320"`
	ElectronicAddress *ElectronicAddress `job:"electronic_address"`
	Contact           *Contact           `job:"contact"`
	Address           *Address           `job:"address"`
}

// An ElectronicAddress is where electronic invoices are sent to.
type ElectronicAddress struct {
	Scheme string `job:"scheme,required,like=code"` // of the EAS list, such as 0088
	ID     string `job:"id,required,most=320"`
}

// A Contact is whom to ask.
type Contact struct {
	Name  string `job:"name,most=500"`
	Phone string `job:"phone,most=100"`
	Email string `job:"email,most=320"`
}

// An Address is a postal address.
type Address struct {
	Line1       string `job:"line1,most=500"`
	Line2       string `job:"line2,most=500"`
	Line3       string `job:"line3,most=500"`
	City        string `job:"city,most=200"`
	Postcode    string `job:"postcode,most=50"`
	Region      string `job:"region,most=200"`
	CountryCode string `job:"country_code,like=country"`
}

// A Payment says how the document is paid.
type Payment struct {
	Terms       string `job:"terms,shown"`
	MeansCode   string `job:"means_code,like=code"` // of UNTDID 4461, such as 58
	IBAN        string `job:"iban,like=account"`
	BIC         string `job:"bic,like=account"`
	AccountName string `job:"account_name,most=500"`
	Reference   string `job:"reference,most=200"`
	Mandate     string `job:"mandate,most=200"`
	CreditorID  string `job:"creditor_id,like=creditor"` // of the seller, with a direct debit
}

// A Note is a text on the document.
type Note struct {
	Code string `job:"code,like=code,shown"` // of UNTDID 4451, such as AAI
	Text string `job:"text,required,shown"`
}

// ItemIDs are what others call the item.
type ItemIDs struct {
	Seller         string `job:"seller,most=200"`
	Buyer          string `job:"buyer,most=200"`
	Standard       string `job:"standard,most=200"`
	StandardScheme string `job:"standard_scheme,like=code"` // such as 0160 for a GTIN
}

// A Classification is a code of the item in a list.
type Classification struct {
	Scheme string `job:"scheme,required,like=code"` // of UNTDID 7143, such as STI
	Code   string `job:"code,required,most=100"`
}

//nolint:gochecknoglobals // constants
var (
	termsFields = fields.Describe[Terms]()
	lineFields  = fields.Describe[LineTerms]()
)

// stated returns the terms of the document, and nil if they state no content.
func (j *Job) stated() *Terms {
	if j.Terms == nil || termsFields.Empty(j.Terms, fields.All) {
		return nil
	}
	return j.Terms
}

// stated returns the terms of the line, and nil if they state no content.
func (l *Line) stated() *LineTerms {
	if l.Terms == nil || lineFields.Empty(l.Terms, fields.All) {
		return nil
	}
	return l.Terms
}

// extends reports whether the job states content that version 1 doesn't know.
func (j *Job) extends() bool {
	if j.stated() != nil {
		return true
	}
	for i := range j.Lines {
		if j.Lines[i].stated() != nil {
			return true
		}
	}
	return false
}

func (j *Job) hasLineTerms() bool {
	for i := range j.Lines {
		if j.Lines[i].Terms != nil {
			return true
		}
	}
	return false
}

// HasSeveralTaxes reports whether a line, an allowance or a charge states several taxes, so that its net is in several rows of taxes.
func (j *Job) HasSeveralTaxes() bool {
	several := func(t *Taxation) bool { return len(t.Taxes) > 0 }
	for i := range j.Lines {
		if t := j.Lines[i].Terms; t != nil && several(&t.Taxation) {
			return true
		}
	}
	if j.Terms == nil {
		return false
	}
	stated := func(a Adjustment) bool { return several(&a.Taxation) }
	return slices.ContainsFunc(j.Terms.Allowances, stated) || slices.ContainsFunc(j.Terms.Charges, stated)
}

// NeededVersion returns the lowest version of the format that can state the job.
func (j *Job) NeededVersion() int {
	if j.Terms != nil || j.hasLineTerms() || j.isWide() || j.hasWideIdentifiers() {
		return 2
	}
	return 1
}

// hasWideIdentifiers reports whether the release before would refuse an identifier of the job in version 1.
func (j *Job) hasWideIdentifiers() bool {
	wide := func(s string) bool { return s != "" && !identifier.Narrow(s, maxIdempotencyKey) }
	return wide(j.TransactionID) || wide(j.IdempotencyKey) || wide(j.CreditsTransactionID)
}

// isWide reports whether a number of the job is beyond the bounds of version 1, or the lines are more than it allows.
func (j *Job) isWide() bool {
	if len(j.Lines) > version1().lines {
		return true
	}
	for i := range j.Lines {
		l := &j.Lines[i]
		if !isNarrow(l.Quantity) || !isNarrow(l.UnitPrice) || !isNarrow(l.DiscountPercent) || l.TaxPercent != nil && !isNarrow(*l.TaxPercent) {
			return true
		}
	}
	return false
}

func isNarrow(d Decimal) bool {
	_, ok := d.Millionths()
	return ok
}

// Show returns the value of a field that only version 2 has, by its name in [DiffFields]: "" if the job doesn't state it. It returns
// false for fields in which a person may stand, and for names of other fields.
func (j *Job) Show(field string) (string, bool) {
	var n int
	of, name, found := strings.Cut(field, ".")
	if _, err := fmt.Sscanf(of, "lines[%d]", &n); err != nil || !found {
		return termsFields.Show(orEmpty(j.Terms), field)
	}
	if n < 0 || n >= len(j.Lines) {
		return "", false
	}
	return lineFields.Show(orEmpty(j.Lines[n].Terms), name)
}

// Spell returns what the terms state as two JSON objects: one without anything in which a person may stand, and one with the rest. Each
// is "" if there is nothing to say, as nil terms have. Checks are in neither.
func (t *Terms) Spell() (public, personal string, err error) {
	if t == nil {
		return "", "", nil
	}
	return spell(make([]byte, 0, roomForTerms), termsFields, t)
}

// Spell is [Terms.Spell] for a line.
func (t *LineTerms) Spell() (public, personal string, err error) {
	if t == nil {
		return "", "", nil
	}
	return spell(make([]byte, 0, roomForLine), lineFields, t)
}

// How many bytes are enough for what most jobs and lines state.
const roomForTerms, roomForLine = 512, 64

func spell(b []byte, described *fields.Object, of any) (public, personal string, err error) {
	if b, err = described.AppendObject(b, of, fields.Public); err != nil {
		return "", "", err
	}
	end := len(b)
	if b, err = described.AppendObject(b, of, fields.Personal); err != nil {
		return "", "", err
	}
	both := string(b)
	return both[:end], both[end:], nil
}

// ReadTerms reads what [Terms.Spell] has spelled. It returns nil if both are empty. The error names no values.
func ReadTerms(public, personal string) (*Terms, error) {
	return readTerms[Terms](termsFields, public, personal)
}

// ReadLineTerms is [ReadTerms] for a line.
func ReadLineTerms(public, personal string) (*LineTerms, error) {
	return readTerms[LineTerms](lineFields, public, personal)
}

func readTerms[T any](described *fields.Object, parts ...string) (*T, error) {
	var t *T
	for _, part := range parts {
		if part == "" {
			continue
		}
		if t == nil {
			t = new(T)
		}
		if err := described.ReadPart(part, t); err != nil {
			return nil, err
		}
	}
	if t != nil && described.Empty(t, fields.All) {
		return nil, errNothing
	}
	return t, nil
}

var errNothing = errors.New("state nothing")
