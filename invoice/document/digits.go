package document

// checkDigits reports whether an id has the form and the check digit of its scheme in Peppol, and by which rule. It knows those whose rules
// are fatal, and takes all others.
func checkDigits(scheme, id string) (rule string, ok bool) {
	switch scheme {
	case "0088":
		return "R040", isForm(id, "", 1, len(id), digit) && isGLN(id)
	case "0192":
		return "R041", isNorwegian(id)
	case "0184":
		return "R042", isForm(id, "DK", 8, 8, digit) || isForm(id, "", 8, 8, digit)
	case "0208":
		return "R043", isBelgian(id)
	case "0007":
		return "R049", isForm(id, "", 10, 10, digit) && isLuhn(id)
	case "0151":
		return "R050", isAustralian(id)
	}
	return "", true
}

func digit(c byte) bool        { return c >= '0' && c <= '9' }
func alphanumeric(c byte) bool { return digit(c) || c >= 'A' && c <= 'Z' }

// isForm reports whether a text is a prefix and so many characters of a kind.
func isForm(s, prefix string, least, most int, is func(byte) bool) bool {
	if len(s) < len(prefix) || s[:len(prefix)] != prefix {
		return false
	}
	s = s[len(prefix):]
	for n := range len(s) {
		if !is(s[n]) {
			return false
		}
	}
	return len(s) >= least && len(s) <= most
}

// weighted sums up all digits but the last, the last of them first, by weights in turn.
func weighted(id string, weights ...int) (sum, check int) {
	last := len(id) - 1
	for n := range last {
		sum += int(id[last-1-n]-'0') * weights[n%len(weights)]
	}
	return sum, int(id[last] - '0')
}

func isGLN(id string) bool {
	sum, check := weighted(id, 3, 1)
	return (10-sum%10)%10 == check
}

func isNorwegian(id string) bool {
	if !isForm(id, "", 9, 9, digit) {
		return false
	}
	sum, check := weighted(id, 2, 3, 4, 5, 6, 7)
	return id != "000000000" && (11-sum%11)%11 == check
}

func isBelgian(id string) bool {
	if !isForm(id, "", 10, 10, digit) {
		return false
	}
	n := 0
	for _, c := range []byte(id) {
		n = 10*n + int(c-'0')
	}
	return 97-n/100%97 == n%100
}

func isLuhn(id string) bool {
	sum, last := 0, len(id)-1
	for n := range last {
		d := int(id[last-1-n] - '0')
		if n%2 == 0 {
			d *= 2
		}
		sum += d/10 + d%10
	}
	return (10-sum%10)%10 == int(id[last]-'0')
}

func isAustralian(id string) bool {
	if !isForm(id, "", 11, 11, digit) {
		return false
	}
	sum := -10
	for n, weight := range []int{10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19} {
		sum += int(id[n]-'0') * weight
	}
	return sum%89 == 0
}
