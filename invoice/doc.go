// Package invoice is the domain: jobs, the invoices that they ask for, and the outcomes of jobs.
//
// A [Job] asks for the invoice of one transaction. [Decode] reads it from JSON and refuses a job that can never become an
// invoice, naming every bad field; [Job.Encode] writes it. [Job.Calculate] adds its lines up to [Totals], in integers, and
// [Numbering] chooses the series that the document is numbered in. Two jobs ask for the same thing if their fingerprints
// ([Job.Fingerprint]) are equal.
//
// A [Generator] turns a job into an [Invoice] through a [Store], exactly once, and a job that has ended has an [Outcome].
//
// The package imports no queue, no lock and no database. Its errors hold no personal data: no names, no descriptions, no
// metadata.
package invoice
