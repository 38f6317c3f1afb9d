package checker

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"
)

// exponents are the minor units of the currencies that runs use; any other is taken for an unknown one.
func exponent(currency string) (int32, bool) {
	switch currency {
	case "JPY", "KRW":
		return 0, true
	case "GBP", "EUR", "USD", "CHF":
		return 2, true
	case "BHD", "KWD":
		return 3, true
	}
	return 0, false
}

// A number is a JSON number or string, read exactly.
type number struct{ decimal.Decimal }

func (n *number) UnmarshalJSON(b []byte) (err error) {
	n.Decimal, err = decimal.NewFromString(strings.Trim(string(b), `"`))
	return err
}

// A request is a job with what its invoice has to be.
type request struct {
	Job
	payload
	invalid error // it can never be an invoice

	content []string // what the invoice says, field by field
	figures []string // what it amounts to, field by field
}

func newRequest(j Job) *request {
	r := &request{Job: j}
	r.invalid = r.parse()
	if r.invalid == nil {
		r.invalid = r.calculate()
	}
	return r
}

func (r *request) parse() error {
	d := json.NewDecoder(bytes.NewReader(r.Payload))
	if err := d.Decode(&r.payload); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the job")
	}
	r.IdempotencyKey = cmp.Or(r.IdempotencyKey, r.TransactionID)
	if r.Issuer != "" && r.TransactionID != "" {
		r.TransactionID, r.IdempotencyKey = r.Issuer+"/"+r.TransactionID, r.Issuer+"/"+r.IdempotencyKey
	}
	switch _, known := exponent(r.Currency); {
	case r.TransactionID == "":
		return errors.New("no transaction_id")
	case r.IssuedAt.IsZero():
		return errors.New("no issued_at")
	case !known:
		return fmt.Errorf("unknown currency %q", r.Currency)
	case len(r.Lines) == 0:
		return errors.New("no lines")
	}
	return r.validate()
}

// calculate fills in what the invoice has to say and to come to. The error is of a job that can be none because of what it comes to.
func (r *request) calculate() error {
	d, err := r.document()
	if err != nil {
		return err
	}
	bySign := "invoice"
	if d.total.Sign() < 0 {
		bySign = "credit_note"
	}
	kind, series := cmp.Or(r.Kind, bySign), cmp.Or(r.Series, "INV")
	if kind == "credit_note" {
		series += "-CN"
	}
	if r.Issuer != "" {
		series = r.Issuer + "/" + series
	}
	r.figures = append([]string{"kind=" + kind, "in series=" + series}, d.figures()...)

	terms, lines, err := normalised(r.Payload, kind, bySign)
	if err != nil {
		return err
	}
	r.content = []string{
		"transaction_id=" + r.TransactionID, "series=" + r.Series, "credits_transaction_id=" + r.Credits, "customer_id=" + r.CustomerID,
		"customer_name=" + r.CustomerName, "country=" + r.Country, "issued_at=" + r.IssuedAt.UTC().Format("2006-01-02T15:04:05.000000Z"),
		"currency=" + r.Currency, "terms=" + spelled(terms), fmt.Sprintf("lines=%d", len(r.Lines)),
	}
	for i, l := range r.Lines {
		discount := decimal.Zero
		if l.Discount != nil {
			discount = l.Discount.Decimal
		}
		percent, _ := lines[i]["tax_percent"].(string)
		delete(lines[i], "tax_percent") // has a column of its own
		r.content = append(r.content, lineContent(i, l.SKU, l.Description, plain(l.Quantity.Decimal), plain(l.UnitPrice.Decimal), plain(discount), percent,
			spelled(lines[i]))...)
	}
	return nil
}

func lineContent(i int, sku, description, quantity, unitPrice, discount, taxPercent, terms string) []string {
	at := fmt.Sprintf("lines[%d].", i)
	return []string{
		at + "sku=" + sku, at + "description=" + description, at + "quantity=" + quantity, at + "unit_price=" + unitPrice,
		at + "discount_percent=" + discount, at + "tax_percent=" + taxPercent, at + "terms=" + terms,
	}
}

// plain writes a number in one way only.
func plain(d decimal.Decimal) string {
	s := d.String()
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if s == "-0" {
		return "0"
	}
	return s
}

// content is what a stored invoice says, field by field.
func (s *stored) content(i *invoiceRow) []string {
	fields := []string{
		"transaction_id=" + i.TransactionID, "series=" + i.RequestedSeries, "credits_transaction_id=" + i.Credits, "customer_id=" + i.CustomerID,
		"customer_name=" + i.CustomerName, "country=" + i.Country, "issued_at=" + i.IssuedAt,
		"currency=" + i.Currency, "terms=" + merged(i.Terms, i.Parties), fmt.Sprintf("lines=%d", len(s.lines[i.ID])),
	}
	for _, l := range s.lines[i.ID] {
		fields = append(fields, lineContent(int(l.Position)-1, l.SKU, l.Description, plainText(l.Quantity), plainText(l.UnitPrice),
			plainText(l.Discount), plainText(l.TaxPercent), merged(l.Terms, l.Texts))...)
	}
	return fields
}

// figures are what a stored invoice amounts to, field by field.
func (s *stored) figures(i *invoiceRow) []string {
	fields := []string{
		"kind=" + i.Kind, "in series=" + i.Series, fmt.Sprintf("subtotal_minor=%d", i.Subtotal),
		fmt.Sprintf("tax_minor=%d", i.Tax), fmt.Sprintf("total_minor=%d", i.Total), "payable_minor=" + i.Payable,
	}
	for _, l := range s.lines[i.ID] {
		fields = append(fields, fmt.Sprintf("lines[%d].net_minor=%d", l.Position-1, l.Net))
	}
	for _, t := range s.taxes[i.ID] {
		fields = append(fields, taxFigure(plainText(t.TaxPercent), t.Code, t.Category, strconv.FormatInt(t.Tax, 10), strconv.FormatInt(t.Net, 10), t.Added))
	}
	return fields
}

// plainText leaves what is no number as it is; NULL is "".
func plainText(s string) string {
	d, err := decimal.NewFromString(s)
	if err != nil {
		return s
	}
	return plain(d)
}

// difference tells the first field that isn't as it should be, "" when all are.
func difference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return "lacks " + want[i]
		case i >= len(want):
			return "has " + got[i] + ", which is not asked for"
		case got[i] != want[i]:
			return "has " + got[i] + ", asked for is " + want[i]
		}
	}
	return ""
}
