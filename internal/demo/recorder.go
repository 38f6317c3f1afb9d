package demo

import (
	"slices"
	"sync"
	"time"

	"invoicer/invoice"
)

// A logLine is what the demo reads of a line that a worker logs.
type logLine struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
	Message string    `json:"msg"`
	Error   string    `json:"error"`

	JobID         string          `json:"job_id"`
	TransactionID string          `json:"transaction_id"`
	Producer      string          `json:"producer"`
	Outcome       invoice.Outcome `json:"outcome"`
	Reason        invoice.Reason  `json:"reason"`
	Number        string          `json:"invoice_number"`
	Took          string          `json:"took"`
	HolderJobID   string          `json:"holder_job_id"`
	HolderWorker  string          `json:"holder_worker"`
	TaskID        string          `json:"task_id"`
	Worker        string          `json:"worker"`
}

// What a worker logs of a job.
const (
	jobEnded = "job ended"
	lostRace = "lost the race"
	putBack  = "job goes back to the queue"
	orphaned = "the worker of a job is gone: the job goes back to its queue"
)

// A moment is something that happened to a job.
type moment struct {
	worker int
	logLine
}

// began is when the attempt that a moment ends had begun.
func (m *moment) began() time.Time {
	took, err := time.ParseDuration(m.Took)
	if err != nil {
		return m.Time
	}
	return m.Time.Add(-took)
}

// A recorder keeps what our workers log.
type recorder struct {
	begun time.Time

	mu       sync.Mutex
	took     time.Duration
	ends     map[string]moment   // by job: one whose worker dies before the queue hears of its end comes to that end again
	moments  map[string][]moment // by transaction
	orphans  map[string]bool     // jobs that the killed worker had in hand when it was taken for dead
	lost     int
	returned int
	invoices int
	killed   Killing
	killedAt time.Time
}

func newRecorder() *recorder {
	return &recorder{begun: time.Now(), ends: map[string]moment{}, orphans: map[string]bool{}, moments: map[string][]moment{}}
}

func (r *recorder) observe(worker int, line logLine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := moment{worker, line}
	switch line.Message {
	case jobEnded:
		if _, again := r.ends[line.JobID]; again {
			return
		}
		r.ends[line.JobID] = m
		if line.Outcome == invoice.Created {
			r.invoices++
		}
	case lostRace:
		r.lost++
	case orphaned:
		if isOf(line.Worker, r.killed.PID) {
			r.orphans[line.TaskID] = true
		}
		return
	case putBack:
		r.returned++
		return
	default:
		return
	}
	// A race shows from its first lost attempt on, but it began with the winner's; so all are kept until it is clear
	// which one is told.
	r.moments[line.TransactionID] = append(r.moments[line.TransactionID], m)
}

// ended is how many jobs have.
func (r *recorder) ended() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ends)
}

// created is how many invoices our workers have made.
func (r *recorder) created() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.invoices
}

func (r *recorder) kill(worker, pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.killed, r.killedAt = Killing{Worker: worker, PID: pid}, time.Now()
}

// finish is called once all jobs have ended.
func (r *recorder) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.took = time.Since(r.begun)
}

// story returns all but what is counted in the database.
func (r *recorder) story() *Story {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &Story{
		Took: r.took, Outcomes: map[invoice.Outcome]int{}, Reasons: map[invoice.Reason]int{},
		RacesLost: r.lost, PutBack: r.returned, Killed: r.killed,
	}
	for _, end := range r.ends {
		s.Outcomes[end.Outcome]++
		if end.Reason != "" {
			s.Reasons[end.Reason]++
		}
	}
	s.Killed.InHand, s.Killed.BackAfter = len(r.orphans), r.comeBack()
	s.race = pictureOurs(r.bestRace(), r.killed, r.killedAt, r.orphans)
	return s
}

// comeBack tells how long after the kill the last of the jobs had ended that the killed worker had in hand.
func (r *recorder) comeBack() time.Duration {
	var last time.Duration
	for id := range r.orphans {
		last = max(last, r.ends[id].Time.Sub(r.killedAt))
	}
	return last
}

// bestRace picks a transaction whose jobs met: best one whose invoice the killed worker had in hand, and others made; else
// one that was met on several workers.
func (r *recorder) bestRace() []moment {
	var best []moment
	most := 0
	for _, all := range r.moments {
		jobs, workers, lost, created, survived, clean := map[string]bool{}, map[int]bool{}, 0, 0, false, true
		for _, m := range all {
			jobs[m.JobID], workers[m.worker] = true, true
			clean = clean && m.Producer != mistaken
			if m.Message == jobEnded && m.Outcome == invoice.Created {
				created++
			}
			if m.Message == lostRace {
				lost++
				survived = survived || r.orphans[m.HolderJobID] && r.ends[m.HolderJobID].worker != r.killed.Worker
			}
		}
		// A story of many jobs tells no more than one of few.
		if lost == 0 || created != 1 || !clean || len(jobs) < 2 || len(jobs) > mostRows {
			continue
		}
		score := 10*len(workers) + len(jobs)
		if survived {
			score += 1000
		}
		if score > most {
			best, most = all, score
		}
	}
	slices.SortStableFunc(best, func(a, b moment) int { return a.Time.Compare(b.Time) })
	return best
}
