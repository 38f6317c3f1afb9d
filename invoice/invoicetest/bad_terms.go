package invoicetest

import (
	"regexp"
	"strings"
)

// A BadTerm is a job of version 2 with a bad field.
type BadTerm struct {
	Payload []byte
	Want    string // what its error says of the field
}

// BadTerms returns jobs of version 2, each with another bad field.
func BadTerms() []BadTerm {
	var all []BadTerm
	for members, want := range badTerms() {
		whole := []string{members}
		for _, other := range []string{`"version":2`, `"transaction_id":"T"`, `"issued_at":"2010-12-01T08:26:00Z"`, `"currency":"EUR"`, `"lines":[{"quantity":1,"unit_price":100}]`} {
			if name, _, _ := strings.Cut(other, ":"); !regexp.MustCompile(`(^|,)` + name + `:`).MatchString(members) {
				whole = append(whole, other)
			}
		}
		all = append(all, BadTerm{Payload: []byte("{" + strings.Join(whole, ",") + "}"), Want: want})
	}
	return all
}

// badTerms are what is wrong with a job, by the members of the job that are bad, or that make others bad.
func badTerms() map[string]string {
	return map[string]string{
		`"kind":"invoice","version":1`:                               `kind is a field of version 2: state "version": 2`,
		`"kind":"bill"`:                                              "kind must be invoice or credit_note",
		`"prices":"brutto"`:                                          "prices must be net or gross",
		`"buyer":{"contac":{}}`:                                      "buyer.contac is no field of this object, did you mean contact?",
		`"buyer":{"address":{"country_code":"Germany"}}`:             "buyer.address.country_code must be an ISO 3166-1 code",
		`"buyer":{"name":"A","name":"B"}`:                            "buyer.name must not be given twice",
		`"buyer":"A"`:                                                "buyer must be an object",
		`"buyer":{"electronic_address":{"id":"1"}}`:                  "buyer.electronic_address.scheme is required",
		`"notes":{}`:                                                 "notes must be a list",
		`"notes":[{"text":"a"},{"code":"AAI"}]`:                      "notes[1].text is required",
		`"notes":[{"text":"a\u0000"}]`:                               "notes[0].text must be valid UTF-8",
		`"payment":{"creditor_id":"DE97ZZZ09999999999"}`:             "payment.creditor_id must be a SEPA creditor identifier with its check digits",
		`"payment":{"creditor_id":"de98zzz09999999999"}`:             "payment.creditor_id must be a SEPA creditor identifier",
		`"payment":{"creditor_id":"DE98 ZZZ 0999 9999 999"}`:         "payment.creditor_id must be a SEPA creditor identifier",
		`"payment":{"creditor_id":"\u00c4E98ZZZ09999999999"}`:        "payment.creditor_id must be a SEPA creditor identifier",
		`"payment":{"creditor_id":98}`:                               "payment.creditor_id must be a string",
		`"payment":{"creditor":"DE98ZZZ09999999999"}`:                "payment.creditor is no field of this object",
		`"due_date":"2010-02-30"`:                                    "due_date must be a date such as 2010-12-31",
		`"period":{"start":"2010-02-03","end":"2010-02-02"}`:         "period.end must not be before start",
		`"rounding":"0.001"`:                                         "rounding must not have more than 2 decimals",
		`"rounding":"1e15"`:                                          "rounding must be smaller than 1,000,000,000,000,000 in size",
		`"tax_currency":"EUR"`:                                       "tax_currency must be another currency",
		`"tax_currency":"GBP"`:                                       "tax_currency_rate must be greater than 0",
		`"tax_currency_rate":"2"`:                                    "tax_currency is required",
		`"replaces_transaction_id":"T"`:                              "replaces_transaction_id must be another transaction",
		`"type_code":"381"`:                                          "type_code 381 is a credit note",
		`"allowances":[{"amount":"1","percent":"2"}]`:                "allowances[0].percent must not be stated beside amount",
		`"expected_total":"100.01"`:                                  "expected_total",
		`"withholdings":[{"code":"IRPF"}]`:                           "withholdings[0].percent is required",
		`"lines":[{"quantity":1,"unit_price":1,"base_quantity":0}]`:  "lines[0].base_quantity must be greater than 0",
		`"lines":[{"quantity":1,"unit_price":1,"tax_category":"S"}]`: "lines[0].tax_percent is required beside tax_category S",
		`"lines":[{"quantity":1,"unit_price":1,"tax_category":"E","tax_percent":19}]`:                                                                                                  "lines[0].tax_percent must be 0 in the tax category E",
		`"lines":[{"quantity":1,"unit_price":1,"taxes":[{"percent":101}]}]`:                                                                                                            "lines[0].taxes[0].percent must be a percentage from 0 to 100",
		`"lines":[{"quantity":1,"unit_price":1,"taxes":[{"percent":1}],"tax_percent":1}]`:                                                                                              "lines[0].tax_percent must not be stated beside taxes",
		`"lines":[{"quantity":1,"unit_price":1},{"quantity":1,"unit_price":1,"tax_category":"S","taxes":[{"percent":5},{"percent":"7","code":"A"},{"percent":"5.0","category":"S"}]}]`: "lines[1].taxes[2] states the same tax as taxes[0]: state it once",
		`"charges":[{"amount":1,"taxes":[{"percent":5,"compound":true},{"percent":5},{"percent":5,"compound":true}]}],"lines":[{"quantity":1,"unit_price":1}]`:                         "charges[0].taxes[2] states the same tax as taxes[0]: state it once",
		`"lines":[{"quantity":1,"unit_price":1,"taxes":[{},{},{},{},{},{},{},{},{}]}]`:                                                                                                 "lines[0].taxes must not hold more than 8 elements",
		`"lines":[{"quantity":1,"unit_price":1,"discount_percent":0.0000001,"discount_percent":5}]`:                                                                                    "lines[0].discount_percent must not be given twice",
		`"lines":[]`: "lines must hold 1 to 20,000 lines",
		`"lines":{}`: "lines must hold 1 to 20,000 lines",
		`"lines":[{"quantity":"0.0000000000001","unit_price":1}]`:                                 "lines[0].quantity must not have more than 12 decimals",
		`"lines":[{"quantity":"111.29999999999998","unit_price":1}]`:                              "binary noise",
		`"lines":[{"quantity":1,"unit_price":1,"unitprice":1}]`:                                   "did you mean unit_price?",
		`"lines":[{"quantity":1,"unit_price":1,"compound":true}]`:                                 "lines[0].compound is no field of a job",
		`"lines":[{"quantity":1,"unit_price":1,"classifications":[{"scheme":"a b","code":"1"}]}]`: "lines[0].classifications[0].scheme must be 1 to 40 characters",
	}
}
