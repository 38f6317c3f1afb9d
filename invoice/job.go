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

	Details

	// IssuedAt is the transaction's time in UTC, in whole microseconds.
	IssuedAt time.Time

	// Currency is an ISO 4217 code that [MinorUnits] knows.
	Currency string

	Lines    []Line
	Metadata map[string]string
}

// Details are the optional texts of a transaction, which its invoice keeps as they are. "" means absent.
//
// A further one takes a field here, an entry in the table below, a migration that adds its column and names it in
// accept_details(), and a line in the documentation. All else follows from the table.
type Details struct {
	CreditsTransactionID string
	CustomerID           string
	CustomerName         string
	Country              string
}

// A detail describes one of the [Details].
type detail struct {
	name       string // in JSON, and of the column
	identifier int    // how many characters its identifier may have; 0: it is any text
	later      bool   // it came after the first fingerprints, which must not change: see [Job.Fingerprint]
	at         func(*Details) *string
}

// details are in the order in which they are encoded and fingerprinted.
var details = [...]detail{ //nolint:gochecknoglobals // a table, which nobody changes
	{name: "credits_transaction_id", identifier: maxTransactionID, at: func(d *Details) *string { return &d.CreditsTransactionID }},
	{name: "customer_id", at: func(d *Details) *string { return &d.CustomerID }},
	{name: "customer_name", at: func(d *Details) *string { return &d.CustomerName }},
	{name: "country", at: func(d *Details) *string { return &d.Country }},
}

// DetailNames are the names of the [Details], in JSON and of their columns.
func DetailNames() []string {
	names := make([]string, len(details))
	for i := range details {
		names[i] = details[i].name
	}
	return names
}

// Detail is where the detail is that stands at place i of [DetailNames].
func (d *Details) Detail(i int) *string { return details[i].at(d) }

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
