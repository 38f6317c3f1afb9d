// Package report has the plain types that commands show and print as JSON: invoices, jobs, sums. JSON keys are named like the
// database's columns. They are part of the program's interface and don't change.
package report

import (
	"encoding/json"
	"time"
)

// Records are all that is on record about one transaction of an issuer, or about one job.
type Records struct {
	Issuer            string      `json:"issuer,omitempty"`
	TransactionID     *string     `json:"transaction_id"` // null for a job whose payload states none
	Invoice           *Invoice    `json:"invoice"`
	Imports           []Import    `json:"imports"` // of the transaction, the newest first; one at most isn't withdrawn
	Family            Family      `json:"family"`
	DuplicateAttempts []Duplicate `json:"duplicate_attempts"`
	Jobs              []Job       `json:"jobs"`
	Handovers         []Handover  `json:"-"` // of the invoice, in the order in which they were owed
}

// A Handover is how an invoice was handed over through a channel, without what the other side said in words.
type Handover struct {
	Channel, State string
	WaitsFor       string // the number of the invoice for whose clearance it waits, "" for none
	Failing        bool   // its last attempt failed
	TheirID        string
	Clearance      string
	ChangedAt      time.Time
}

// Known reports whether there is any record.
func (r *Records) Known() bool {
	return r.Invoice != nil || len(r.Imports) > 0 || len(r.DuplicateAttempts) > 0 || len(r.Jobs) > 0
}

// An Invoice is an invoice's row, with the number of its lines.
type Invoice struct {
	ID                   int64           `json:"id"`
	Issuer               string          `json:"issuer,omitempty"`
	InvoiceNumber        string          `json:"invoice_number"`
	Kind                 string          `json:"kind"`
	Series               string          `json:"series"`
	Period               string          `json:"period"`
	Number               int64           `json:"number"`
	TransactionID        string          `json:"transaction_id"`
	IdempotencyKey       string          `json:"idempotency_key"`
	JobID                string          `json:"job_id"`
	Producer             *string         `json:"producer"` // that asked for it
	Fingerprint          string          `json:"fingerprint"`
	CreditsTransactionID *string         `json:"credits_transaction_id"`
	Currency             string          `json:"currency"`
	SubtotalMinor        int64           `json:"subtotal_minor"`
	TaxMinor             int64           `json:"tax_minor"`
	TotalMinor           int64           `json:"total_minor"`
	PayableMinor         int64           `gorm:"column:payable" json:"payable_minor"` // what is left to pay of the total
	WithheldMinor        *int64          `gorm:"-" json:"withheld_minor"`             // what the buyer keeps back of it; null if the job states no withholding
	PrepaidMinor         *int64          `gorm:"-" json:"prepaid_minor"`              // what was paid before; null if the job states nothing
	RoundingMinor        *int64          `gorm:"-" json:"rounding_minor"`             // what is added so that it can be paid in cash; likewise
	Taxes                Taxes           `json:"taxes"`                               // by percentage, then by code and category
	IssuedAt             time.Time       `json:"issued_at"`
	DocumentDate         *string         `gorm:"column:dated" json:"document_date"` // the day of issue; null if issued_at is the document's date
	Metadata             json.RawMessage `json:"metadata"`
	Terms                json.RawMessage `json:"terms"`          // what its job stated beyond version 1; null for nothing
	Parties              Masked          `json:"parties"`        // likewise, for what a person may stand in
	IssuerVersion        *int            `json:"issuer_version"` // the version of the issuer that is the seller; null if the job states a seller, or there is no issuer
	CreatedAt            time.Time       `json:"created_at"`
	Lines                int             `json:"lines"`
	Erased               bool            `json:"erased,omitempty"` // its personal data was erased

	// What each of those in the terms comes to, in their order. It is there for a single document, not in a list.
	Allowances   []Adjusted `gorm:"-" json:"allowances,omitempty"`
	Charges      []Adjusted `gorm:"-" json:"charges,omitempty"`
	Withholdings []int64    `gorm:"-" json:"withholdings_minor,omitempty"`
}

