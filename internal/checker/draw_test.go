package checker_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
)

// A draw makes up jobs that are as odd as the format allows, as a producer might spell them.
type draw struct{ *rand.Rand }

func (d draw) oneIn(n int) bool { return d.IntN(n) == 0 }

func pick[T any](d draw, of ...T) T { return of[d.IntN(len(of))] }

// number spells a number in one of the ways that there are.
func (d draw) number(s string) any {
	if d.oneIn(3) && strings.Contains(s, ".") {
		s += "0"
	}
	if d.oneIn(2) {
		return json.Number(s)
	}
	return s
}

// decimal has so many digits before and behind the point.
func (d draw) decimal(before, behind int) string {
	s := strconv.Itoa(d.IntN(10))
	for range d.IntN(before + 1) {
		s += strconv.Itoa(d.IntN(10))
	}
	s = strings.TrimLeft(s, "0")
	if s == "" {
		s = "0"
	}
	if behind > 0 && d.oneIn(2) {
		s += "."
		for range 1 + d.IntN(behind) {
			s += strconv.Itoa(d.IntN(10))
		}
	}
	return s
}

func (d draw) signed(s string) string {
	if d.oneIn(6) {
		return "-" + s
	}
	return s
}

func (d draw) quantity() any {
	switch d.IntN(8) {
	case 0:
		return d.number(d.signed(d.decimal(1, 12)))
	case 1:
		return d.number(pick(d, "0", "999999999999999.999999999999", "0.000000000001", "-0.5", "123456789012345"))
	case 2:
		return d.number(d.signed(d.decimal(8, 6)))
	}
	return d.number(d.signed(strconv.Itoa(1 + d.IntN(12))))
}

func (d draw) price() any {
	switch d.IntN(8) {
	case 0:
		return d.number(d.signed(d.decimal(2, 12)))
	case 1:
		return d.number(pick(d, "0", "0.005", "0.5", "99999.999999999999", "2.5", "-0.015", "1.005"))
	}
	return d.number(d.decimal(2, 2))
}

func (d draw) percent() string {
	return pick(d, "0", "5", "7", "19", "19", "20", "9.975", "33.333333333333", "100", "0.000000000001", "2.5")
}

func (d draw) amount(digits int) any {
	s := d.decimal(pick(d, 1, 1, 2, 6), 0)
	if digits > 0 && d.oneIn(2) {
		s += "." + fmt.Sprintf("%0*d", digits, d.IntN(pow10(digits)))
	}
	if d.oneIn(8) {
		s = "0"
	}
	return d.number(d.signed(s))
}

func pow10(n int) int {
	p := 1
	for range n {
		p *= 10
	}
	return p
}

// taxation states few rates, so that groups come together.
func (d draw) taxation(of map[string]any, rateless int) {
	if d.oneIn(3) {
		of["prices"] = pick(d, "net", "gross")
	}
	switch d.IntN(8) {
	case 0:
		var taxes []any
		for range 1 + d.IntN(3) {
			tax := map[string]any{"percent": d.number(d.percent())}
			if d.oneIn(2) {
				tax["code"] = pick(d, "GST", "QST", "PST")
			}
			if d.oneIn(3) {
				tax["category"] = pick(d, "S", "L")
			}
			if d.oneIn(2) {
				tax["compound"] = d.oneIn(2)
			}
			taxes = append(taxes, tax)
		}
		of["taxes"] = taxes
		if d.oneIn(3) {
			of["tax_category"] = "S"
		}
	case 1:
		of["taxes"] = []any{
			map[string]any{"code": "GST", "percent": d.number("5")},
			map[string]any{"code": "QST", "percent": d.number("9.975"), "compound": d.oneIn(2)},
		}
	case 2:
		of["tax_category"] = pick(d, "E", "Z", "AE", "K", "G", "O", "S")
		if d.oneIn(2) {
			of["tax_percent"] = d.number(pick(d, "0", "0", "0.0", "7"))
		}
		of["exemption_reason"] = pick(d, "", "books")
	case 3:
		of["tax_category"], of["tax_percent"] = "S", d.number(pick(d, "19", "7"))
	default:
		if !d.oneIn(rateless) {
			of["tax_percent"] = d.number(pick(d, "19", "7", "20", d.percent()))
		}
	}
}

