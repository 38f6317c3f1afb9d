package report

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
)

// A Tax is what a document comes to at one code, category and percentage.
type Tax struct {
	Code       string `json:"code"`        // such as GST; "" if the job states none
	Category   string `json:"category"`    // in UNTDID 5305, such as S; "" if the job states none
	TaxPercent string `json:"tax_percent"` // as a decimal
	NetMinor   int64  `json:"net_minor"`   // without taxes
	AddedMinor *int64 `json:"added_minor"` // the taxes that a compound tax is taken on beside the net; null for any other
	TaxMinor   int64  `json:"tax_minor"`
}

// Taxes are a document's tax rows, as the database returns them in JSON. They are only read.
type Taxes []Tax

// Scan implements [database/sql.Scanner].
func (t *Taxes) Scan(value any) error {
	switch v := value.(type) {
	case string:
		return json.Unmarshal([]byte(v), t)
	case []byte:
		return json.Unmarshal(v, t)
	default:
		return fmt.Errorf("tax rows as %T", value)
	}
}

// String returns the rows as JSON, for a field of a file that has one line for each document.
func (t Taxes) String() string {
	text, _ := json.Marshal(t) // nothing in it can fail
	return string(text)
}

// GormDataType says that the column is no relation.
func (Taxes) GormDataType() string { return "json" }

// Value implements [driver.Valuer].
func (t Taxes) Value() (driver.Value, error) { return nil, errors.New("tax rows are only read") }

// An Adjusted is what an allowance or a charge comes to, with the sign that the job states.
type Adjusted struct {
	AmountMinor int64 `json:"amount_minor"` // in its own mode of prices
	NetMinor    int64 `json:"net_minor"`    // without taxes
}
