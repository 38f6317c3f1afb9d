package invoice

import "strconv"

// FormatMinor formats an amount in the currency's minor units as a decimal: 5863556 in GBP is "58635.56", 500 in JPY
// "500", 1 in BHD "0.001". For a currency that [MinorUnits] doesn't know, it returns minor as it is.
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
