package invoice

import "time"

// TaskVersion is the newest version of the job format that this code understands.
const TaskVersion = 1

// A Job asks for the invoice of one transaction. A Job that came out of [Decode] is valid; the zero value is not.
//
// In the optional text fields "" means absent: an empty string and null ask for the same thing.
type Job struct {
	Version int

	// TransactionID names what is invoiced. There is at most one invoice for each.
	TransactionID string

	// IdempotencyKey is the asking service's own key; where the job states none, it is the TransactionID.
	IdempotencyKey string

	// Producer says who asks; optional, and no part of the content.
	Producer string

	// Series as it was sent; "" leaves the choice to [Numbering].
	Series string

	CreditsTransactionID string
	CustomerID           string
	CustomerName         string
	Country              string

	// IssuedAt is the transaction's time in UTC, in whole microseconds.
	IssuedAt time.Time

	// Currency is an ISO 4217 code that [MinorUnits] knows.
	Currency string

	Lines    []Line
	Metadata map[string]string
}

// A Line is one position of an invoice. Prices are net of tax.
type Line struct {
	SKU             string
	Description     string
	Quantity        Decimal
	UnitPrice       Decimal
	DiscountPercent Decimal // 0 where the job states none

	// TaxPercent is nil where the job doesn't state a rate, which is not the same as a rate of 0.
	TaxPercent *Decimal
}
