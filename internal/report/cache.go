package report

// A Cache is what is known of the done entries, by which Redis remembers invoices: what was configured, what workers do, and what
// other times would do.
type Cache struct {
	TTLSeconds    *float64 `json:"cache_ttl_seconds"` // as configured for whoever asks; null for auto
	Quantile      float64  `json:"cache_quantile"`
	TTLMinSeconds float64  `json:"cache_ttl_min_seconds"`
	TTLMaxSeconds float64  `json:"cache_ttl_max_seconds"`

	LateDuplicates int      `json:"late_duplicates"` // the newest, which were looked at
	Needed         int      `json:"needed"`          // late duplicates from which on it can be told what fits
	FittingSeconds *float64 `json:"fitting_seconds"` // null while it can't

	Workers  []CacheWorker `json:"workers"` // of this installation
	Times    []CacheTime   `json:"times"`   // the shortest first
	Problems []string      `json:"problems"`
}

// A CacheWorker is a worker with how it uses its done entries.
type CacheWorker struct {
	Worker string `json:"worker"`
	WorkerCache
}

// A CacheTime is what Redis would do if it remembered invoices for this long.
type CacheTime struct {
	TTLSeconds float64 `json:"ttl_seconds"`
	Hits       int     `json:"hits"`    // late duplicates that it would have answered, at least
	Entries    int64   `json:"entries"` // about how many invoices it would remember now
	Bytes      int64   `json:"bytes"`   // about the memory that these need
}
