package invoicetest

import (
	"encoding/json"
	"fmt"

	"invoicer/invoice"
)

// doneEntry is what workers of every release have written to Redis about a transaction that is invoiced.
type doneEntry struct {
	ID             int64  `json:"id"`
	Number         string `json:"invoice_number"`
	TransactionID  string `json:"transaction_id"`
	IdempotencyKey string `json:"idempotency_key"`
	JobID          string `json:"job_id"`
	Fingerprint    string `json:"fingerprint"`
}

// DoneEntry spells what a worker remembers of an invoice, without the worker's own code.
func DoneEntry(ref invoice.Ref) string {
	value, err := json.Marshal(doneEntry{
		ID: ref.ID, Number: ref.Number, TransactionID: ref.TransactionID, IdempotencyKey: ref.IdempotencyKey, JobID: ref.JobID, Fingerprint: ref.Fingerprint,
	})
	if err != nil {
		panic(fmt.Sprintf("done entry: %v", err))
	}
	return string(value)
}

// ReadDoneEntry reads it.
func ReadDoneEntry(value string) (invoice.Ref, error) {
	var entry doneEntry
	err := json.Unmarshal([]byte(value), &entry)
	return invoice.Ref{
		ID: entry.ID, Number: entry.Number, TransactionID: entry.TransactionID, IdempotencyKey: entry.IdempotencyKey, JobID: entry.JobID, Fingerprint: entry.Fingerprint,
	}, err
}