// An Import is what is known of a transaction that was invoiced elsewhere.
type Import struct {
	ID                 int64      `json:"id"`
	Issuer             string     `json:"issuer,omitempty"`
	TransactionID      string     `json:"transaction_id"`
	IdempotencyKey     string     `json:"idempotency_key"`
	InvoiceNumber      string     `json:"invoice_number"`
	Currency           *string    `json:"currency"`
	TotalMinor         *int64     `json:"total_minor"`
	CreditedTotalMinor *int64     `json:"credited_total_minor"`
	IssuedAt           *time.Time `json:"issued_at"`
	ImportedAt         time.Time  `json:"imported_at"`
	WithdrawnAt        *time.Time `json:"withdrawn_at"` // null while it holds
	WithdrawnBy        *string    `json:"withdrawn_by"`
	WithdrawnByRole    *string    `json:"withdrawn_by_role"` // the database's name for them
	WithdrawnNote      *string    `json:"withdrawn_note"`
}

// Holds reports whether it wasn't withdrawn.
func (i *Import) Holds() bool { return i.WithdrawnAt == nil }

// Import returns the import that holds, nil if there is none.
func (r *Records) Import() *Import {
	if len(r.Imports) > 0 && r.Imports[0].Holds() {
		return &r.Imports[0]
	}
	return nil
}

// A Family is what a transaction's document credits, and what credits it, and what stands in for what.
type Family struct {
	Credits    []Relative `json:"credits"`     // what it credits, and what that credits in turn
	CreditedBy []Relative `json:"credited_by"` // what credits it, and what credits those, in the order in which they were made
	// LeftMinor is what is left of its total, with all that credits it. It is null if nothing does, or the total isn't known.
	LeftMinor *int64 `json:"left_minor"`
	More      bool   `json:"more"` // there are more than are listed

	Replaces   []Relative `json:"replaces"`    // what it stands in for
	ReplacedBy []Relative `json:"replaced_by"` // what stands in for it
}

// NoFamily returns the family of a document without any relative.
func NoFamily() Family {
	return Family{Credits: []Relative{}, CreditedBy: []Relative{}, Replaces: []Relative{}, ReplacedBy: []Relative{}}
}

// A Relative is another document of a family.
type Relative struct {
	Depth         int        `json:"depth"` // 1 is next to the document
	InvoiceNumber string     `json:"invoice_number"`
	TransactionID string     `json:"transaction_id"`
	Kind          string     `json:"kind"` // "" for an import
	Currency      string     `json:"currency"`
	TotalMinor    *int64     `json:"total_minor"` // null if it isn't known of an import
	IssuedAt      *time.Time `json:"issued_at"`   // likewise
}

// A Duplicate is a recorded duplicate.
type Duplicate struct {
	ID             int64     `json:"id"`
	Issuer         string    `json:"issuer,omitempty"`
	JobID          string    `json:"job_id"`
	IdempotencyKey string    `json:"idempotency_key"`
	InvoiceID      *int64    `json:"invoice_id"`  // null for a duplicate of an import
	ImportedID     *int64    `json:"imported_id"` // null for a duplicate of an invoice
	Reason         string    `json:"reason"`
	Erased         bool      `json:"erased,omitempty"`  // the invoice was erased by then, so that the content couldn't be compared
	Differs        Names     `json:"differs,omitempty"` // the fields in which it differs from its invoice, which the setting ignore allows
	Producer       *string   `json:"producer"`
	Worker         string    `json:"worker"`
	AttemptedAt    time.Time `json:"attempted_at"`
}

// OfAnother returns the producer that asked for the invoice, if the duplicate comes from another one; "" if not, or if one of the two
// names none.
func (d *Duplicate) OfAnother(i *Invoice) string {
	if i == nil || d.InvoiceID == nil || *d.InvoiceID != i.ID || i.Producer == nil || d.Producer == nil || *i.Producer == *d.Producer {
		return ""
	}
	return *i.Producer
}

