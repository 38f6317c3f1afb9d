package worker

import (
	"encoding/json"
	"fmt"

	"invoicer/invoice"
)

// A doneEntry is Redis's memory of an invoiced transaction. Workers of other releases read it, too. It must not
// contain customer data.
type doneEntry struct {
	ID             int64  `json:"id"`
	Number         string `json:"invoice_number"` // as printed
	TransactionID  string `json:"transaction_id"`
	IdempotencyKey string `json:"idempotency_key"`
	JobID          string `json:"job_id"` // the job that made it
	Fingerprint    string `json:"fingerprint"`
}

func encodeDone(ref *invoice.Ref) (string, error) {
	value, err := json.Marshal(doneEntry(*ref))
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
	return invoice.Ref(entry), true
}
