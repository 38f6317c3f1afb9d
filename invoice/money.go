package invoice

import "strconv"

// FormatMinor spells an amount that is counted in the currency's minor units: 5863556 in GBP is "58635.56", 500 in JPY
// "500", 1 in BHD "0.001". In a currency that [MinorUnits] doesn't know, it is the bare count.
func FormatMinor(minor int64, currency string) string {
	exponent, _ := MinorUnits(currency)
	digits := strconv.FormatUint(magnitude(minor), 10)
	for len(digits) <= exponent {
		digits = "0" + digits
	}
	if exponent > 0 {
		point := len(digits) - exponent
		digits = digits[:point] + "." + digits[point:]
	}
	if minor < 0 {
		return "-" + digits
	}
	return digits
}
