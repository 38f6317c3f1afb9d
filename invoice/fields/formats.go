package fields

import (
	"regexp"
	"strings"
	"time"

	"invoicer/invoice/identifier"
)

// A Format is what a text must look like.
type Format struct {
	pattern *regexp.Regexp
	message string
	check   func(string) bool   // of what a pattern can't say; nil for nothing
	judge   func(string) string // what is wrong with the text, instead of pattern and message
}

// identifierMost is how many characters an identifier has at most.
const identifierMost = 128

// formats are those that a tag can name.
//
//nolint:gochecknoglobals // a constant table
var formats = map[string]*Format{
	"identifier": {pattern: regexp.MustCompile(`^[^\x00-\x1f\x7f]{1,128}$`), judge: func(s string) string { return identifier.Problem(s, identifierMost) }},
	"date":       {pattern: regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`), message: "must be a date such as 2010-12-31", check: isDate},
	"country":    {pattern: regexp.MustCompile(`^[A-Z]{2}$`), message: "must be an ISO 3166-1 code of two capital letters, such as GB"},
	"currency":   {pattern: regexp.MustCompile(`^[A-Z]{3}$`), message: "must be an ISO 4217 code with a minor unit, such as GBP"},
	"language":   {pattern: regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$`), message: "must be a language tag such as de or pt-BR"},
	"type_code":  {pattern: regexp.MustCompile(`^[1-9][0-9]{0,2}$`), message: "must be a code of UNTDID 1001, such as 384"},
	"category":   {pattern: regexp.MustCompile(`^(AE|[BEGKLMOSZ])$`), message: "must be a code of UNTDID 5305: S, Z, E, AE, K, G, O, L, M or B"},
	"code":       {pattern: regexp.MustCompile(`^[A-Za-z0-9._:/+-]{1,40}$`), message: "must be 1 to 40 characters of A-Z a-z 0-9 . _ : / + -"},
	"account":    {pattern: regexp.MustCompile(`^[A-Za-z0-9 ./:-]{1,40}$`), message: "must be 1 to 40 letters, digits, blanks and . / : -"},
	"creditor":   {pattern: regexp.MustCompile(creditorPattern), message: "must be a SEPA creditor identifier with its check digits, in capitals and without blanks, such as DE98ZZZ09999999999", check: isCreditor},
}

// creditorPattern is the form of a SEPA creditor identifier: country, check digits, three characters of a business code, and up to 28 that a
// country gives. Its check digits are 02 to 98, as those of all that are made by MOD 97-10.
const creditorPattern = `^[A-Z]{2}(0[2-9]|[1-8][0-9]|9[0-8])[A-Z0-9+?/:().,'-]{4,31}$` //nolint:gosec // the form of an identifier, which is no secret

// isCreditor reports whether the check digits of a creditor identifier are right: by ISO 7064 MOD 97-10, over its letters and digits, without
// its business code, so that a creditor may choose that freely.
func isCreditor(s string) bool {
	rest := 0
	for _, c := range s[7:] + s[:4] {
		switch {
		case c >= '0' && c <= '9':
			rest = (rest*10 + int(c-'0')) % 97
		case c >= 'A' && c <= 'Z':
			rest = (rest*100 + int(c-'A') + 10) % 97
		}
	}
	return rest == 1
}

func isDate(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil && !strings.HasPrefix(s, "0000")
}

// problem returns what is wrong with the text, "" if nothing is.
func (f *Format) problem(s string) string {
	if f.judge != nil {
		return f.judge(s)
	}
	if !f.pattern.MatchString(s) || f.check != nil && !f.check(s) {
		return f.message
	}
	return ""
}
