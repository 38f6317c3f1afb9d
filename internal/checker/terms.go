package checker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// What a job of version 2 states beyond version 1 is compared as JSON: a field that is new is compared as well.
type object = map[string]any

// normalised is what a job states beyond version 1: as a document, and by line, where tax_percent is among it. Numbers are written in one
// way, and what is a default is left out. bySign is the kind that the sign of the total makes it.
func normalised(payload []byte, kind, bySign string) (terms object, lines []object, err error) {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	var stated object
	if err := d.Decode(&stated); err != nil {
		return nil, nil, err
	}
	list, _ := stated["lines"].([]any)
	mode, _ := stated["prices"].(string)
	gross := mode == "gross"
	for _, l := range list {
		line, _ := pruned("", "", l).(object)
		for _, name := range strings.Fields(lineFields) {
			if name != "tax_percent" { // which the terms may say in other words
				delete(line, name)
			}
		}
		drop(line, "base_quantity", "1")
		drop(line, "discount_amount", "0")
		drop(line, "charge_amount", "0")
		normaliseTaxation(line, gross)
		lines = append(lines, line)
	}
	for _, name := range strings.Fields(jobFields + " expected_total expected_payable") {
		delete(stated, name)
	}
	terms, _ = pruned("", "", stated).(object)
	drop(terms, "prices", "net")
	drop(terms, "kind", bySign)
	drop(terms, "type_code", map[string]string{"invoice": "380", "credit_note": "381"}[kind])
	drop(terms, "rounding", "0")
	drop(terms, "prepaid", "0")
	for _, name := range []string{"allowances", "charges"} {
		adjustments, _ := terms[name].([]any)
		for i := range adjustments {
			a, _ := adjustments[i].(object)
			drop(a, "amount", "0")
			drop(a, "percent", "0")
			normaliseTaxation(a, gross)
		}
		if adjustments = slices.DeleteFunc(adjustments, func(a any) bool { return len(a.(object)) == 0 }); len(adjustments) == 0 {
			delete(terms, name)
		} else {
			terms[name] = adjustments
		}
	}
	return terms, lines, nil
}

func drop(from object, name, value string) {
	if from[name] == value {
		delete(from, name)
	}
}

// normaliseTaxation says in one way what can be said in several.
func normaliseTaxation(of object, gross bool) {
	drop(of, "prices", map[bool]string{false: "net", true: "gross"}[gross])
	category, _ := of["tax_category"].(string)
	taxes, _ := of["taxes"].([]any)
	if len(taxes) == 1 {
		if tax := asObject(taxes[0]); tax["code"] == nil && tax["compound"] == nil {
			delete(of, "taxes")
			of["tax_percent"] = tax["percent"]
			if tax["category"] != nil {
				of["tax_category"] = tax["category"]
			}
		}
	}
	if len(taxes) == 0 && isUntaxed(category) {
		of["tax_percent"] = "0"
	}
}

func isNumber(name string) bool {
	return slices.Contains(strings.Fields("percent tax_percent amount base rounding prepaid tax_currency_rate base_quantity discount_amount charge_amount "+
		"quantity unit_price discount_percent"), name)
}

// pruned is a value without anything empty in it, nil if nothing is left, and with its numbers written in one way.
func pruned(around, name string, value any) any {
	switch v := value.(type) {
	case object:
		kept := object{}
		for inner, one := range v {
			if one = pruned(name, inner, one); one != nil {
				kept[inner] = one
			}
		}
		if len(kept) > 0 || around == "" && name == "" {
			return kept
		}
	case []any:
		var kept []any
		for _, one := range v {
			if one = pruned(around, name, one); one != nil {
				kept = append(kept, one)
			}
		}
		if len(kept) > 0 {
			return kept
		}
	case bool:
		if v {
			return v
		}
	case json.Number, string:
		if text := fmt.Sprint(v); text != "" && isNumber(name) {
			return plainText(text)
		} else if text != "" {
			return text
		}
	}
	return nil
}

// merged is what is stored in two parts, spelled as one. Nothing is left out of it.
func merged(public, personal string) string {
	var a, b any
	for _, part := range []struct {
		text string
		to   *any
	}{{public, &a}, {personal, &b}} {
		if part.text == "" {
			continue
		}
		d := json.NewDecoder(strings.NewReader(part.text))
		d.UseNumber()
		if err := d.Decode(part.to); err != nil {
			return err.Error()
		}
	}
	for name := range asObject(a) {
		if slices.Contains([]string{"seller", "buyer", "payee", "tax_representative", "payment", "delivery"}, name) {
			return name + " beside what is no person's"
		}
	}
	return spelled(withPlainNumbers("", merge(a, b)))
}

func asObject(v any) object {
	o, _ := v.(object)
	return o
}

func merge(a, b any) any {
	switch x := a.(type) {
	case nil:
		return b
	case object:
		if y, ok := b.(object); ok {
			for name, value := range y {
				x[name] = merge(x[name], value)
			}
		}
	case []any:
		if y, ok := b.([]any); ok {
			for i, value := range y {
				if i < len(x) {
					x[i] = merge(x[i], value)
				} else {
					x = append(x, value)
				}
			}
		}
		return x
	}
	return a
}

func withPlainNumbers(name string, value any) any {
	switch v := value.(type) {
	case object:
		for inner, one := range v {
			v[inner] = withPlainNumbers(inner, one)
		}
	case []any:
		for i, one := range v {
			v[i] = withPlainNumbers(name, one)
		}
	case string:
		if isNumber(name) {
			return plainText(v)
		}
	}
	return value
}

// spelled writes JSON in one way, and nothing as "".
func spelled(value any) string {
	if o, ok := value.(object); value == nil || ok && len(o) == 0 {
		return ""
	}
	b, err := json.Marshal(value) // members in order
	if err != nil {
		return err.Error()
	}
	return string(b)
}
