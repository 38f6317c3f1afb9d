package worker

import (
	"encoding/json"
	"fmt"

	"invoicer/invoice"
)

// A doneEntry is Redis's memory of an invoiced transaction. Workers of other releases read it, too. It must not
// contain customer data. Of an import there is none, since it may be withdrawn.
type doneEntry struct {
	ID             int64  `json:"id"`
	Number         string `json:"invoice_number"` // as printed
	Issuer         string `json:"issuer,omitempty"`
	TransactionID  string `json:"transaction_id"`
	IdempotencyKey string `json:"idempotency_key"`
	JobID          string `json:"job_id"` // the job that made it
	Fingerprint    string `json:"fingerprint,omitempty"`
	Erased         bool   `json:"erased,omitempty"` // instead of a fingerprint

	// The number in its series and period, where the worker knows it, for a database that has lost it.
	Series      string `json:"series,omitempty"`
	Period      string `json:"period,omitempty"`
	Sequence    int64  `json:"number,omitempty"`
	DateOfIssue string `json:"document_date,omitempty"`
}

func encodeDone(ref *invoice.Ref, n invoice.Numbered) (string, error) {
	entry := doneEntry{
		ID: ref.ID, Number: ref.Number, Issuer: ref.Issuer, TransactionID: ref.TransactionID, IdempotencyKey: ref.IdempotencyKey, JobID: ref.JobID, Fingerprint: ref.Fingerprint,
		Series: n.Series, Period: n.Period, Sequence: n.Number, DateOfIssue: n.Date,
	}
	if entry.Erased = ref.Erased(); entry.Erased {
		entry.Fingerprint = ""
	}
	value, err := json.Marshal(entry)
	if err != nil {
		return "", fmt.Errorf("done entry: %w", err)
	}
	return string(value), nil
}

// DecodeDone reads a done entry: the invoice, and its number in its series and period, which may be unknown. ok is false for a value that
// isn't one.
func DecodeDone(value string) (ref invoice.Ref, n invoice.Numbered, ok bool) {
	var entry doneEntry
	if json.Unmarshal([]byte(value), &entry) != nil {
		return ref, n, false
	}
	if entry.Series != "" && entry.Sequence > 0 {
		n = invoice.Numbered{SlotKey: invoice.SlotKey{Issuer: entry.Issuer, Series: entry.Series, Period: entry.Period}, Number: entry.Sequence, Date: entry.DateOfIssue}
	}
	if entry.Erased {
		entry.Fingerprint = invoice.ErasedFingerprint
	}
	return invoice.Ref{
		ID: entry.ID, Number: entry.Number, Issuer: entry.Issuer, TransactionID: entry.TransactionID, IdempotencyKey: entry.IdempotencyKey, JobID: entry.JobID, Fingerprint: entry.Fingerprint,
	}, n, true
}
