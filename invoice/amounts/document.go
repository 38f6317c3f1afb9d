package amounts

import "invoicer/invoice/decimal"

// A Document is what amounts are computed from. Numbers are as the job states them; those that it leaves out are 0, or nil for
// pointers. All amounts may be negative, and none is turned by the kind of the document: what a credit note takes back is stated with
// the signs that it has there.
type Document struct {
	// Exponent is how many decimals amounts have in the document's currency, 0 to 4. An amount with more is a problem.
	Exponent int

	// Prices is the mode of all lines, allowances and charges that state none. [AsDocument] is [Net] here.
	Prices Prices

	Lines      []Line
	Allowances []Adjustment
	Charges    []Adjustment

	// TaxAmounts are the taxes that a tax service has computed. Each names a rate of the document, and none is named twice.
	TaxAmounts []TaxAmount

	Withholdings []Withholding

	Prepaid  decimal.Decimal // what was paid before, taken off the payable amount
	Rounding decimal.Decimal // what is added to the payable amount, so that it can be paid in cash

	// ExpectedTotal and ExpectedPayable are what the sender takes the total and the payable amount to be. It is a problem if they are
	// anything else. They change no result.
	ExpectedTotal   *decimal.Decimal
	ExpectedPayable *decimal.Decimal
}

// Prices say whether prices and amounts contain the taxes.
type Prices uint8

// The modes of prices.
const (
	AsDocument Prices = iota // as the document's
	Net                      // without taxes
	Gross                    // taxes included
)

// Terms say how a line, an allowance or a charge is taxed.
type Terms struct {
	// Prices is the mode of its prices and amounts.
	Prices Prices

	// Taxes are in the order in which they are computed. None means that no rate is stated, which is not a rate of 0: nothing is in a
	// [TaxRow] then.
	Taxes []Tax

	// Short says that the job states its only tax as tax_percent, so that a problem names that field and not taxes[0].percent.
	Short bool
}

// A Tax is one tax on a line. Two with the same code, category and percentage go to the same [TaxRow], also on the same line. One
// whose category knows no percentage has a percentage of 0.
type Tax struct {
	Code     string // such as GST, "" if the job states none
	Category string // of UNTDID 5305, such as S or E, "" if the job states none
	Percent  decimal.Decimal
	Compound bool // on the net and the taxes before it, not on the net alone
}

// A Line is one line of a document.
type Line struct {
	Terms

	Quantity        decimal.Decimal
	UnitPrice       decimal.Decimal
	BaseQuantity    decimal.Decimal // the quantity that the price is for. 0 means 1, so a job that states 0 has to be refused before
	DiscountPercent decimal.Decimal
	DiscountAmount  decimal.Decimal // taken off after the percentage
	ChargeAmount    decimal.Decimal // added after the percentage
}

// An Adjustment is an allowance or a charge on the whole document. Without taxes, it is shared over the groups with lines of its mode;
// it needs taxes where these come to 0 or differ in sign, unless it is 0 itself.
type Adjustment struct {
	Terms

	Amount  decimal.Decimal
	Percent decimal.Decimal // of all lines in its mode, before any other allowance or charge. Only one of both is stated
}

// A TaxAmount is the amount that a tax service has computed for a rate.
type TaxAmount struct {
	Code     string
	Category string
	Percent  decimal.Decimal
	Amount   decimal.Decimal
}

// A Withholding is a tax that the buyer keeps back and pays for the seller. It changes what is payable, and is no part of tax or total.
type Withholding struct {
	Percent decimal.Decimal
	Base    *decimal.Decimal // an amount; nil for the subtotal
}

// A Problem says what is wrong with a field of the job.
type Problem struct {
	Field   string // by its path, such as lines[3].taxes[1].percent
	Message string // to be read after the field's name
}

// A Result holds the amounts of a document, in minor units of its currency.
//
// Subtotal is the sum of the nets of all groups, and so of all lines and charges less the allowances. Tax is the sum of the rows' taxes.
// Total is Subtotal + Tax: with nothing but gross prices, exactly what the lines and charges less the allowances come to. Payable is
// Total − Withheld − Prepaid + Rounding.
type Result struct {
	Lines      []Part     // one for each line
	Allowances []Adjusted // one for each allowance
	Charges    []Adjusted // one for each charge

	// Groups are in the order in which the job first names them: by its lines, then its allowances, then its charges.
	Groups []Group

	// Taxes are by percentage, ascending, then by code and by category.
	Taxes []TaxRow

	Withholdings []int64 // one for each withholding: what is withheld

	Subtotal int64
	Tax      int64
	Total    int64
	Withheld int64
	Prepaid  int64
	Rounding int64
	Payable  int64
}

// A Part is what a line, an allowance or a charge has in a group.
type Part struct {
	Group  int   // index in [Result.Groups]
	Amount int64 // in the mode of the group
	Net    int64 // without taxes
}

// An Adjusted is what became of an allowance or a charge. The amounts have the signs that the job states: an allowance of 5.00 is 500,
// although it is taken off.
type Adjusted struct {
	Amount int64
	Net    int64  // the sum of the shares' nets
	Shares []Part // one for each group that has a part of it other than 0, in the groups' order
}

// A Group is what has the same mode of prices and the same taxes.
type Group struct {
	Prices Prices // Net or Gross
	Taxes  []Tax  // those of its first line, allowance or charge
	Amount int64  // the sum of its lines and charges less its allowances, in its mode
	Net    int64  // Amount, or of a gross group what is left without Tax
	Tax    int64  // what a gross group contains of taxes; 0 for a net group, whose taxes are rounded only in the rows
}

// A TaxRow sums up what is taxed with the same code, category and percentage.
type TaxRow struct {
	Code     string
	Category string
	Percent  decimal.Decimal

	// Net is what is taxed, without any taxes, also if the tax is a compound one.
	Net int64

	// Base is what the percentage is of: Net, but for a compound tax the taxes before it are included, and what has the same tax twice
	// is included twice. It is rounded, as any amount is.
	Base int64

	Tax int64
}
