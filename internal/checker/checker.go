// Package checker compares a database with the jobs that went in, and lists the promises that are broken. It relies on
// nothing but the tables and the job format: it imports no package of this program, so that a mistake of the program can't
// hide itself.
package checker

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// A Job is one that went in.
type Job struct {
	ID string
	// Ledger: it was accepted in the ledger. Else it was enqueued directly.
	Ledger  bool
	Payload []byte
	// Unknown: the reply was lost, or the queue was, so nobody can say whether it went in. It need not have an end, but
	// if there is anything of it, all promises hold.
	Unknown bool
}

// A Rule is what a violation violates, in a word.
type Rule string

// The rules.
const (
	Lost     Rule = "lost"     // something that went in has not come out
	Doubled  Rule = "doubled"  // something came out twice
	Gap      Rule = "gap"      // numbers are not 1 to n
	Wrong    Rule = "wrong"    // an end that isn't the right one, or an invoice that isn't what was asked for
	Stranger Rule = "stranger" // something came out that never went in
	Changed  Rule = "changed"  // what was stored once is not what is stored now
)

// A Violation is one broken promise.
type Violation struct {
	Rule Rule
	Text string
}

func (v Violation) String() string { return string(v.Rule) + ": " + v.Text }

// A Report is what came of the jobs.
type Report struct {
	// Ledger and Direct are how many went in for certain.
	Ledger, Direct int
	// Invoices and Duplicates are how many rows there are; Conflicts, Invalid and Failed are bad ends by their outcome.
	Invoices, Duplicates, Conflicts, Invalid, Failed int
	Violations                                       []Violation
}

// Count is how many violations of a rule there are.
func (r *Report) Count(rule Rule) int {
	n := 0
	for _, v := range r.Violations {
		if v.Rule == rule {
			n++
		}
	}
	return n
}

// Check reads the schema in one snapshot and returns every violation. Numbering is taken to be as it is by default. It is
// for a time when nothing is under way any more. The error is of the database or of the list, and never a violation.
func Check(ctx context.Context, databaseURL, schema string, jobs []Job) (*Report, error) {
	config, err := connConfig(databaseURL, schema)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("checker: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // it has only read
	stored, err := read(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("checker: %w", err)
	}
	return judge(stored, jobs)
}

func connConfig(databaseURL, schema string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("checker: %w", err)
	}
	maps.Copy(config.RuntimeParams, map[string]string{"search_path": schema, "timezone": "UTC", "datestyle": "ISO"})
	return config, nil
}

// judge compares what is stored with what went in.
func judge(s *stored, jobs []Job) (*Report, error) {
	c := &check{stored: s, requests: make(map[string]*request, len(jobs))}
	for _, j := range jobs {
		if c.requests[j.ID] != nil {
			return nil, fmt.Errorf("checker: job %s is listed twice", j.ID)
		}
		c.requests[j.ID] = newRequest(j)
	}
	ids := slices.Sorted(maps.Keys(c.requests))
	for _, id := range ids {
		c.job(c.requests[id])
	}
	c.transactions(ids)
	c.invoices()
	c.numbers()
	c.strangers()
	c.report.Invoices, c.report.Duplicates = len(s.invoices), len(s.duplicates)
	return &c.report, nil
}

type check struct {
	*stored
	requests map[string]*request // by job id
	report   Report
}

func (c *check) say(rule Rule, format string, values ...any) {
	c.report.Violations = append(c.report.Violations, Violation{rule, fmt.Sprintf(format, values...)})
}
