package report

import "time"

// Now says how things stand at one moment.
type Now struct {
	At time.Time `json:"at"` // by the database's clock

	// Invoices and Duplicates are the rates at which they were recorded lately.
	Invoices   Rate `json:"invoices"`
	Duplicates Rate `json:"duplicate_attempts"`
	// Doubled are the invoices of the last day that a plain check would have doubled: see [Doubled].
	Doubled int `json:"doubled"`
	// TimeToInvoice is that of the newest accepted jobs which became an invoice. It is nil if there is none.
	TimeToInvoice *Delay `json:"time_to_invoice"`

	// OldestAccepted is when the oldest job that waits for its end was accepted, of those that wait for the relay and of those
	// that were enqueued longest ago. It is nil if no job waits.
	OldestAccepted *time.Time `json:"oldest_accepted"`

	// LastHour are the windows of five minutes of the last hour, the latest last: 12 complete ones, and the one that is under way.
	LastHour []Window `json:"last_hour"`
}

// A Window is how many jobs ended in five minutes. Their ends were committed in transactions that began in it.
type Window struct {
	Start      time.Time `json:"start"`
	Ended      int64     `json:"ended"`
	Duplicates int64     `json:"duplicates"` // of the ended ones
	Conflicts  int64     `json:"conflicts"`  // of the ended ones
}

// A Rate is how many records were made over some time until now. The time is a minute at most, and shorter if there are more
// records than are looked at.
type Rate struct {
	Records int           `json:"records"`
	Over    time.Duration `json:"over_ns"`
}

// PerSecond returns the records in a second.
func (r Rate) PerSecond() float64 {
	if r.Over <= 0 {
		return 0
	}
	return float64(r.Records) / r.Over.Seconds()
}

// A Delay is the distribution of the times from accepting jobs to their invoices.
type Delay struct {
	Jobs int           `json:"jobs"` // how many it was measured on
	P50  time.Duration `json:"p50_ns"`
	P99  time.Duration `json:"p99_ns"`
}

// A FailedJob is a failed job without its payload.
type FailedJob struct {
	ID            int64     `json:"id"`
	JobID         string    `json:"job_id"`
	TransactionID *string   `json:"transaction_id"`
	Producer      *string   `json:"producer"`
	Queue         string    `json:"queue"`
	Outcome       string    `json:"outcome"`
	Reason        string    `json:"reason"`
	FailedAt      time.Time `json:"failed_at"`
}

// A Series is the state of one series in one period.
type Series struct {
	Series     string `json:"series"`
	Period     string `json:"period"`
	Kind       string `json:"kind"`
	LastNumber int64  `json:"last_number"` // 0 if none was given out
	// LastInvoice is the newest invoice number, and LastAt when it was made.
	LastInvoice *string    `json:"last_invoice"`
	LastAt      *time.Time `json:"last_at"`
}
