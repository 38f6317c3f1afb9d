// Package document is an invoice or a credit note as people and authorities are sent it: the business terms of EN 16931 (BT and BG),
// which UBL, CII and a printed page spell in their ways.
//
// [Of] makes a Document of a stored invoice, with nothing but what is stored: the same invoice gives the same Document. Packages below
// this one write it, and read those of others.
package document

import (
	"strings"

	"invoicer/invoice/decimal"
)

// A Decimal is an exact number.
type Decimal = decimal.Decimal

// A Kind says which of the two documents it is.
type Kind string

// The kinds.
const (
	Invoice    Kind = "invoice"
	CreditNote Kind = "credit_note"
)

// A Document has the business terms of EN 16931. In texts "" means that there is none, and so does nil for pointers. Dates are
// YYYY-MM-DD. Amounts have the signs that they have in a document of its kind: a credit note over 119.00 has a total of 119.00.
type Document struct {
	Kind Kind

	Number       string // BT-1
	IssueDate    string // BT-2
	TypeCode     string // BT-3, of UNTDID 1001
	Currency     string // BT-5
	TaxCurrency  string // BT-6
	TaxPointDate string // BT-7
	DueDate      string // BT-9

	BuyerReference      string // BT-10
	ProjectReference    string // BT-11
	ContractReference   string // BT-12
	OrderReference      string // BT-13
	ReceiptReference    string // BT-15
	DespatchReference   string // BT-16
	TenderReference     string // BT-17
	ObjectReference     string // BT-18
	AccountingReference string // BT-19

	Notes         []Note      // BG-1
	Process       string      // BT-23
	Specification string      // BT-24
	Preceding     []Preceding // BG-3

	Seller            Party     // BG-4
	Buyer             Party     // BG-7
	Payee             *Party    // BG-10
	TaxRepresentative *Party    // BG-11
	Delivery          *Delivery // BG-13, with BG-15
	Period            *Period   // BG-14

	PaymentTerms string   // BT-20
	Payment      *Payment // BG-16

	Allowances []Adjustment // BG-20
	Charges    []Adjustment // BG-21
	Totals     Totals       // BG-22
	Taxes      []Tax        // BG-23, by rate and category
	Lines      []Line       // BG-25

	// What EN 16931 has no term for, and a printed page shows.

	Language    string       // BCP 47, "" if nobody said
	Withheld    []Withheld   // what the buyer keeps back; EN 16931 has it in BT-113, see [Of]
	Conversion  *Conversion  // how BT-111 follows from BT-110
	Transaction string       // the id of the transaction
	Gross       *GrossPrices // what the lines came to with tax; nil unless all prices are with it
}

// A Note is BG-1.
type Note struct {
	Code string // BT-21, of UNTDID 4451
	Text string // BT-22
}

// A Preceding is BG-3.
type Preceding struct {
	Number string // BT-25
	Date   string // BT-26
}

// An Identifier is a text in a scheme.
type Identifier struct {
	Scheme string
	ID     string
}

// A Party is a seller (BG-4), a buyer (BG-7), a payee (BG-10) or a tax representative (BG-11).
type Party struct {
	Name        string      // BT-27, BT-44, BT-59, BT-62
	TradingName string      // BT-28, BT-45
	ID          string      // BT-29, BT-46, BT-60
	LegalID     string      // BT-30, BT-47, BT-61
	VATID       string      // BT-31, BT-48, BT-63
	TaxID       string      // BT-32
	LegalInfo   string      // BT-33
	Endpoint    *Identifier // BT-34, BT-49
	Address     *Address    // BG-5, BG-8, BG-12
	Contact     *Contact    // BG-6, BG-9
}

// An Address is BG-5, BG-8, BG-12 or BG-15.
type Address struct {
	Line1, Line2, Line3 string
	City                string
	Postcode            string
	Region              string
	Country             string // ISO 3166-1
}

