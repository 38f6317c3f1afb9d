package invoice_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
)

// A leaf is a field that only version 2 has, below any objects and lists.
type leaf struct {
	path    string // as problems and differences name it
	options string // of its tag and those around it
	at      func(*invoice.Job) reflect.Value
}

// leaves returns all leaves of a job whose lists have one element each.
func leaves() []leaf {
	var all []leaf
	walk(&all, reflect.TypeFor[invoice.Terms](), "", "", func(j *invoice.Job) reflect.Value {
		if j.Terms == nil {
			j.Terms = &invoice.Terms{}
		}
		return reflect.ValueOf(j.Terms).Elem()
	})
	walk(&all, reflect.TypeFor[invoice.LineTerms](), "lines[0].", "", func(j *invoice.Job) reflect.Value {
		if j.Lines[0].Terms == nil {
			j.Lines[0].Terms = &invoice.LineTerms{}
		}
		return reflect.ValueOf(j.Lines[0].Terms).Elem()
	})
	return all
}

func walk(all *[]leaf, t reflect.Type, path, options string, in func(*invoice.Job) reflect.Value) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := func(j *invoice.Job) reflect.Value { return in(j).Field(i) }
		name, own, _ := strings.Cut(f.Tag.Get("job"), ",")
		own += "," + options
		switch {
		case f.Anonymous:
			walk(all, f.Type, path, options, at)
		case f.Type.Kind() == reflect.Slice:
			walk(all, f.Type.Elem(), path+name+"[0].", own, func(j *invoice.Job) reflect.Value {
				list := at(j)
				if list.Len() == 0 {
					list.Set(reflect.MakeSlice(f.Type, 1, 1))
				}
				return list.Index(0)
			})
		case f.Type.Kind() == reflect.Pointer && f.Type != reflect.TypeFor[*invoice.Decimal]():
			walk(all, f.Type.Elem(), path+name+".", own, func(j *invoice.Job) reflect.Value {
				object := at(j)
				if object.IsNil() {
					object.Set(reflect.New(f.Type.Elem()))
				}
				return object.Elem()
			})
		default:
			*all = append(*all, leaf{path: path + name, options: own, at: at})
		}
	}
}

// set gives the field a value that its tag allows: one of two that differ, or with a draw one of many.
func (l *leaf) set(j *invoice.Job, first bool, random *rand.Rand) {
	v := l.at(j)
	n := map[bool]int{true: 1, false: 2}[first]
	if random != nil {
		n = 1 + random.IntN(1000)
	}
	switch v.Interface().(type) {
	case invoice.Decimal:
		v.Set(reflect.ValueOf(invoice.NewDecimal(int64(n%100), 0)))
	case *invoice.Decimal:
		d := invoice.NewDecimal(int64(n%100), 0)
		v.Set(reflect.ValueOf(&d))
	case bool:
		v.SetBool(first || n%2 == 1)
	default:
		v.SetString(l.text(n))
	}
}

func (l *leaf) text(n int) string {
	pick := func(of ...string) string { return of[n%len(of)] }
	for option := range strings.SplitSeq(l.options, ",") {
		switch option {
		case "like=date":
			return fmt.Sprintf("2010-%02d-%02d", 1+n%12, 1+n%28)
		case "like=country":
			return pick("GB", "DE", "FR")
		case "like=currency":
			return pick("CHF", "USD", "BHD")
		case "like=language":
			return pick("de", "pt-BR", "en")
		case "like=type_code":
			return pick("384", "389", "326")
		case "like=category":
			return pick("L", "M")
		case "like=code", "like=identifier", "like=account":
			return fmt.Sprint("X", n)
		case "like=creditor": // the check digits don't depend on the business code
			return fmt.Sprintf("DE98%03d09999999999", n)
		case "one=net|gross":
			return pick("net", "gross")
		case "one=invoice|credit_note":
			return pick("invoice", "credit_note")
		}
	}
	return pick(`plain`, `Zoë "Ø" 注文`, "two\nlines") + fmt.Sprint(n)
}

// whole returns a job that states every field of version 2, and is valid but for what can't be stated together.
func whole(t testing.TB, random *rand.Rand) *invoice.Job {
	t.Helper()
	j := invoicetest.Job("T", func(j *invoice.Job) { j.Version = 2 })
	for _, l := range leaves() {
		l.set(j, true, random)
	}
	return j
}
