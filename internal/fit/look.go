package fit

import "time"

// Observed is what a database knows of a cache's requests and entries.
type Observed struct {
	Gaps       []time.Duration // between an entry's beginning and each of the newest late requests for it, the shortest first
	Entries    []int64         // that began within each of the times that were asked about, or a few more
	EntryBytes int64           // about the most that the cache needs for one of the latest entries
}

// A Time is what a cache would do whose entries last for TTL.
type Time struct {
	TTL     time.Duration
	Hits    int   // late requests of the sample that it would have answered
	Entries int64 // that it has now
	Bytes   int64 // that these need
}

// A Look says what fits, and what each of the times that were asked about would do.
type Look struct {
	Late    int           // requests in the sample
	Needed  int           // requests from which on the sample counts
	Fitting time.Duration // 0 while the sample is too small
	Times   []Time
}

// Look judges what was observed for the given times.
func (l Limits) Look(o Observed, times []time.Duration) Look {
	look := Look{Late: len(o.Gaps), Needed: Needed(l.Quantile)}
	look.Fitting, _ = l.Fitting(o.Gaps)
	for i, ttl := range times {
		look.Times = append(look.Times, Time{TTL: ttl, Hits: Within(o.Gaps, ttl), Entries: o.Entries[i], Bytes: o.Entries[i] * o.EntryBytes})
	}
	return look
}

// SampleSize returns how many of the newest gaps are looked at.
func (l Limits) SampleSize() int { return max(usualSample, Needed(l.Quantile)) }

// usualSample makes shares of late requests exact to about a hundredth, whatever the quantile.
const usualSample = 20_000

// Times returns the times that are compared with each other, the shortest first.
func Times() []time.Duration {
	const day = 24 * time.Hour
	return []time.Duration{time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, day, 3 * day, 7 * day, 30 * day}
}
