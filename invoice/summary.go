package invoice

import "time"

// A Summary is what may be shown of a job to people who may not see personal data: it has no names, descriptions or metadata.
type Summary struct {
	TransactionID  string     `json:"transaction_id,omitempty"`
	IdempotencyKey string     `json:"idempotency_key,omitempty"` // if it isn't the TransactionID
	Producer       string     `json:"producer,omitempty"`
	Issuer         string     `json:"issuer,omitempty"`
	Series         string     `json:"series,omitempty"`
	IssuedAt       *time.Time `json:"issued_at,omitempty"`
	Total          string     `json:"total,omitempty"` // with its currency
	Lines          int        `json:"lines,omitempty"`
	// Problem says why the payload can't become an invoice, in words that hold no personal data. Total and Lines are then unknown.
	Problem string `json:"problem,omitempty"`
}

// Summarize returns the summary of a job's JSON, whatever it holds.
func Summarize(payload []byte) Summary {
	job, err := Decode(payload)
	s := Summary{TransactionID: job.TransactionID, Producer: job.Producer, Issuer: job.Issuer, Series: job.Series}
	if job.IdempotencyKey != job.TransactionID {
		s.IdempotencyKey = job.IdempotencyKey
	}
	if err != nil {
		s.Problem = err.Error()
		return s
	}
	totals, err := job.Calculate()
	if err != nil { // not of a job that Decode has accepted
		s.Problem = err.Error()
		return s
	}
	s.IssuedAt, s.Lines, s.Total = &job.IssuedAt, len(job.Lines), FormatMinor(totals.Total, job.Currency)+" "+job.Currency
	return s
}
