package checker

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

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

// A payload is a job as it went in.
type payload struct {
	Version        *int              `json:"version"`
	Issuer         string            `json:"issuer"`
	TransactionID  string            `json:"transaction_id"`
	IdempotencyKey string            `json:"idempotency_key"`
	Producer       string            `json:"producer"`
	Series         string            `json:"series"`
	Credits        string            `json:"credits_transaction_id"`
	CustomerID     string            `json:"customer_id"`
	CustomerName   string            `json:"customer_name"`
	Country        string            `json:"country"`
	IssuedAt       time.Time         `json:"issued_at"`
	Currency       string            `json:"currency"`
	Lines          []line            `json:"lines"`
	Metadata       map[string]string `json:"metadata"`
}

type line struct {
	SKU         string  `json:"sku"`
	Description string  `json:"description"`
	Quantity    *number `json:"quantity"`
	UnitPrice   *number `json:"unit_price"`
	Discount    *number `json:"discount_percent"`
	TaxPercent  *number `json:"tax_percent"`
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
	series  string
	kind    string
}

func newRequest(j Job) *request {
	r := &request{Job: j}
	if r.invalid = r.parse(); r.invalid == nil {
		r.calculate()
	}
	return r
}

func (r *request) parse() error {
	d := json.NewDecoder(bytes.NewReader(r.Payload))
	d.DisallowUnknownFields()
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
	for i, l := range r.Lines {
		if l.Quantity == nil || l.UnitPrice == nil {
			return fmt.Errorf("line %d has no quantity or no unit_price", i)
		}
		for _, percent := range []*number{l.Discount, l.TaxPercent} {
			if percent != nil && (percent.IsNegative() || percent.GreaterThan(hundred())) {
				return fmt.Errorf("line %d has a percentage of %s", i, percent)
			}
		}
	}
	return nil
}

func hundred() decimal.Decimal { return decimal.NewFromInt(100) }

// calculate is the oracle: net per line, rounded half away from zero to the currency's exponent; the tax of each
// percentage on the sum of its nets, rounded in the same way.
func (r *request) calculate() {
	digits, _ := exponent(r.Currency)
	r.content = []string{
		"transaction_id=" + r.TransactionID, "series=" + r.Series, "credits_transaction_id=" + r.Credits, "customer_id=" + r.CustomerID,
		"customer_name=" + r.CustomerName, "country=" + r.Country, "issued_at=" + r.IssuedAt.UTC().Format("2006-01-02T15:04:05.000000Z"),
		"currency=" + r.Currency, fmt.Sprintf("lines=%d", len(r.Lines)),
	}
	var subtotal, tax decimal.Decimal
	var nets []string
	var percents []decimal.Decimal
	taxed := make(map[string]decimal.Decimal)
	for i, l := range r.Lines {
		discount, percent := decimal.Zero, ""
		if l.Discount != nil {
			discount = l.Discount.Decimal
		}
		share := hundred().Sub(discount)
		net := l.Quantity.Mul(l.UnitPrice.Decimal).Mul(share).Shift(-2).Round(digits)
		subtotal = subtotal.Add(net)
		nets = append(nets, fmt.Sprintf("lines[%d].net_minor=%s", i, net.Shift(digits)))
		if l.TaxPercent != nil {
			percent = plain(l.TaxPercent.Decimal)
			if _, ok := taxed[percent]; !ok {
				percents = append(percents, l.TaxPercent.Decimal)
			}
			taxed[percent] = taxed[percent].Add(net)
		}
		r.content = append(r.content, lineContent(i, l.SKU, l.Description, plain(l.Quantity.Decimal), plain(l.UnitPrice.Decimal), plain(discount), percent)...)
	}
	slices.SortFunc(percents, decimal.Decimal.Cmp)
	var taxes []string
	for _, percent := range percents {
		net := taxed[plain(percent)]
		of := net.Mul(percent).Shift(-2).Round(digits)
		tax = tax.Add(of)
		taxes = append(taxes, fmt.Sprintf("tax at %s=%s on %s", plain(percent), of.Shift(digits), net.Shift(digits)))
	}
	total := subtotal.Add(tax)
	r.kind, r.series = "invoice", cmp.Or(r.Series, "INV")
	if total.IsNegative() {
		r.kind, r.series = "credit_note", r.series+"-CN"
	}
	if r.Issuer != "" {
		r.series = r.Issuer + "/" + r.series
	}
	r.figures = slices.Concat([]string{
		"kind=" + r.kind, "in series=" + r.series, "subtotal_minor=" + subtotal.Shift(digits).String(),
		"tax_minor=" + tax.Shift(digits).String(), "total_minor=" + total.Shift(digits).String(),
	}, nets, taxes)
}

func lineContent(i int, sku, description, quantity, unitPrice, discount, taxPercent string) []string {
	at := fmt.Sprintf("lines[%d].", i)
	return []string{
		at + "sku=" + sku, at + "description=" + description, at + "quantity=" + quantity, at + "unit_price=" + unitPrice,
		at + "discount_percent=" + discount, at + "tax_percent=" + taxPercent,
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
		"currency=" + i.Currency, fmt.Sprintf("lines=%d", len(s.lines[i.ID])),
	}
	for _, l := range s.lines[i.ID] {
		fields = append(fields, lineContent(int(l.Position)-1, l.SKU, l.Description, plainText(l.Quantity), plainText(l.UnitPrice),
			plainText(l.Discount), plainText(l.TaxPercent))...)
	}
	return fields
}

// figures are what a stored invoice amounts to, field by field.
func (s *stored) figures(i *invoiceRow) []string {
	fields := []string{
		"kind=" + i.Kind, "in series=" + i.Series, fmt.Sprintf("subtotal_minor=%d", i.Subtotal),
		fmt.Sprintf("tax_minor=%d", i.Tax), fmt.Sprintf("total_minor=%d", i.Total),
	}
	for _, l := range s.lines[i.ID] {
		fields = append(fields, fmt.Sprintf("lines[%d].net_minor=%d", l.Position-1, l.Net))
	}
	for _, t := range s.taxes[i.ID] {
		fields = append(fields, fmt.Sprintf("tax at %s=%d on %d", plainText(t.TaxPercent), t.Tax, t.Net))
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
