package invoice_test

import (
	"testing"

	"github.com/bojanz/currency"

	"invoicer/invoice"
)

// The table has exactly what a maintained library has, and the currencies that were withdrawn since it was written.
func TestMinorUnitsAgainstLibrary(t *testing.T) {
	t.Parallel()
	withdrawn := map[string]int{"BGN": 2, "HRK": 2}
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			for c := 'A'; c <= 'Z'; c++ {
				code := string([]rune{a, b, c})
				digits, wantOK := currency.GetDigits(code)
				want := int(digits)
				if exponent, ok := withdrawn[code]; ok {
					want, wantOK = exponent, true
				}
				if got, ok := invoice.MinorUnits(code); got != want || ok != wantOK {
					t.Errorf("MinorUnits(%q) = %d, %v, want %d, %v", code, got, ok, want, wantOK)
				}
			}
		}
	}
}

func TestMinorUnits(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]int{"GBP": 2, "JPY": 0, "BHD": 3, "CLF": 4, "UYW": 4, "BGN": 2, "HRK": 2} {
		if got, ok := invoice.MinorUnits(code); !ok || got != want {
			t.Errorf("MinorUnits(%q) = %d, %v, want %d", code, got, ok, want)
		}
	}
	for _, code := range []string{"", "gbp", "GB", "GBPX", "XXX", "XTS", "XAU", " GBP"} {
		if _, ok := invoice.MinorUnits(code); ok {
			t.Errorf("MinorUnits(%q) is known", code)
		}
	}
}
