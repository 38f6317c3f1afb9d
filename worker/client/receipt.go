package client

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// A Status says whether a call has made a job.
type Status string

const (
	// Inserted means that the call has made the job.
	Inserted Status = "inserted"
	// Known means that the same job was there already, under the same id, and that the call has changed nothing.
	Known Status = "known"
	// Untold means that the job is there, and that the role may not read whether it was there before.
	Untold Status = ""
)

// A Receipt says of a job that was accepted or enqueued where it is, and what was there already.
type Receipt struct {
	JobID string `json:"job_id"` // stays the same over retries and replays
	Queue string `json:"queue"`
	// Status says whether the job is new. A job that an open transaction has made at the same time may be called Inserted
	// although it is Known.
	Status Status `json:"status,omitempty"`
	// InvoiceNumber is the number of the invoice, credit note or import that the job's transaction had before the call, as far as
	// the call could see. A job of Status Inserted then ends as a duplicate, or as a conflict.
	InvoiceNumber string `json:"invoice_number,omitempty"`
	// KnownJobID is another job of the transaction that had no end yet. Only the HTTP API tells.
	KnownJobID string `json:"known_job_id,omitempty"`
}

// A TakenError says that a job's id belongs to another job. See [Options].JobID.
type TakenError struct {
	JobID string
	Err   error // the database's own, or nil
}

// Error says what to do.
func (e *TakenError) Error() string {
	return fmt.Sprintf("the job id %s belongs to another job: use a new id for each job whose content differs", e.JobID)
}

// Unwrap returns what the database said.
func (e *TakenError) Unwrap() error { return e.Err }

// told returns an expression that is what receipts tell of the jobs in $3, as JSON in hexadecimal digits, or NULL if the role may
// not read it. A table that the role may not read can't be named in a statement, not even in a branch that isn't taken. So the
// branch has it in a text, and query_to_xml runs that with the caller's rights and the statement's snapshot, from before what it
// accepts.
func told(schema string) string {
	literal := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	mayRead := func(table string) string {
		return "coalesce(has_table_privilege(to_regclass(" + literal(schema+"."+table) + "), 'SELECT'), false)"
	}
	before := `SELECT encode(convert_to(json_agg(json_build_object(
    'known', EXISTS (SELECT FROM ` + schema + `.invoice_jobs j WHERE j.job_id = a.job_id),
    'invoice_number', coalesce((SELECT invoice_number FROM ` + schema + `.invoices i WHERE i.issuer = a.issuer AND i.transaction_id = a.transaction_id)`
	imported := `, (SELECT invoice_number FROM ` + schema + `.imported_invoices i
        WHERE i.issuer = a.issuer AND i.transaction_id = a.transaction_id AND withdrawn_at IS NULL)`
	after := `, '')) ORDER BY a.n)::text, 'UTF8'), 'hex') AS told
FROM ROWS FROM (json_to_recordset(%L::json) AS (job_id text, issuer text, transaction_id text)) WITH ORDINALITY AS a (job_id, issuer, transaction_id, n)`
	return `SELECT CASE WHEN ` + mayRead("invoice_jobs") + ` AND ` + mayRead("invoices") + ` THEN
substring(query_to_xml(` + literal(before) + ` || CASE WHEN ` + mayRead("imported_invoices") + ` THEN ` + literal(imported) + ` ELSE '' END
    || format(` + literal(after) + `, $3::text), false, true, '')::text FROM '<told>([0-9a-f]*)</told>') END`
}

// receipts returns the receipts of jobs that were accepted.
func receipts(asks []ask, queue string, told *string) ([]Receipt, error) {
	var before []struct {
		Known         bool   `json:"known"`
		InvoiceNumber string `json:"invoice_number"`
	}
	if told != nil {
		text, err := hex.DecodeString(*told)
		if err == nil {
			err = json.Unmarshal(text, &before)
		}
		if err == nil && len(before) != len(asks) {
			err = fmt.Errorf("%d jobs told of %d", len(before), len(asks))
		}
		if err != nil {
			return nil, fmt.Errorf("accept: reading what was there before: %w", err)
		}
	}
	all := make([]Receipt, len(asks))
	seen := make(map[string]bool, len(asks))
	for i, a := range asks {
		all[i] = Receipt{JobID: a.id, Queue: queue}
		switch {
		case !a.repeatable:
			all[i].Status = Inserted // under an id that nobody had before
		case seen[a.id], before != nil && before[i].Known:
			all[i].Status = Known
		case before != nil:
			all[i].Status = Inserted
		}
		if before != nil {
			all[i].InvoiceNumber = before[i].InvoiceNumber
		}
		seen[a.id] = true
	}
	return all, nil
}
