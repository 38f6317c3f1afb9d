package invoice

import "time"

// A Ref refers to a committed invoice or credit note. It holds what is needed to decide about another job, and no
// customer data.
type Ref struct {
	ID             int64
	Number         string // as printed
	TransactionID  string
	IdempotencyKey string
	JobID          string // the job that made it
	Fingerprint    string // of the job's content
}

// An Invoice is a committed invoice or credit note as it is stored. Amounts are in minor units of its currency, and signed.
// In the text fields "" means absent.
type Invoice struct {
	Ref

	Slot     Slot  // its series, period and kind
	Sequence int64 // its number within the slot, from 1, without gaps

	RequestedSeries string // as the job stated it, "" if it stated none

	Details

	IssuedAt  time.Time // the transaction's time, in UTC
	CreatedAt time.Time // when the writing database transaction began, in UTC
	Currency  string

	Lines    []InvoicedLine
	Subtotal int64
	Tax      int64
	Total    int64
	Taxes    []Tax // by percentage, ascending
	Metadata map[string]string
}

// An InvoicedLine is a line with its net amount.
type InvoicedLine struct {
	Line

	Net int64
}

// Content returns the invoice's content as a job, which has the invoice's fingerprint.
func (i *Invoice) Content() *Job {
	job := &Job{
		Version:       TaskVersion,
		TransactionID: i.TransactionID, IdempotencyKey: i.IdempotencyKey,
		Series: i.RequestedSeries, Details: i.Details,
		IssuedAt: i.IssuedAt, Currency: i.Currency, Metadata: i.Metadata,
		Lines: make([]Line, len(i.Lines)),
	}
	for n := range i.Lines {
		job.Lines[n] = i.Lines[n].Line
	}
	return job
}
