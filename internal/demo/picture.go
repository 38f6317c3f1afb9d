package demo

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"invoicer/internal/term"
	"invoicer/invoice"
)

// A race is the jobs of one transaction, drawn along the same time.
type race struct {
	transactionID string
	jobs          []racer
}

// How many jobs may be drawn, so that both races fit a screen: of one of ours, and of both together.
const (
	mostRows = 4
	bothRows = 6
)

// A racer is one job's row of the picture.
type racer struct {
	producer, workers, result string
	spans                     []span
}

// A span is what a job did for a time, by the sign that it is drawn with.
type span struct {
	from, to time.Time
	sign     byte
}

// The signs of a picture.
const (
	waits   = '.' // for the lock, in hand or in the queue
	holds   = '='
	expired = '~' // it still works, and its lock is another one's by now
	died    = 'x'
	legend  = ". waits for the lock   = holds it   ~ works on after it expired   x is killed"
)

// pictureNaive draws those that wrote an invoice, as they have stored it.
func pictureNaive(rows []naiveRow) race {
	var r race
	for _, row := range rows {
		r.transactionID = row.transactionID
		lasted := row.lockedAt.Add(naiveTTL)
		spans := []span{{row.askedAt, row.lockedAt, waits}, {row.lockedAt, earlier(row.writtenAt, lasted), holds}}
		if row.writtenAt.After(lasted) {
			spans = append(spans, span{lasted, row.writtenAt, expired})
		}
		result := fmt.Sprintf("writes invoice %d", row.number)
		if slices.ContainsFunc(rows, func(other naiveRow) bool { return other.number < row.number }) {
			result = "also " + result
		}
		r.jobs = append(r.jobs, racer{producer: row.producer, workers: strconv.Itoa(row.worker), result: result, spans: spans})
	}
	return r
}

// pictureOurs draws all jobs of a transaction, as the workers have logged them.
func pictureOurs(moments []moment, killed Killing, killedAt time.Time, orphans map[string]bool) race {
	var r race
	byJob := map[string][]moment{}
	seen := map[string]time.Time{} // holding the lock on the killed worker, by job
	for _, m := range moments {
		r.transactionID = m.TransactionID
		byJob[m.JobID] = append(byJob[m.JobID], m)
		if m.Message == lostRace && orphans[m.HolderJobID] && m.Time.Before(killedAt) {
			if _, known := seen[m.HolderJobID]; !known {
				seen[m.HolderJobID] = m.Time
			}
		}
	}
	jobs := slices.SortedFunc(maps.Keys(byJob), func(a, b string) int { // the one that makes the invoice first
		return cmp.Or(cmp.Compare(rank(byJob[a]), rank(byJob[b])), byJob[a][0].Time.Compare(byJob[b][0].Time), cmp.Compare(a, b))
	})
	for _, id := range jobs {
		held := seen[id]
		if end := byJob[id][len(byJob[id])-1]; end.worker == killed.Worker {
			held = time.Time{} // it had come to its end in time
		}
		r.jobs = append(r.jobs, drawJob(byJob[id], held, killed, killedAt))
	}
	return r
}

// rank puts the job that made the invoice before the others.
func rank(moments []moment) int {
	if moments[len(moments)-1].Outcome == invoice.Created {
		return 0
	}
	return 1
}

// drawJob draws one job. Where others saw it hold the lock on the worker that was killed, held is when they first did.
func drawJob(moments []moment, held time.Time, killed Killing, killedAt time.Time) racer {
	end := moments[len(moments)-1]
	row := racer{producer: end.Producer, workers: strconv.Itoa(end.worker), result: end.Number}
	if end.Outcome != invoice.Created {
		row.result = string(end.Outcome) + " of " + end.Number
	}
	if !held.IsZero() {
		row.workers = fmt.Sprintf("%d, %d", killed.Worker, end.worker)
		row.spans = append(row.spans, span{held, killedAt, holds}, span{killedAt, killedAt, died})
	}
	last := waits
	if end.Outcome == invoice.Created {
		last = holds
	}
	if moments[0].Message == lostRace && held.IsZero() {
		row.spans = append(row.spans, span{moments[0].Time, end.began(), waits})
	}
	row.spans = append(row.spans, span{end.began(), end.Time, byte(last)})
	return row
}

// isOf reports whether a worker's name, host-PID-random, is that of the process.
func isOf(name string, pid int) bool {
	return pid != 0 && strings.Contains(name, "-"+strconv.Itoa(pid)+"-")
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// How a picture is laid out, in columns of the screen.
const (
	screen       = 80
	producerSize = 12
	workersSize  = 4
	timeSize     = 30
)

// lines draws the race: a line for each job, and one with the time above them.
func (r race) lines() []string {
	var begin, end time.Time
	for _, job := range r.jobs {
		for _, s := range job.spans {
			if begin.IsZero() || s.from.Before(begin) {
				begin = s.from
			}
			if s.to.After(end) {
				end = s.to
			}
		}
	}
	whole := max(end.Sub(begin), time.Millisecond)
	column := func(at time.Time) int {
		return min(int(at.Sub(begin)*timeSize/whole), timeSize-1)
	}
	scale := term.Thousands(int(whole.Milliseconds())) + " ms"
	drawn := []string{fmt.Sprintf("  %-*s %-*s |0 ms%*s|", producerSize, "producer", workersSize+2, "worker", timeSize-len("0 ms"), scale)}
	for _, job := range r.jobs {
		row := []byte(strings.Repeat(" ", timeSize))
		for _, s := range job.spans {
			for i := column(s.from); i <= column(s.to); i++ {
				row[i] = s.sign
			}
		}
		drawn = append(drawn, cut(fmt.Sprintf("  %-*s %-*s |%s| %s", producerSize, cut(job.producer, producerSize), workersSize+2, job.workers, row, job.result), screen))
	}
	return drawn
}

// cut shortens a text that has no room.
func cut(text string, size int) string {
	if utf8.RuneCountInString(text) <= size {
		return text
	}
	return string([]rune(text)[:size-1]) + "…"
}
