package worker

import (
	"encoding/json"
	"fmt"

	"invoicer/invoice"
)

// A doneEntry is what Redis remembers of a transaction that is invoiced. It is read by workers of other releases, too, and
// nothing of a customer may be in it.
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
