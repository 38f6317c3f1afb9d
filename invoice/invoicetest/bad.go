package invoicetest

import (
	"fmt"
	"strings"
)

// A BadPayload can never become an invoice.
type BadPayload struct {
	Name    string
	Payload []byte
	Fields  []string // all that its error must name, in any order
}

// Bad returns bad payloads of every kind. All that can be read state the transaction "bad" in a way that is valid, but
// for those that are about the transaction_id.
func Bad() []BadPayload {
	bad := badText()
	bad = append(bad, badStructure()...)
	bad = append(bad, badFields()...)
	bad = append(bad, badLines()...)
	return append(bad, badAmounts()...)
}

// goodLine is a line that nothing is wrong with.
const goodLine = `{"sku":"A","quantity":1,"unit_price":"2.50"}`

// with returns a job that has the members beside, or instead of, the required ones.
func with(members ...string) []byte {
	all := members
	for _, required := range []string{
		`"transaction_id":"bad"`, `"issued_at":"2010-12-01T08:26:00Z"`, `"currency":"GBP"`, `"lines":[` + goodLine + `]`,
	} {
		name, _, _ := strings.Cut(required, ":")
		stated := false
		for _, m := range members {
			stated = stated || strings.HasPrefix(m, name+":")
		}
		if !stated {
			all = append(all, required)
		}
	}
	return []byte("{" + strings.Join(all, ",") + "}")
}

// withLine returns a job whose second line has the members beside, or instead of, the required ones.
func withLine(members ...string) []byte {
	all := members
	for _, required := range []string{`"quantity":1`, `"unit_price":1`} {
		name, _, _ := strings.Cut(required, ":")
		stated := false
		for _, m := range members {
			stated = stated || strings.HasPrefix(m, name+":")
		}
		if !stated {
			all = append(all, required)
		}
	}
	return withLines(goodLine, "{"+strings.Join(all, ",")+"}")
}

func withLines(lines ...string) []byte {
	return with(`"lines":[` + strings.Join(lines, ",") + `]`)
}

