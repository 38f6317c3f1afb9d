package postgres

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"invoicer/internal/report"
	"invoicer/invoice/ledger"
)

// comparedReason is how many characters of a reason are compared.
const comparedReason = 500

// causeOf is what [withoutNumbers] makes of a reason, as an SQL expression. It takes Postgres ten times as long.
const causeOf = `regexp_replace(left(reason, 500), '[^ \t\n\r\f\v"'';,()]*[0-9][^ \t\n\r\f\v"'';,()]*', '#', 'g')`

// Causes groups the latest failed jobs that match the filter, at most so many, by cause: their outcome and reason, without ids and
// numbers. It returns the causes of most jobs, limit at most. A filter with such a cause selects its jobs.
func (s *Reports) Causes(ctx context.Context, f ledger.FailedFilter, look, limit int) (report.Causes, error) {
	found := report.Causes{Causes: []report.Cause{}}
	where, values := failedWhere(f)
	var jobs []report.FailedJob
	err := s.db.WithContext(ctx).Raw(`SELECT outcome, left(reason, ?) AS reason, job_id, updated_at AS failed_at
FROM invoicer.invoice_jobs WHERE `+where+` ORDER BY updated_at DESC, id DESC LIMIT ?`, append(append([]any{comparedReason}, values...), look+1)...).Scan(&jobs).Error
	if err != nil {
		return found, classify(err)
	}
	found.AtLeast = len(jobs) > look
	jobs = jobs[:min(len(jobs), look)]
	found.Jobs = len(jobs)
	all := map[[2]string]*report.Cause{}
	for i := range jobs {
		count(all, &jobs[i])
	}
	for _, cause := range all {
		found.Causes = append(found.Causes, *cause)
	}
	slices.SortFunc(found.Causes, func(a, b report.Cause) int {
		return cmp.Or(cmp.Compare(b.Jobs, a.Jobs), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Outcome, b.Outcome))
	})
	found.Causes = found.Causes[:min(len(found.Causes), limit)]
	return found, nil
}

// count counts a job, which isn't later than those before.
func count(all map[[2]string]*report.Cause, j *report.FailedJob) {
	key := [2]string{j.Outcome, withoutNumbers(j.Reason)}
	cause := all[key]
	if cause == nil {
		cause = &report.Cause{Outcome: key[0], Reason: key[1], LastAt: j.FailedAt, JobID: j.JobID}
		all[key] = cause
	}
	cause.Jobs++
	cause.FirstAt = j.FailedAt
}

// withoutNumbers returns a reason with # in place of each word with a digit: an id, a number or a time.
func withoutNumbers(reason string) string {
	if runes := []rune(reason); len(runes) > comparedReason {
		reason = string(runes[:comparedReason])
	}
	var b strings.Builder
	apart := func(r rune) bool { return strings.ContainsRune(" \t\n\r\f\v\"';,()", r) }
	for reason != "" {
		end := strings.IndexFunc(reason, apart)
		if end < 0 {
			end = len(reason)
		}
		if word := reason[:end]; strings.ContainsAny(word, "0123456789") {
			b.WriteByte('#')
		} else {
			b.WriteString(word)
		}
		if reason = reason[end:]; reason != "" {
			b.WriteByte(reason[0]) // what is apart has one byte
			reason = reason[1:]
		}
	}
	return b.String()
}
