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
	Fingerprint    string `json:"fingerprint"`
}

func encodeDone(ref *invoice.Ref) (string, error) {
	value, err := json.Marshal(doneEntry{
		ID: ref.ID, Number: ref.Number, Issuer: ref.Issuer, TransactionID: ref.TransactionID, IdempotencyKey: ref.IdempotencyKey, JobID: ref.JobID, Fingerprint: ref.Fingerprint,
	})
	if err != nil {
		return "", fmt.Errorf("done entry: %w", err)
	}
	return string(value), nil
}

func decodeDone(value string) (ref invoice.Ref, ok bool) {
	var entry doneEntry
	if json.Unmarshal([]byte(value), &entry) != nil {
		return ref, false
	}
	return invoice.Ref{
		ID: entry.ID, Number: entry.Number, Issuer: entry.Issuer, TransactionID: entry.TransactionID, IdempotencyKey: entry.IdempotencyKey, JobID: entry.JobID, Fingerprint: entry.Fingerprint,
	}, true
}
