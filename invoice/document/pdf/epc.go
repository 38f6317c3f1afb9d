package pdf

import (
	"cmp"
	"strings"
	"unicode/utf8"

	"rsc.io/qr"

	"invoicer/invoice/document"
)

func compactIBAN(s string) string { return strings.ToUpper(strings.ReplaceAll(s, " ", "")) }

// isIBAN reports whether an account is an IBAN with the right check digits.
func isIBAN(s string) bool {
	s = compactIBAN(s)
	if len(s) < 15 || len(s) > 34 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		return false
	}
	return mod97(s[4:]+s[:4]) == 1
}

// mod97 is ISO 7064's MOD 97-10, and 0 of anything but capitals and digits.
func mod97(s string) int {
	rest := 0
	for n := range len(s) {
		switch c := s[n]; {
		case c >= '0' && c <= '9':
			rest = (rest*10 + int(c-'0')) % 97
		case c >= 'A' && c <= 'Z':
			rest = (rest*100 + int(c-'A') + 10) % 97
		default:
			return 0
		}
	}
	return rest
}

// isCreditorReference reports whether a reference is one of ISO 11649.
func isCreditorReference(s string) bool {
	s = compactIBAN(s)
	return len(s) > 4 && len(s) <= 25 && strings.HasPrefix(s, "RF") && mod97(s[4:]+s[:4]) == 1
}

// epc returns what the code for a SEPA credit transfer says (EPC069-12, version 2), and "" where there is none: it takes euro, an IBAN, and
// something to pay.
func epc(d *document.Document) string {
	p := d.Payment
	if p == nil || d.Kind != document.Invoice || d.Currency != "EUR" || !isIBAN(p.Account) || document.IsDirectDebit(p.MeansCode) {
		return ""
	}
	cents, ok := d.Totals.Payable.Scaled(2)
	if !ok || cents < 1 || cents > 99_999_999_999 {
		return ""
	}
	payee := d.Seller.Name
	if d.Payee != nil {
		payee = cmp.Or(d.Payee.Name, payee)
	}
	name := cut(cmp.Or(p.AccountName, payee), 70)
	if name == "" {
		return ""
	}
	structured, unstructured := "", cut(cmp.Or(p.Reference, d.Number), 140)
	if isCreditorReference(p.Reference) {
		structured, unstructured = compactIBAN(p.Reference), ""
	}
	bank := compactIBAN(p.Bank)
	if len(bank) != 8 && len(bank) != 11 {
		bank = ""
	}
	amount := "EUR" + (&locale{decimal: ".", words: &words{}}).number(d.Totals.Payable, 2)
	lines := []string{"BCD", "002", "1", "SCT", bank, name, compactIBAN(p.Account), amount, "", structured, unstructured}
	const most = 331 // bytes, of which the code has room for
	text := strings.TrimRight(strings.Join(lines, "\n"), "\n")
	if len(text) > most {
		lines[10] = cut(d.Number, 35)
		lines[5] = cut(name, 40)
		text = strings.TrimRight(strings.Join(lines, "\n"), "\n")
	}
	if len(text) > most {
		return ""
	}
	return text
}

// cut returns the first characters of a text, in one line.
func cut(s string, most int) string {
	s = plain(s)
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return strings.TrimSpace(string([]rune(s)[:most]))
}

// code returns the dark modules of a QR code of the level that the EPC asks for, M, with the number of modules of a side.
func code(text string) (dark [][2]int, side int) {
	c, err := qr.Encode(text, qr.M)
	if err != nil {
		return nil, 0
	}
	for y := range c.Size {
		for x := range c.Size {
			if c.Black(x, y) {
				dark = append(dark, [2]int{x, y})
			}
		}
	}
	return dark, c.Size
}
