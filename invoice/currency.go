package invoice

// MinorUnits returns how many decimals the amounts of an ISO 4217 currency have: 2 for most, 0 for JPY, 3 for BHD, 4
// for CLF. ok is false for anything that isn't a currency code in capitals, and for codes without a minor unit in ISO
// 4217 (gold, testing and the like).
//
// Codes that were ever withdrawn stay known, such as HRK and ANG: a sale in such a currency may be invoiced or credited later.
func MinorUnits(currency string) (exponent int, ok bool) {
	switch currency {
	case
		"AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN", "BMD", "BND",
		"BOB", "BOV", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHE", "CHF", "CHW", "CNY", "COP",
		"COU", "CRC", "CUP", "CVE", "CZK", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP",
		"GEL", "GHS", "GIP", "GMD", "GTQ", "GYD", "HKD", "HNL", "HRK", "HTG", "HUF", "IDR", "ILS", "INR", "IRR",
		"JMD", "KES", "KGS", "KHR", "KPW", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "MAD", "MDL", "MGA",
		"MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MXV", "MYR", "MZN", "NAD", "NGN", "NIO",
		"NOK", "NPR", "NZD", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "QAR", "RON", "RSD", "RUB", "SAR", "SBD",
		"SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SOS", "SRD", "SSP", "STN", "SVC", "SYP", "SZL", "THB", "TJS",
		"TMT", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "USD", "USN", "UYU", "UZS", "VED", "VES", "WST", "XAD",
		"XCD", "XCG", "YER", "ZAR", "ZMW", "ZWG":
		return 2, true
	case
		"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF",
		"XOF", "XPF":
		return 0, true
	case "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND":
		return 3, true
	case "CLF", "UYW":
		return 4, true
	default:
		return withdrawn(currency)
	}
}

// withdrawn is [MinorUnits] for the codes of ISO 4217's list three, of withdrawn currencies, and for those that were withdrawn since. The
// list has no minor units; they are what the currencies had, and accounts that were kept in a currency have that one's.
func withdrawn(currency string) (exponent int, ok bool) {
	switch currency {
	case
		"AFA", "ALK", "ANG", "AOK", "AON", "AOR", "ARA", "ARP", "ARY", "ATS", "AYM", "AZM", "BAD", "BGJ", "BGK",
		"BGL", "BOP", "BRB", "BRC", "BRE", "BRN", "BRR", "BUK", "CHC", "CSD", "CSJ", "CSK", "CUC", "CYP", "DDM",
		"DEM", "ECS", "ECV", "EEK", "FIM", "FRF", "GEK", "GHC", "GHP", "GNE", "GNS", "GQE", "GWE", "GWP", "HRD",
		"IEP", "ILP", "ILR", "ISJ", "LAJ", "LSM", "LTL", "LTT", "LVL", "LVR", "MLF", "MRO", "MTL", "MTP", "MVQ",
		"MXP", "MZE", "MZM", "NIC", "NLG", "PEH", "PEI", "PES", "PLZ", "RHD", "ROK", "ROL", "RUR", "SDD", "SDP",
		"SIT", "SKK", "SLL", "SRG", "STD", "SUR", "TJR", "TMM", "UAK", "UGS", "UGW", "USS", "UYN", "UYP", "VEB",
		"VEF", "VNC", "XEU", "YDD", "YUD", "YUM", "YUN", "ZAL", "ZMK", "ZRN", "ZRZ", "ZWC", "ZWD", "ZWL", "ZWN",
		"ZWR":
		return 2, true
	case
		"ADP", "BEC", "BEF", "BEL", "BYB", "BYR", "ESA", "ESB", "ESP", "GRD", "ITL", "LUC", "LUF", "LUL", "MGF",
		"PTE", "TPE", "TRL":
		return 0, true
	default:
		return 0, false
	}
}