// Split puts the lines of a text in Line1 into the lines of an address; what is beyond the third stays in that.
func (a *Address) Split() {
	lines := strings.SplitN(strings.TrimSpace(strings.ReplaceAll(a.Line1, "\r\n", "\n")), "\n", 3)
	for i, to := range []*string{&a.Line1, &a.Line2, &a.Line3} {
		if i < len(lines) {
			*to = strings.Join(strings.Fields(lines[i]), " ")
		}
	}
}

// A Contact is BG-6 or BG-9.
type Contact struct {
	Name, Phone, Email string
}

// A Delivery is BG-13.
type Delivery struct {
	Name    string   // BT-70
	Date    string   // BT-72
	Address *Address // BG-15
}

// A Period is BG-14 or BG-26. Its last day belongs to it.
type Period struct {
	Start, End string
}

// A Payment is BG-16.
type Payment struct {
	MeansCode string // BT-81, of UNTDID 4461
	Reference string // BT-83

	// BG-17, with any means but a direct debit.
	Account     string // BT-84
	AccountName string // BT-85
	Bank        string // BT-86

	// BG-19, with a direct debit.
	Mandate  string // BT-89
	Creditor string // BT-90
	Debited  string // BT-91

	Card string // BT-87, of documents that were read; none is written
}

// An Adjustment is an allowance or a charge of the document (BG-20, BG-21) or of a line (BG-27, BG-28), without tax.
type Adjustment struct {
	Amount     Decimal
	Base       *Decimal // what Percent is of
	Percent    *Decimal
	Reason     string
	ReasonCode string // of UNTDID 5189, and of 7161 for a charge

	Rate // of the document's alone

	// Field is the field of the job that it is of, such as allowances[1], "" if it is of a line or was read.
	Field string
}

// A Rate is a category with its percentage.
type Rate struct {
	Category string   // of UNTDID 5305
	Percent  *Decimal // nil for O
}

// Totals are BG-22.
type Totals struct {
	Lines      Decimal  // BT-106
	Allowances Decimal  // BT-107
	Charges    Decimal  // BT-108
	Net        Decimal  // BT-109
	Tax        Decimal  // BT-110
	TaxInOther *Decimal // BT-111, in BT-6
	Gross      Decimal  // BT-112
	Prepaid    Decimal  // BT-113
	Rounding   Decimal  // BT-114
	Payable    Decimal  // BT-115
}

// A Tax is BG-23.
type Tax struct {
	Rate

	Code       string // of a tax that isn't VAT, such as GST; EN 16931 has no term for it
	Base       Decimal
	Amount     Decimal
	Reason     string // BT-120
	ReasonCode string // BT-121
}

// A Line is BG-25.
type Line struct {
	ID                  string  // BT-126
	Note                string  // BT-127
	Quantity            Decimal // BT-129
	Unit                string  // BT-130
	Net                 Decimal // BT-131
	OrderLine           string  // BT-132
	AccountingReference string  // BT-133
	Period              *Period // BG-26

	Allowances []Adjustment // BG-27
	Charges    []Adjustment // BG-28

	Price        Decimal  // BT-146
	BaseQuantity *Decimal // BT-149, in BT-130's unit

	Rate            // BG-30, the first one of several
	More     []Rate // further taxes of the line, which EN 16931 doesn't know
	TaxCodes []string

	Name            string // BT-153
	Description     string // BT-154
	SellerID        string // BT-155
	BuyerID         string // BT-156
	StandardID      *Identifier
	Classifications []Identifier // BT-158
	OriginCountry   string       // BT-159

	GrossPrice *Decimal // the price with tax that was charged, nil unless all prices are with it
	GrossTotal *Decimal // what the line came to with tax

	GrossAllowances []Adjustment // what was taken off the price with tax; BG-27 has none then
	GrossCharges    []Adjustment
}

// Withheld is a tax that the buyer keeps back and pays for the seller.
type Withheld struct {
	Code    string
	Percent Decimal
	Amount  Decimal
}

// A Conversion says how the tax was turned into the accounting currency.
type Conversion struct {
	Rate   Decimal
	Date   string
	Source string
}

// GrossPrices say what was charged where prices contain the taxes.
type GrossPrices struct {
	Lines Decimal // the sum of the lines with tax
}
