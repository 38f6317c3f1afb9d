package invoice

import "time"

// TaskVersion is the newest version of the job format that this code understands.
const TaskVersion = 2

// A Job asks for the invoice of one transaction. A Job that [Decode] returned without an error is valid; the zero
// value is not.
//
// In the optional text fields "" means absent: JSON may state an empty string or null for it.
type Job struct {
	Version int

	// TransactionID names the transaction. There is at most one invoice for each, of an issuer.
	TransactionID string

	// IdempotencyKey is the key of the service that asks. Default: the TransactionID.
	IdempotencyKey string

	// Producer names the service that asks. It is optional, and not part of the content.
	Producer string

	// Issuer is the legal entity that issues the invoice, "" for the one without a name. Ids, keys and numbers are unique within an
	// issuer. It is not part of the content.
	Issuer string

	// Series is the series that the job states; "" leaves the choice to [Numbering].
	Series string

	Details

	// IssuedAt is the transaction's time in UTC, in whole microseconds.
	IssuedAt time.Time

	// Currency is an ISO 4217 code that [MinorUnits] knows.
	Currency string

	Lines    []Line
	Metadata map[string]string

	// Terms are what only version 2 can state, nil for nothing.
	Terms *Terms
}

// Details are the optional texts of a transaction, which its invoice keeps as they are. "" means absent.
//
// To add a detail, add a field here, an entry in the table below, a migration that adds its column and names it in
// accept_details(), and a line in the documentation. Everything else follows from the table.
type Details struct {
	CreditsTransactionID string
	CustomerID           string
	CustomerName         string
	Country              string
}

// A detail describes one of the [Details].
type detail struct {
	name       string // in JSON, and of the column
	about      string // what the schema says of it
	identifier int    // most characters of an identifier; 0: any text is allowed
	later      bool   // it was added after the first fingerprints, which must not change: see [Job.Fingerprint]
	at         func(*Details) *string
}

// details lists the details in the order in which they are encoded and fingerprinted.
var details = [...]detail{ //nolint:gochecknoglobals // a constant table
	{name: "credits_transaction_id", about: "the transaction whose document this one credits", identifier: maxTransactionID, at: func(d *Details) *string { return &d.CreditsTransactionID }},
	{name: "customer_id", about: "who buys, as the seller numbers customers", at: func(d *Details) *string { return &d.CustomerID }},
	{name: "customer_name", about: "who buys", at: func(d *Details) *string { return &d.CustomerName }},
	{name: "country", about: "where the customer is, as free text", at: func(d *Details) *string { return &d.Country }},
}

// DetailNames returns the names of the [Details], which they have in JSON and as columns.
func DetailNames() []string {
	names := make([]string, len(details))
	for i := range details {
		names[i] = details[i].name
	}
	return names
}

// DetailsSize returns how many bytes all details have.
func (d *Details) DetailsSize() (n int) {
	for i := range details {
		n += len(*details[i].at(d))
	}
	return n
}

// Detail returns a pointer to the detail whose name is at index i of [DetailNames].
func (d *Details) Detail(i int) *string { return details[i].at(d) }

// A Line is one line of an invoice. Prices are net of tax, unless version 2 states that they contain it.
type Line struct {
	SKU             string
	Description     string
	Quantity        Decimal
	UnitPrice       Decimal
	DiscountPercent Decimal // 0 if the job states none

	// TaxPercent is nil if the job doesn't state a rate, which is not the same as a rate of 0.
	TaxPercent *Decimal

	// Terms are what only version 2 can state, nil for nothing.
	Terms *LineTerms
}
