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

	// Paused are the paused series that accepted jobs wait for, 20 at most.
	Paused []PausedSeries `json:"paused"`

	// LastHour are the windows of five minutes of the last hour, the latest last: 12 complete ones, and the one that is under way.
	LastHour []Window `json:"last_hour"`
}

// A PausedSeries is a paused series with the accepted jobs that wait for it. Jobs that only Redis has aren't counted.
type PausedSeries struct {
	Issuer  string `json:"issuer,omitempty"`
	Series  string `json:"series"`
	Jobs    int    `json:"jobs"`
	AtLeast bool   `json:"at_least"` // there are more jobs than are counted
	SeriesPause
}

// A SeriesPause says who has paused a series.
type SeriesPause struct {
	Since time.Time `json:"since"`
	Actor string    `json:"actor"`
	Note  *string   `json:"note"`
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
	Issuer        string    `json:"issuer,omitempty"`
	TransactionID *string   `json:"transaction_id"`
	Producer      *string   `json:"producer"`
	Queue         string    `json:"queue"`
	Outcome       string    `json:"outcome"`
	Reason        string    `json:"reason"`
	FailedAt      time.Time `json:"failed_at"`
}

// A Series is the state of one series in one period.
type Series struct {
	Issuer     string `json:"issuer,omitempty"`
	Series     string `json:"series"`
	Period     string `json:"period"`
	Kind       string `json:"kind"`
	LastNumber int64  `json:"last_number"` // one less than the first if none was given out
	// NextInvoice is how the next number will be printed; "" for a series without settings.
	NextInvoice string `json:"next_invoice"`
	State       string `json:"state"` // open, paused, closed
	// LastInvoice is the newest invoice number, and LastAt when it was made.
	LastInvoice *string    `json:"last_invoice"`
	LastAt      *time.Time `json:"last_at"`
}

// A SeriesVersion is one version of the settings of a series: what holds, or held, and who has changed what.
type SeriesVersion struct {
	Issuer      string    `json:"issuer,omitempty"`
	Series      string    `json:"series"`
	Version     int       `json:"version"`
	Kind        string    `json:"kind"`
	Format      string    `json:"format"`
	FromPeriod  string    `json:"from_period"` // for which the format holds, and for later ones
	FromNumber  int64     `json:"from_number"` // likewise
	Period      string    `json:"period"`
	FirstMonth  int       `json:"first_month"`
	Timezone    string    `json:"timezone"`
	Date        string    `json:"date"` // which date documents have: issued_at, or issue for their day of issue
	FirstNumber int64     `json:"first_number"`
	FirstPeriod string    `json:"first_period"`
	State       string    `json:"state"`
	Profile     string    `json:"profile"` // by whose rules documents are judged; "" for that of the settings
	Origin      string    `json:"origin"`  // configuration, command
	Change      string    `json:"change"`
	ChangedAt   time.Time `json:"changed_at"`
	Actor       string    `json:"actor"`
	Role        string    `json:"role"` // by which the database knows the actor
	Note        *string   `json:"note"`
}

// A SettingsVersion is one version of the settings: what holds, or held, and who has changed what.
type SettingsVersion struct {
	Issuer             string    `json:"issuer,omitempty"`
	Version            int       `json:"version"`
	Strict             bool      `json:"strict"`
	DatesEarliest      string    `json:"dates_earliest"`       // the first day that issued_at may have
	DatesLatestSeconds int64     `json:"dates_latest_seconds"` // how far ahead it may lie
	CreditNotes        string    `json:"credit_notes"`         // free or must_credit
	Zero               string    `json:"zero"`                 // number or refuse
	Replaces           string    `json:"replaces"`             // free or must_credit
	Ignore             string    `json:"ignore"`               // issued_at, presentation, both between a comma, or ""
	Profile            string    `json:"profile"`              // by whose rules documents are judged, or none
	Change             string    `json:"change"`
	ChangedAt          time.Time `json:"changed_at"`
	Actor              string    `json:"actor"`
	Role               string    `json:"role"` // by which the database knows the actor
	Note               *string   `json:"note"`
}

// A StuckSeries is a series whose jobs can't be numbered in one period, with the reason.
type StuckSeries struct {
	Issuer string `json:"issuer,omitempty"`
	Series string `json:"series"`
	Period string `json:"period"`
	Why    string `json:"why"`
}
