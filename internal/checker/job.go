package checker

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// A payload is a job as it went in, as far as it decides what its invoice comes to. The rest of version 2 is compared as JSON.
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

	Kind            string        `json:"kind"`
	Prices          string        `json:"prices"`
	ExpectedTotal   *number       `json:"expected_total"`
	ExpectedPayable *number       `json:"expected_payable"`
	Allowances      []adjustment  `json:"allowances"`
	Charges         []adjustment  `json:"charges"`
	Withholdings    []withholding `json:"withholdings"`
	Rounding        *number       `json:"rounding"`
	Prepaid         *number       `json:"prepaid"`
	TaxAmounts      []taxAmount   `json:"tax_amounts"`
}

type line struct {
	SKU         string  `json:"sku"`
	Description string  `json:"description"`
	Quantity    *number `json:"quantity"`
	UnitPrice   *number `json:"unit_price"`
	Discount    *number `json:"discount_percent"`
	taxation

	BaseQuantity   *number `json:"base_quantity"`
	DiscountAmount *number `json:"discount_amount"`
	ChargeAmount   *number `json:"charge_amount"`
}

// taxation is how a line, an allowance or a charge is taxed.
type taxation struct {
	Prices      string    `json:"prices"`
	TaxPercent  *number   `json:"tax_percent"`
	Taxes       []taxRate `json:"taxes"`
	TaxCategory string    `json:"tax_category"`
}

type adjustment struct {
	Amount  *number `json:"amount"`
	Percent *number `json:"percent"`
	taxation
}

type withholding struct {
	Percent *number `json:"percent"`
	Base    *number `json:"base"`
}

type taxAmount struct {
	Code     string  `json:"code"`
	Category string  `json:"category"`
	Percent  *number `json:"percent"`
	Amount   *number `json:"amount"`
}

// A taxRate is one of several taxes.
type taxRate struct {
	Code     string  `json:"code"`
	Category string  `json:"category"`
	Percent  *number `json:"percent"`
	Compound bool    `json:"compound"`
}

func (t taxRate) equal(other taxRate) bool {
	return t.key() == other.key() && t.Compound == other.Compound
}

func (t taxRate) key() taxKey { return taxKey{t.Code, t.Category, plain(t.Percent.Decimal)} }

// A taxKey tells rows of taxes apart.
type taxKey struct{ code, category, percent string }

func (k taxKey) compare(other taxKey) int {
	a, b := decimal.RequireFromString(k.percent), decimal.RequireFromString(other.percent)
	return cmp.Or(a.Cmp(b), strings.Compare(k.code, other.code), strings.Compare(k.category, other.category))
}

// gross tells whether the prices contain the taxes, where the document's are such.
func (t *taxation) gross(ofDocument string) bool { return cmp.Or(t.Prices, ofDocument) == "gross" }

// rates are the taxes in their order, none if no rate is stated.
func (t *taxation) rates() []taxRate {
	switch {
	case len(t.Taxes) > 0:
		rates := slices.Clone(t.Taxes)
		for i := range rates {
			rates[i].Category = cmp.Or(rates[i].Category, t.TaxCategory)
		}
		return rates
	case t.TaxPercent != nil:
		return []taxRate{{Category: t.TaxCategory, Percent: t.TaxPercent}}
	case isUntaxed(t.TaxCategory):
		return []taxRate{{Category: t.TaxCategory, Percent: &number{}}}
	}
	return nil
}

// isUntaxed tells whether a category has no rate but 0.
func isUntaxed(category string) bool {
	return slices.Contains([]string{"Z", "E", "AE", "K", "G", "O"}, category)
}

// The fields of a job and of its lines in version 1. Later ones are not named here: whatever a job states is compared.
const (
	jobFields = "version issuer transaction_id idempotency_key producer series credits_transaction_id customer_id customer_name country " +
		"issued_at currency lines metadata"
	lineFields = "sku description quantity unit_price discount_percent tax_percent"
)