// badText are bytes that are no text, and texts that Postgres can't store.
func badText() []BadPayload {
	return []BadPayload{
		{"bytes that are no text", []byte("\xff\xfe\x00\x80"), []string{"payload"}},
		{"a compressed file", []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"), []string{"payload"}},
		{"NUL bytes", []byte("\x00\x00\x00"), []string{"payload"}},
		{"UTF-16", []byte("\xff\xfe{\x00}\x00"), []string{"payload"}},
		{"a byte order mark", append([]byte("\xef\xbb\xbf"), with()...), []string{"payload"}},
		{"a NUL byte behind the object", append(with(), 0), []string{"payload"}},
		{"a NUL byte in a string", with("\"customer_name\":\"a\x00b\""), []string{"payload"}},
		{"bad UTF-8 between members", []byte("{\"transaction_id\":\"bad\",\xff}"), []string{"payload"}},

		{"bad UTF-8 in a text", with("\"customer_name\":\"Caf\xe9\""), []string{"customer_name"}},
		{"bad UTF-8 in a restricted text", with("\"producer\":\"Caf\xe9\""), []string{"producer"}},
		{"bad UTF-8 beside an escape", with("\"country\":\"\\u0041\xe9\""), []string{"country"}},
		{"a surrogate in UTF-8", with("\"country\":\"\xed\xa0\x80\""), []string{"country"}},
		{"bad UTF-8 in a line", withLine("\"sku\":\"\xc3\x28\""), []string{"lines[1].sku"}},
		{"bad UTF-8 in metadata", with("\"metadata\":{\"a\":\"\xff\"}"), []string{"metadata.a"}},
		{"bad UTF-8 in a metadata key", with("\"metadata\":{\"a\xff\":\"b\"}"), []string{`metadata."a\xff"`}},
		{"bad UTF-8 in an unknown name", with("\"a\xff\":1"), []string{`"a\xff"`}},
		{"bad UTF-8 in an unknown field", with("\"extra\":\"\xff\""), []string{"extra"}},

		{"U+0000 in a text", with(`"customer_id":"a\u0000"`), []string{"customer_id"}},
		{"U+0000 in a restricted text", with(`"idempotency_key":"a\u0000"`), []string{"idempotency_key"}},
		{"U+0000 in a line", withLine(`"description":"\u0000"`), []string{"lines[1].description"}},
		{"U+0000 in a number", withLine(`"quantity":"1\u0000"`), []string{"lines[1].quantity"}},
		{"U+0000 in metadata", with(`"metadata":{"a":"\u0000"}`), []string{"metadata.a"}},
		{"U+0000 in a metadata key", with(`"metadata":{"\u0000":"a"}`), []string{`metadata."\x00"`}},
		{"U+0000 in an unknown name", with(`"\u0000":1`), []string{`"\x00"`}},
		{"U+0000 in an unknown field", with(`"extra":{"a":["\u0000"]}`), []string{"extra"}},

		{"a lone high surrogate", with(`"customer_name":"\ud83d"`), []string{"customer_name"}},
		{"a lone low surrogate", with(`"country":"\ude00"`), []string{"country"}},
		{"surrogates in the wrong order", with(`"customer_id":"\ude00\ud83d"`), []string{"customer_id"}},
		{"half a pair before a letter", withLine(`"sku":"\ud83d\u0041"`), []string{"lines[1].sku"}},
		{"a lone surrogate in metadata", with(`"metadata":{"a":"\ud800"}`), []string{"metadata.a"}},
		{"a lone surrogate in a metadata key", with(`"metadata":{"\ud800":"a"}`), []string{"metadata.\"\ufffd\""}},
		{"a lone surrogate in an unknown name", with(`"a\ud800":1`), []string{"\"a\ufffd\""}},
		{"a lone surrogate in an unknown field", with(`"extra":"\ud800"`), []string{"extra"}},
		{"a lone surrogate in a known name", with(`"currency\ud800":"GBP"`), []string{"\"currency\ufffd\""}},
	}
}

// badStructure is what JSON, or the object of a job, is not.
func badStructure() []BadPayload {
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	return []BadPayload{
		{"nothing", nil, []string{"payload"}},
		{"blanks", []byte(" \n\t"), []string{"payload"}},
		{"no JSON", []byte("transaction 536365"), []string{"payload"}},
		{"null", []byte("null"), []string{"payload"}},
		{"a string", []byte(`"bad"`), []string{"payload"}},
		{"a number", []byte("1"), []string{"payload"}},
		{"an array", []byte("[" + string(with()) + "]"), []string{"payload"}},
		{"an empty object", []byte("{}"), []string{"transaction_id", "issued_at", "currency", "lines"}},
		{"an object that doesn't end", with()[:len(with())-1], []string{"payload"}},
		{"an object cut in a string", []byte(`{"transaction_id":"ba`), []string{"payload"}},
		{"an object cut in a line", []byte(`{"transaction_id":"bad","lines":[{"quantity":`), []string{"payload"}},
		{"the wrong bracket", []byte(`{"transaction_id":"bad","lines":[}]`), []string{"payload"}},
		{"a comma too many", []byte(`{"transaction_id":"bad",}`), []string{"payload"}},
		{"a comma too few", []byte(`{"transaction_id":"bad" "currency":"GBP"}`), []string{"payload"}},
		{"single quotes", []byte(`{'transaction_id':'bad'}`), []string{"payload"}},
		{"a comment", append(with(), "// bad"...), []string{"payload"}},
		{"an invalid escape", with(`"country":"\x41"`), []string{"payload"}},
		{"a line break in a string", with("\"country\":\"a\nb\""), []string{"payload"}},
		{"too deep", with(`"extra":` + deep), []string{"payload"}},

		{"trailing object", append(with(), "{}"...), []string{"payload"}},
		{"trailing text", append(with(), " x"...), []string{"payload"}},
		{"trailing brace", append(with(), '}'), []string{"payload"}},
		{"trailing data and bad fields", append(with(`"currency":"XXX"`), '1'), []string{"payload", "currency"}},

		{"more than 1 MiB", with(`"country":"` + strings.Repeat("a", 1<<20) + `"`), []string{"payload"}},
		{"more than 1 MiB with blanks", append(with(), strings.Repeat(" ", 1<<20)...), []string{"payload"}},

		{"an unknown field", with(`"amount":1`), []string{"amount"}},
		{"an unknown field with null", with(`"amount":null`), []string{"amount"}},
		{"a field in the wrong case", with(`"Currency":"GBP"`), []string{"Currency"}},
		{"an unknown field in a line", withLine(`"net":1`), []string{"lines[1].net"}},
		{"an unknown field of no name", with(`"":1`), []string{`""`}},
		{"an unknown field of a long name", with(`"` + strings.Repeat("x", 1000) + `":1`), []string{`"` + strings.Repeat("x", 64) + `"…`}},
		{"an unknown field of a long name in UTF-8", with(`"x` + strings.Repeat("é", 500) + `":1`), []string{`"x` + strings.Repeat("é", 31) + `"…`}},
		{"a name with a line break", with(`"a\nb":1`), []string{`"a\nb"`}},

		{"a duplicate key", with(`"currency":"GBP"`, `"currency":"GBP"`), []string{"currency"}},
		{"a duplicate key, null first", with(`"series":null`, `"series":"INV"`), []string{"series"}},
		{"a duplicate key, spelled otherwise", with(`"currency":"GBP"`, `"\u0063urrency":"GBP"`), []string{"currency"}},
		{"a duplicate transaction_id", with(`"transaction_id":"bad"`, `"transaction_id":"worse"`), []string{"transaction_id"}},
		{"a duplicate version", with(`"version":2`, `"version":1`), []string{"version"}},
		{"duplicate lines", with(`"lines":[`+goodLine+`]`, `"lines":[]`), []string{"lines"}},
		{"a duplicate key in a line", withLine(`"quantity":1`, `"quantity":1`), []string{"lines[1].quantity"}},
		{"a duplicate key in metadata", with(`"metadata":{"a":"b","a":"b"}`), []string{"metadata.a"}},
		{"a duplicate key in an unknown field", with(`"extra":{"a":[{"b":1,"b":1}]}`), []string{"extra"}},
	}
}

// badFields are the job's own members.
func badFields() []BadPayload {
	bad := []BadPayload{
		{"everything at once", []byte(`{"transaction_id":"","producer":"a b","series":"inv","issued_at":"today","currency":"GPB",` +
			`"lines":[{"quantity":"x","unit_price":1},{"quantity":1,"unit_price":1.0000001,"tax_percent":101},null],` +
			`"metadata":{"a":1},"extra":0}`), []string{
			"transaction_id", "producer", "series", "issued_at", "currency",
			"lines[0].quantity", "lines[1].unit_price", "lines[1].tax_percent", "lines[2]", "metadata.a", "extra",
		}},
		{"no transaction_id", []byte(`{"issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[` + goodLine + `]}`), []string{"transaction_id"}},
		{"metadata that is a string", with(`"metadata":"a"`), []string{"metadata"}},
		{"metadata that is an array", with(`"metadata":["a"]`), []string{"metadata"}},
		{"a number in metadata", with(`"metadata":{"a":1}`), []string{"metadata.a"}},
		{"null in metadata", with(`"metadata":{"a":null}`), []string{"metadata.a"}},
		{"an object in metadata", with(`"metadata":{"a":{"b":"c"}}`), []string{"metadata.a"}},
	}
	add := func(field string, values ...string) {
		for _, v := range values {
			name := v
			if len(name) > 40 {
				name = fmt.Sprintf("%s… (%d bytes)", name[:40], len(name))
			}
			bad = append(bad, BadPayload{field + " " + name, with(`"` + field + `":` + v), []string{field}})
		}
	}
	long := func(n int) string { return `"` + strings.Repeat("a", n) + `"` }

	add("version", "0", "-1", "1.5", "1e-1", `"1"`, "true", "{}", "1e12", "99999999999999999999", "2147483648")
	add("transaction_id", "null", `""`, "1.5", "-1", "1e3", "true", "[]", long(129), `" a"`, `"a "`, `"a\u00a0b"`, `"a\n"`, `"a\u200b"`, `"Zoe\u0308"`, `"\u2028"`, `"\ue000"`)
	add("idempotency_key", `""`, "1.0", long(256), `"a\tb"`)
	add("producer", `""`, "1", long(65), `"a b"`, `"ab*"`)
	add("series", `""`, "1", `"inv"`, `"INV_1"`, `"INV 1"`, `"`+strings.Repeat("A", 33)+`"`, `"Ä"`)
	add("credits_transaction_id", `""`, "1.0", long(129), `"a\u0000"`)
	add("customer_id", "17850", "{}", "false")
	add("customer_name", "1", `["a"]`)
	add("country", "1", "true")
	add("issued_at", "null", `""`, "1291191960", `"2010-12-01"`, `"2010-12-01T08:26:00"`, `"2010-12-01 08:26:00Z"`,
		`"2010-12-01T8:26:00Z"`, `"2010-12-01T08:26Z"`, `"2010-12-01T08:26:00,5Z"`, `"2010-12-01T08:26:00.Z"`,
		`"2010-12-01T24:00:00Z"`, `"2010-12-01T08:26:60Z"`, `"2010-02-29T08:26:00Z"`, `"2010-13-01T08:26:00Z"`,
		`"2010-12-01T08:26:00+24:00"`, `"2010-12-01T08:26:00+0100"`, `"2010-12-01T08:26:00 Z"`, `" 2010-12-01T08:26:00Z"`,
		`"12010-12-01T08:26:00Z"`, `"-2010-12-01T08:26:00Z"`, `"0000-12-31T23:59:59Z"`, `"0001-01-01T00:30:00+01:00"`,
		`"9999-12-31T23:30:00-01:00"`, `"0001-01-01T00:00:00Z"`)
	add("currency", "null", `""`, "1", `"gpb"`, `"GPB"`, `"XXX"`, `"XAU"`, `"EURO"`, `"€"`, `"GBP "`)
	add("lines", "null", "[]", "{}", `"none"`, "1", "["+strings.Repeat(goodLine+",", 5000)+goodLine+"]")
	return bad
}

// badLines are the members of a line.
func badLines() []BadPayload {
	bad := []BadPayload{
		{"a line that is null", withLines(goodLine, "null"), []string{"lines[1]"}},
		{"a line that is a number", withLines("1"), []string{"lines[0]"}},
		{"an empty line", withLines(goodLine, "{}"), []string{"lines[1].quantity", "lines[1].unit_price"}},
		{"no quantity", withLines(goodLine, `{"unit_price":1}`), []string{"lines[1].quantity"}},
		{"no unit_price", withLines(goodLine, `{"quantity":1}`), []string{"lines[1].unit_price"}},
	}
	add := func(field string, values ...string) {
		for _, v := range values {
			name := v
			if len(name) > 40 {
				name = fmt.Sprintf("%s… (%d bytes)", name[:40], len(name))
			}
			bad = append(bad, BadPayload{field + " " + name, withLine(`"` + field + `":` + v), []string{"lines[1]." + field}})
		}
	}
	noDecimal := []string{
		`""`, "true", "{}", "[1]", `"x"`, `"1,5"`, `" 1"`, `"1 "`, `"+1"`, `".5"`, `"5."`, `"01"`, `"-"`, `"1e"`, `"1e+"`, `"0x10"`,
		`"1_000"`, `"NaN"`, `"Infinity"`, `"１"`, `"1\u0000"`, `"\ud800"`,
		"1.0000001", `"1.0000001"`, "1e-7", "0.00000010000001", "1e-999999999", "1e-99999999999999999999",
		"1e12", "-1e12", `"1000000000000"`, "999999999999.9999999", "1e999999999", "1e18446744073709551616", "1e99999999999999999999", "123456789012345678901234567890",
		"1" + strings.Repeat("0", 100_000), "0." + strings.Repeat("0", 100_000) + "1",
	}
	add("quantity", append(noDecimal, "null")...)
	add("unit_price", append(noDecimal, "null")...)
	add("discount_percent", append(noDecimal, "-1", "-0.000001", "100.000001", `"101"`)...)
	add("tax_percent", append(noDecimal, "-1", "-0.000001", "100.000001", `"101"`)...)
	add("sku", "1", "{}", "false")
	add("description", "1", "[]")
	return bad
}

// badAmounts are past int64, each at another step of adding up.
func badAmounts() []BadPayload {
	// 92,233,720,368,547,758.07 is the most that fits.
	const half = `"quantity":"50000000000","unit_price":"1000000"`
	return []BadPayload{
		{"a line past int64", withLines(goodLine, `{"quantity":"999999999999.999999","unit_price":"-999999999999.999999"}`), []string{"lines[1]"}},
		{"a subtotal past int64", withLines("{"+half+"}", "{"+half+"}"), []string{"subtotal"}},
		{"a tax base past int64", withLines(`{`+half+`,"tax_percent":"20"}`, `{`+half+`,"tax_percent":20}`,
			`{"quantity":"-50000000000","unit_price":"1000000"}`), []string{"tax"}},
		{"taxes past int64", withLines(`{`+half+`,"tax_percent":"100"}`, `{`+half+`,"tax_percent":99}`,
			`{"quantity":"-50000000000","unit_price":"1000000"}`), []string{"tax"}},
		{"a total past int64", withLines(`{` + half + `,"tax_percent":"100"}`), []string{"total"}},
	}
}
