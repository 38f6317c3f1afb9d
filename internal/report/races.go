package report

import "time"

// Races are what producers asked for twice, in the time from Since to Until, by the database's clock.
type Races struct {
	Since     time.Time       `json:"since"`
	Until     time.Time       `json:"until"`
	Producers []ProducerRaces `json:"producers"`
	Doubled   Doubled         `json:"doubled"`
	Shared    Shared          `json:"shared"`
	Twins     Twins           `json:"twins"`
	Alarms    []RaceAlarm     `json:"alarms"`
	Drifts    []RaceDrift     `json:"drifts"`
}

// A ProducerRaces has the numbers of one producer, in whole windows of five minutes.
type ProducerRaces struct {
	Producer   string `json:"producer"` // "" for jobs that name none
	Ended      int64  `json:"ended"`
	Duplicates int64  `json:"duplicates"`
	LostRaces  int64  `json:"lost_races"` // of the duplicates
	Conflicts  int64  `json:"conflicts"`
	Doubled    int64  `json:"doubled"`  // of the duplicates: see Races.Doubled
	Shared     int64  `json:"shared"`   // of the duplicates and conflicts: see Races.Shared
	Learning   bool   `json:"learning"` // there is too little history for alarms
	Alarming   bool   `json:"alarming"` // its latest complete window is
	Drifting   bool   `json:"drifting"` // it has had too many duplicates for a while
}

// Doubled are the invoices that a plain check would have doubled: the attempts that began before the transaction that wrote
// their invoice. Who looks and then writes, as a plain check does, would have found nothing then.
type Doubled struct {
	Attempts int64           `json:"attempts"`
	Complete bool            `json:"complete"` // false: there are more, and these are the newest
	Pairs    []DoubledPair   `json:"pairs"`    // the most frequent first
	Hours    []DoubledHour   `json:"hours"`    // in order of time; hours without any are left out
	Examples []DoubledSample `json:"examples"` // the newest first
}

// A DoubledPair is a producer that came second, and the one whose job was invoiced.
type DoubledPair struct {
	Producer        string `json:"producer"`
	InvoiceProducer string `json:"invoice_producer"`
	Attempts        int64  `json:"attempts"`
	// How long before the invoice's transaction the attempts began, in seconds.
	MedianSeconds float64 `json:"median_seconds"`
	MostSeconds   float64 `json:"most_seconds"`
}

// A DoubledHour is an hour with its attempts.
type DoubledHour struct {
	Hour     time.Time `json:"hour"`
	Attempts int64     `json:"attempts"`
}

// A DoubledSample is one attempt.
type DoubledSample struct {
	Issuer          string    `json:"issuer,omitempty"`
	TransactionID   string    `json:"transaction_id"`
	JobID           string    `json:"job_id"`
	Producer        string    `json:"producer"`
	InvoiceProducer string    `json:"invoice_producer"`
	InvoiceNumber   string    `json:"invoice_number"`
	AttemptedAt     time.Time `json:"attempted_at"`
	Seconds         float64   `json:"seconds"` // how long before the invoice's transaction it began
}

// Shared are the transactions for which two producers asked: the duplicates of an invoice that another producer's job made, and the
// conflicts with one. Either the two do the same work, or each counts its own transactions and both use the same ids.
type Shared struct {
	Duplicates int64          `json:"duplicates"`
	Conflicts  int64          `json:"conflicts"`
	Complete   bool           `json:"complete"` // false: there are more, and these are the newest
	Pairs      []SharedPair   `json:"pairs"`    // the most frequent first
	Examples   []SharedSample `json:"examples"` // the newest first
}

// A SharedPair is a producer that came second, and the one whose job was invoiced.
type SharedPair struct {
	Producer        string `json:"producer"`
	InvoiceProducer string `json:"invoice_producer"`
	Duplicates      int64  `json:"duplicates"`
	Conflicts       int64  `json:"conflicts"`
}

// A SharedSample is one duplicate or conflict.
type SharedSample struct {
	Issuer          string    `json:"issuer,omitempty"`
	TransactionID   string    `json:"transaction_id"`
	JobID           string    `json:"job_id"`
	Outcome         string    `json:"outcome"` // duplicate or conflict
	Producer        string    `json:"producer"`
	InvoiceProducer string    `json:"invoice_producer"`
	InvoiceNumber   string    `json:"invoice_number"`
	EndedAt         time.Time `json:"ended_at"`
}

// Twins are invoices whose customer, currency and lines equal those of another invoice of the same issuer, a few minutes before.
type Twins struct {
	Invoices int64 `json:"invoices"`
	// Complete is false if there are older invoices in this time that weren't looked at.
	Complete bool   `json:"complete"`
	Latest   []Twin `json:"latest"` // the newest first
}

// A Twin is an invoice and the one before it.
type Twin struct {
	Issuer        string    `json:"issuer,omitempty"`
	TransactionID string    `json:"transaction_id"`
	InvoiceNumber string    `json:"invoice_number"`
	Producer      string    `json:"producer"`
	TwinOf        string    `json:"twin_of"` // the transaction of the one before
	TwinNumber    string    `json:"twin_number"`
	TwinProducer  string    `json:"twin_producer"`
	Currency      string    `json:"currency"`
	TotalMinor    int64     `json:"total_minor"`
	CreatedAt     time.Time `json:"created_at"`
	Seconds       float64   `json:"seconds"` // between the two
}

// A RaceAlarm is a time in which a producer had more duplicates than its history explains.
type RaceAlarm struct {
	Producer       string    `json:"producer"`
	From           time.Time `json:"from"`
	Until          time.Time `json:"until"`
	Ended          int64     `json:"ended"`
	Expected       float64   `json:"expected"`   // duplicates
	Duplicates     int64     `json:"duplicates"` // as seen
	P              float64   `json:"p"`          // the probability of as many or more, in the least likely window
	TransactionIDs []string  `json:"transaction_ids"`
}

// A RaceDrift is a longer time in which a producer had more duplicates than its history explains, though not so many that a single
// window tells.
type RaceDrift struct {
	Producer       string    `json:"producer"`
	Since          time.Time `json:"since"`
	Until          time.Time `json:"until"` // the end of its latest window
	Ended          int64     `json:"ended"`
	Expected       float64   `json:"expected"`   // duplicates
	Duplicates     int64     `json:"duplicates"` // as seen
	Sum            float64   `json:"sum"`        // of the scores: a drift begins at 5, and ends at 0
	TransactionIDs []string  `json:"transaction_ids"`
}

// Waiting is what the ledger has that isn't done. The numbers stop at 100,000.
type Waiting struct {
	Accepted int64 `json:"accepted"` // not in its queue yet
	Enqueued int64 `json:"enqueued"` // in its queue, or in work
	Failed   int64 `json:"failed"`
	Paused   int64 `json:"paused"` // accepted, and waiting for a paused series
	// OldestSeconds is the age of about the oldest accepted job that has no end yet and waits for no paused series, 0 if there is none.
	OldestSeconds float64 `json:"oldest_seconds"`
}