// validate tells why what is stated can't be an invoice, as far as runs have such jobs.
func (r *request) validate() error {
	version := 1
	if r.Version != nil {
		version = *r.Version
	}
	bounds := bounds{size: decimal.New(1, 15), places: 12}
	if version <= 1 {
		bounds.size, bounds.places = decimal.New(1, 12), 6
		if err := r.known(); err != nil {
			return err
		}
	}
	for i := range r.Lines {
		if err := r.Lines[i].validate(bounds); err != nil {
			return fmt.Errorf("line %d: %w", i, err)
		}
	}
	for i, a := range slices.Concat(r.Allowances, r.Charges) {
		if err := a.validate(bounds); err != nil {
			return fmt.Errorf("allowance or charge %d: %w", i, err)
		}
	}
	for i, w := range r.Withholdings {
		if w.Percent == nil || !bounds.percent(w.Percent) {
			return fmt.Errorf("withholding %d has the percentage %v", i, w.Percent)
		}
	}
	for i, t := range r.TaxAmounts {
		if t.Percent == nil || t.Amount == nil {
			return fmt.Errorf("given tax %d has no percentage or no amount", i)
		}
	}
	if !slices.Contains([]string{"", "invoice", "credit_note"}, r.Kind) || !isMode(r.Prices) {
		return fmt.Errorf("kind %q, prices %q", r.Kind, r.Prices)
	}
	return nil
}

func isMode(prices string) bool { return slices.Contains([]string{"", "net", "gross"}, prices) }

// known refuses fields that version 1 doesn't have.
func (r *request) known() error {
	var job map[string]any
	if err := json.Unmarshal(r.Payload, &job); err != nil {
		return err
	}
	stated := []map[string]any{job}
	lines, _ := job["lines"].([]any)
	for _, l := range lines {
		line, _ := l.(map[string]any)
		stated = append(stated, line)
	}
	for i, in := range stated {
		names := strings.Fields(jobFields)
		if i > 0 {
			names = strings.Fields(lineFields)
		}
		for name, value := range in {
			if value != nil && !slices.Contains(names, name) {
				return fmt.Errorf("%s is no field of version 1", name)
			}
		}
	}
	return nil
}

// bounds are those of numbers in a version.
type bounds struct {
	size   decimal.Decimal
	places int32
}

func (b bounds) number(n *number) bool {
	return n.Abs().LessThan(b.size) && n.Shift(b.places).IsInteger()
}

func (b bounds) percent(n *number) bool {
	return n == nil || !n.IsNegative() && !n.GreaterThan(decimal.NewFromInt(100)) && b.number(n)
}

func (l *line) validate(b bounds) error {
	switch {
	case l.Quantity == nil || l.UnitPrice == nil:
		return errors.New("no quantity or no unit_price")
	case !b.number(l.Quantity) || !b.number(l.UnitPrice):
		return fmt.Errorf("a quantity of %s at %s", l.Quantity, l.UnitPrice)
	case !b.percent(l.Discount):
		return fmt.Errorf("a discount of %s", l.Discount)
	case l.BaseQuantity != nil && (!l.BaseQuantity.IsPositive() || !b.number(l.BaseQuantity)):
		return fmt.Errorf("a base quantity of %s", l.BaseQuantity)
	}
	return l.taxation.validate(b)
}

func (a *adjustment) validate(b bounds) error {
	amount, percent := a.Amount != nil && !a.Amount.IsZero(), a.Percent != nil && !a.Percent.IsZero()
	switch {
	case amount && percent:
		return errors.New("both an amount and a percentage")
	case !b.percent(a.Percent):
		return fmt.Errorf("%s %%", a.Percent)
	}
	return a.taxation.validate(b)
}

func (t *taxation) validate(b bounds) error {
	if !isMode(t.Prices) {
		return fmt.Errorf("prices %q", t.Prices)
	}
	if len(t.Taxes) > 0 && t.TaxPercent != nil {
		return errors.New("taxes beside a tax_percent")
	}
	if len(t.Taxes) > 8 {
		return fmt.Errorf("%d taxes", len(t.Taxes))
	}
	for _, rate := range t.Taxes {
		if rate.Percent == nil {
			return errors.New("a tax without a percentage")
		}
	}
	rates := t.rates()
	if len(rates) == 0 && t.TaxCategory != "" {
		return fmt.Errorf("category %s without a rate", t.TaxCategory)
	}
	for i, rate := range rates {
		switch {
		case !b.percent(rate.Percent):
			return fmt.Errorf("a tax of %s %%", rate.Percent)
		case isUntaxed(rate.Category) && !rate.Percent.IsZero():
			return fmt.Errorf("%s %% in category %s", rate.Percent, rate.Category)
		case rate.Category == "S" && rate.Percent.IsZero():
			return errors.New("0 % in category S")
		case slices.ContainsFunc(rates[:i], rate.equal):
			return fmt.Errorf("a tax of %s %% twice", rate.Percent)
		}
	}
	return nil
}