// A Job is a job of the ledger, with the actions on it.
type Job struct {
	LedgerRow
	// InvoicedSince is set for a failed job whose transaction was invoiced after the failure: the invoice's number.
	InvoicedSince *string `json:"invoiced_since"`
	// Pause says who has paused the series that the job waits for, if it does.
	Pause *SeriesPause `json:"pause,omitempty"`
	// Actions are the actions on the job, the latest last.
	Actions []JobAction `json:"actions"`
	// FailedAttempts are those after which the job was tried again, the latest last.
	FailedAttempts []Attempt `json:"failed_attempts"`
}

// A LedgerRow is a job's row in the ledger, without its payload.
type LedgerRow struct {
	ID             int64     `json:"id"`
	JobID          string    `json:"job_id"`
	Issuer         string    `json:"issuer,omitempty"`
	IdempotencyKey *string   `json:"idempotency_key"`
	Producer       *string   `json:"producer"`
	Queue          string    `json:"queue"`
	State          string    `json:"state"`
	Outcome        *string   `json:"outcome"`
	Reason         *string   `json:"reason"`
	InvoiceID      *int64    `json:"invoice_id"`
	ImportedID     *int64    `json:"imported_id"` // of a duplicate of an import
	Dispatch       int       `json:"dispatch"`
	Attempts       int       `json:"attempts"`
	PausedSeries   *string   `json:"paused_series"` // for which the job waits
	AcceptedAt     time.Time `json:"accepted_at"`
	UpdatedAt      time.Time `json:"updated_at"`
}

// A JobAction is an action on a failed job.
type JobAction struct {
	ID       int64     `json:"id"`
	JobID    string    `json:"job_id"`
	Action   string    `json:"action"` // replay, dismiss, restore
	Actor    string    `json:"actor"`
	Role     *string   `json:"role"` // the database's name for the actor; null for an action of an earlier release
	Note     *string   `json:"note"`
	Dispatch int       `json:"dispatch"` // the one that had failed
	Outcome  string    `json:"outcome"`  // of that dispatch
	Reason   string    `json:"reason"`   // of that dispatch
	ActedAt  time.Time `json:"acted_at"`
}

// A PastAction is an action and its result.
type PastAction struct {
	JobAction
	TransactionID *string `json:"transaction_id"`
	// CameTo is the job's outcome, or its state while it has no outcome: as it was before the next action, or, after
	// the last action, as it is now.
	CameTo        string  `json:"came_to"`
	InvoiceNumber *string `json:"invoice_number"` // if an invoice resulted
}

// A Tally counts and sums the documents of one kind and currency.
type Tally struct {
	Kind       string `json:"kind"`
	Currency   string `json:"currency"`
	Documents  int64  `json:"documents"`
	TotalMinor string `json:"total_minor"` // a sum of int64 may exceed int64
}

// Counts are the numbers of ended jobs, by outcome.
type Counts struct {
	Invoices   int64 `json:"invoices"`
	Duplicates int64 `json:"duplicate_attempts"`
	Failed     int64 `json:"failed"`
}

// A Deed is something that somebody did to a job, a queue, a lock or a worker.
type Deed struct {
	ActedAt time.Time `json:"acted_at"`
	Action  string    `json:"action"`
	Subject string    `json:"subject"` // the job's id, the queue's name, the transaction's id, the worker's name
	Actor   string    `json:"actor"`   // as given
	Role    *string   `json:"role"`    // the database's name for the actor; null for an action of an earlier release
	Note    *string   `json:"note"`
	Details *string   `json:"details"`
}

// An End is how a job has ended. The zero value stands for a job that hasn't.
type End struct {
	Outcome      string
	Reason       *string
	PausedSeries *string // for which it waits in the ledger
}
