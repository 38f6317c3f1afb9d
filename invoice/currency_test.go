package invoice_test

import (
	"strings"
	"testing"

	"github.com/bojanz/currency"

	"invoicer/invoice"
)

// The table has exactly what a maintained library has, and the currencies that were withdrawn since it was written.
func TestMinorUnitsAgainstLibrary(t *testing.T) {
	t.Parallel()
	withdrawn := map[string]int{"BGN": 2, "HRK": 2}
	for _, code := range strings.Fields(listThree) {
		withdrawn[code] = 2
	}
	for _, code := range strings.Fields(withoutMinorUnit) {
		withdrawn[code] = 0
	}
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

// listThree are the codes of ISO 4217's list three that a maintained library doesn't have any more, and the ones withdrawn since.
const listThree = `ADP AFA ALK ANG AOK AON AOR ARA ARP ARY ATS AYM AZM BAD BEC BEF BEL BGJ BGK BGL BOP BRB BRC BRE BRN
BRR BUK BYB BYR CHC CSD CSJ CSK CYP DDM DEM ECS ECV EEK ESA ESB ESP FIM FRF GEK GHC GHP GNE GNS GQE
GRD GWE GWP HRD IEP ILP ILR ISJ ITL LAJ LSM LTL LTT LUC LUF LUL LVL LVR MGF MLF MRO MTL MTP MVQ MXP
MZE MZM NIC NLG PEH PEI PES PLZ PTE RHD ROK ROL RUR SDD SDP SIT SKK SRG STD SUR TJR TMM TPE TRL UAK
UGS UGW USS UYN UYP VEB VEF VNC XEU YDD YUD YUM YUN ZAL ZMK ZRN ZRZ ZWC ZWD ZWN ZWR SLL CUC ZWL`

// withoutMinorUnit are those of them whose amounts had no decimals.
const withoutMinorUnit = "ADP BEC BEF BEL BYB BYR ESA ESB ESP GRD ITL LUC LUF LUL MGF PTE TPE TRL"

func TestMinorUnits(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]int{"GBP": 2, "JPY": 0, "BHD": 3, "CLF": 4, "UYW": 4, "BGN": 2, "HRK": 2, "ANG": 2, "ZWL": 2, "SLL": 2, "LTL": 2, "BYR": 0, "ITL": 0} {
		if got, ok := invoice.MinorUnits(code); !ok || got != want {
			t.Errorf("MinorUnits(%q) = %d, %v, want %d", code, got, ok, want)
		}
	}
	for _, code := range []string{"", "gbp", "GB", "GBPX", "XXX", "XTS", "XAU", "XFO", "XFU", "XRE", " GBP"} {
		if _, ok := invoice.MinorUnits(code); ok {
			t.Errorf("MinorUnits(%q) is known", code)
		}
	}
}
