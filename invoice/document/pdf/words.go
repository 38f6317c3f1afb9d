package pdf

// words are what a page says in a language.
type words struct {
	dateLayout     string // as package time has it
	groupsFromFive bool   // CLDR's minimumGroupingDigits is 2
	currencyFirst  bool   // the currency stands before the amount
	currencySpace  bool   // with a blank between them

	invoice        string
	creditNote     string
	corrected      string
	prepayment     string
	selfBilled     string
	selfCredited   string // a credit note that the buyer writes
	number         string
	date           string
	due            string
	taxPoint       string
	customer       string
	customerVAT    string
	buyerReference string
	order          string
	contract       string
	project        string
	despatch       string
	receipt        string
	tender         string
	object         string
	costCentre     string
	delivered      string
	deliverTo      string
	periodOf       string
	payee          string
	representative string
	credits        string
	refersTo       string
	of             string
	position       string
	item           string
	description    string
	quantity       string
	unitHead       string
	price          string
	priceWithTax   string
	discount       string
	charge         string
	tax            string
	amount         string
	amountWithTax  string
	per            string
	yourItem       string
	orderLine      string
	origin         string
	carried        string
	brought        string
	sumWithTax     string
	sum            string
	net            string
	taxOn          string
	gross          string
	prepaid        string
	withheld       string
	rounding       string
	payable        string
	refund         string
	taxInOther     string
	rateOf         string
	payment        string
	refunded       string // payment, of a credit note
	payBy          string
	debited        string
	mandate        string
	creditor       string
	account        string
	bank           string
	accountName    string
	reference      string
	scan           string
	codeAlt        string
	notes          string
	vatID          string
	taxID          string
	legalID        string
	phone          string
	page           string
	seller         string
	buyer          string
	zero           string
	exempt         string
	reverse        string
	intra          string
	export         string
	outside        string

	units map[string]string // of UN/ECE recommendation 20
}

// wordsOf returns the words of a language, and nil if there are none.
func wordsOf(language string) *words {
	switch language {
	case "en":
		return english()
	case "de":
		return german()
	case "fr":
		return french()
	case "es":
		return spanish()
	case "it":
		return italian()
	case "nl":
		return dutch()
	case "pl":
		return polish()
	case "sv":
		return swedish()
	}
	return nil
}