func (d draw) line(digits int) map[string]any {
	l := map[string]any{"quantity": d.quantity(), "unit_price": d.price()}
	d.taxation(l, 3)
	if d.oneIn(5) {
		l["discount_percent"] = d.number(d.percent())
	}
	if d.oneIn(5) {
		l["discount_amount"] = d.amount(digits)
	}
	if d.oneIn(5) {
		l["charge_amount"] = d.amount(digits)
	}
	if d.oneIn(5) {
		l["base_quantity"] = d.number(pick(d, "1", "1.000", "1000", "3", "0.7", "0.000000000001"))
	}
	if d.oneIn(4) {
		l["name"], l["unit"] = pick(d, "", "Böden <&> \"x\"", "A"), pick(d, "", "C62")
		l["item_ids"] = map[string]any{"seller": pick(d, "", "4"), "standard_scheme": pick(d, "", "0160")}
		l["classifications"] = pick(d, []any{}, []any{map[string]any{"scheme": "STI", "code": "1"}})
		l["period"] = pick(d, nil, map[string]any{"start": "2010-01-01"}, map[string]any{})
	}
	return l
}

func (d draw) adjustments(digits int) []any {
	list := []any{}
	for range d.IntN(3) {
		a := map[string]any{}
		if d.oneIn(2) {
			a["percent"] = d.number(d.percent())
		} else {
			a["amount"] = d.amount(digits)
		}
		d.taxation(a, 2)
		if d.oneIn(3) {
			a["reason"], a["reason_code"] = pick(d, "", "loyalty"), pick(d, "", "95")
		}
		list = append(list, a)
	}
	return list
}

func (d draw) job() map[string]any {
	currency, digits := pick(d, "GBP", "JPY", "BHD"), 0
	switch currency {
	case "GBP":
		digits = 2
	case "BHD":
		digits = 3
	}
	j := map[string]any{"version": 2, "transaction_id": "T", "issued_at": "2010-12-01T08:26:00Z", "currency": currency}
	var lines []any
	for range 1 + d.IntN(7) {
		lines = append(lines, d.line(digits))
	}
	if d.oneIn(12) { // a document that takes back
		for _, l := range lines {
			l.(map[string]any)["quantity"] = d.number("-" + strconv.Itoa(1+d.IntN(20)))
		}
	}
	j["lines"] = lines
	if d.oneIn(2) {
		j["prices"] = pick(d, "net", "gross", "gross")
	}
	if d.oneIn(2) {
		j["allowances"] = d.adjustments(digits)
	}
	if d.oneIn(2) {
		j["charges"] = d.adjustments(digits)
	}
	if d.oneIn(4) {
		var list []any
		for range 1 + d.IntN(2) {
			w := map[string]any{"code": "IRPF", "percent": d.number(d.percent())}
			if d.oneIn(2) {
				w["base"] = d.amount(digits)
			}
			list = append(list, w)
		}
		j["withholdings"] = list
	}
	if d.oneIn(4) {
		j["rounding"] = d.amount(digits)
	}
	if d.oneIn(4) {
		j["prepaid"] = d.amount(digits)
	}
	if d.oneIn(5) {
		j["kind"] = pick(d, "invoice", "credit_note")
	}
	if d.oneIn(4) {
		maps.Copy(j, map[string]any{
			"buyer":  map[string]any{"name": pick(d, "", "Zoë"), "address": map[string]any{"city": pick(d, "", "Kraków"), "country_code": pick(d, "", "PL")}},
			"seller": pick(d, nil, map[string]any{}, map[string]any{"name": "ACME"}), "notes": pick(d, []any{}, []any{map[string]any{"text": "a"}, map[string]any{"code": "AAI", "text": "b"}}),
			"due_date": pick(d, "", "2010-12-31"), "order_reference": pick(d, "", "PO-1"), "language": pick(d, "", "de"),
			"preceding": pick(d, []any{}, []any{map[string]any{"invoice_number": "OLD-77"}, map[string]any{"invoice_number": "OLD-78", "date": "2009-01-31"}}),
			"payment":   pick(d, nil, map[string]any{"terms": "30 days", "means_code": "58"}),
		})
	}
	return j
}

func spell(j map[string]any) []byte {
	b, err := json.Marshal(j)
	if err != nil {
		panic(err)
	}
	return b
}
