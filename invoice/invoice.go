package invoice

import "time"

// A Ref refers to a committed invoice or credit note, or to one that was issued elsewhere and imported. It holds what is
// needed to decide about another job, and no customer data.
type Ref struct {
	ID             int64  // of the invoice; of the import if Imported is set
	Number         string // as printed
	Issuer         string // "" for the one without a name
	TransactionID  string
	IdempotencyKey string
	JobID          string    // the job that made it; "" for an import
	Fingerprint    string    // of the job's content; "" for an import
	Imported       *Imported // nil for an invoice of this database
}

// ErasedFingerprint stands in the place of the fingerprint of an invoice whose personal data was erased. No content has it.
const ErasedFingerprint = "v0:0000000000000000000000000000000000000000000000000000000000000000"

// Erased reports whether the personal data of the invoice was erased, so that no content can be compared with it.
func (r *Ref) Erased() bool { return r.Fingerprint == ErasedFingerprint }

// An Invoice is a committed invoice or credit note as it is stored. Amounts are in minor units of its currency, and signed.
// In the text fields "" means absent.
type Invoice struct {
	Ref

	Slot     Slot  // its series, period and kind
	Sequence int64 // its number within the slot, from 1, without gaps

	RequestedSeries string // as the job stated it, "" if it stated none
	Producer        string // that asked for it, "" if its job named none

	Details

	IssuedAt  time.Time // the transaction's time, in UTC
	CreatedAt time.Time // when the writing database transaction began, in UTC
	// DocumentDate is the day on which the document was issued, as YYYY-MM-DD; "" if IssuedAt says it.
	DocumentDate string
	Currency     string

	Lines    []InvoicedLine
	Subtotal int64
	Tax      int64
	Total    int64
	Payable  int64 // what is left to pay
	Taxes    []Tax // by percentage, ascending, then by code and category
	Metadata map[string]string
	Terms    *Terms // what its job stated beyond version 1, nil for nothing

	// IssuerVersion is the version of what was known of the issuer when the document was made, if that is the seller. It is 0 if the job
	// has stated one, and if there is no issuer.
	IssuerVersion int
}

// An InvoicedLine is a line with its net amount.
type InvoicedLine struct {
	Line

	Net int64
}

// Content returns the invoice's content as a job, which has the invoice's fingerprint.
func (i *Invoice) Content() *Job {
	job := &Job{
		TransactionID: i.TransactionID, IdempotencyKey: i.IdempotencyKey, Issuer: i.Issuer,
		Series: i.RequestedSeries, Details: i.Details,
		IssuedAt: i.IssuedAt, Currency: i.Currency, Metadata: i.Metadata,
		Lines: make([]Line, len(i.Lines)), Terms: i.Terms,
	}
	for n := range i.Lines {
		job.Lines[n] = i.Lines[n].Line
	}
	job.Version = job.NeededVersion()
	return job
}
