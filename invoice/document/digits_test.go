package document_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"invoicer/invoice/document"
	"invoicer/invoice/document/check"
	"invoicer/invoice/document/cii"
	"invoicer/invoice/document/ubl"
)

var (
	amountsOfUBL = regexp.MustCompile(`<cbc:(\w*Amount) currencyID="(\w+)">(-?[0-9.]+)<`)
	amountsOfCII = regexp.MustCompile(`<ram:(\w*Amount)()(?: currencyID="\w+")?>(-?[0-9.]+)<`)
)

// A digit of an amount that isn't what it was is found, whichever it is, but for the few amounts that nothing else in the document depends on to the
// last digit: bases of percentages, prices, and the VAT in another currency.
func TestEachChangedDigitIsFound(t *testing.T) {
	t.Parallel()
	changed, free, byKind := 0, 0, map[string]int{}
	few := 4 // lines, since a document is read again for each amount
	if testing.Short() {
		few = 2
	}
	for n, d := range random(t, fewer()) {
		if len(d.Lines) > few || hasBothPrices(d) {
			continue
		}
		for syntax, amounts := range map[string]*regexp.Regexp{"ubl": amountsOfUBL, "cii": amountsOfCII} {
			write := ubl.Write
			if syntax == "cii" {
				write = cii.Write
			}
			content, err := write(d, document.EN16931)
			if err != nil {
				t.Fatal(err)
			}
			found := said(t, content)
			for _, at := range amounts.FindAllSubmatchIndex(content, -1) {
				name := string(content[at[2]:at[3]])
				digits := content[at[6]:at[7]]
				// Of each amount one digit is changed: another one in each document.
				k := (n + at[6]) % len(digits)
				for digits[k] == '.' || digits[k] == '-' {
					k = (k + 1) % len(digits)
				}
				before := digits[k]
				digits[k] = '0' + (before-'0'+1+byte(n%9))%10
				isFound := said(t, content) != found
				changed++
				if !isFound {
					free++
					byKind[name]++
					if !mayBeFree(name, d, string(content[at[4]:at[5]])) {
						t.Errorf("%s: %s %s → %s isn't found in %s", syntax, name, replaced(digits, k, before), digits, d.Number)
					}
				}
				digits[k] = before
			}
		}
	}
	if t.Logf("%d of %d changed digits aren't found, where nothing depends on them: %v", free, changed, byKind); changed < 200 || free > changed/10 {
		t.Error("too few are changed, or found")
	}
}

func replaced(digits []byte, k int, with byte) string {
	b := bytes.Clone(digits)
	b[k] = with
	return string(b)
}

// mayBeFree reports whether a changed amount may still fit the others: to the last digits of a price or of the base of a percentage, since what comes
// of it is rounded; and whatever it is if it is the VAT in another currency.
func mayBeFree(name string, d *document.Document, currency string) bool {
	switch name {
	case "PriceAmount", "ChargeAmount", "BaseAmount", "BasisAmount":
		return true
	case "TaxAmount":
		return d.TaxCurrency != "" && currency == d.TaxCurrency
	case "TaxTotalAmount":
		return d.TaxCurrency != ""
	}
	return false
}

// said is what check says of a document, but for what each has.
func said(t *testing.T, content []byte) string {
	t.Helper()
	r, err := check.Read(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, list := range [][]check.Finding{r.Findings, r.Notes} {
		for _, f := range list {
			fmt.Fprintln(&b, f)
		}
	}
	for _, l := range r.Lacks {
		fmt.Fprintln(&b, l)
	}
	return b.String()
}
