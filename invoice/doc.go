// Package invoice is the domain: what a job is, what it comes to, and how it ends.
//
// A [Job] asks for the invoice of one transaction. [Decode] reads it from JSON and refuses whatever can never become an
// invoice, naming every bad field; [Job.Encode] writes it. [Job.Calculate] adds it up to a [Totals], in integers, and
// [Numbering] says in which series that is counted. [Job.Fingerprint] tells whether two jobs ask for the same thing.
//
// A [Generator] turns a job into an [Invoice] through a [Store], exactly once, and a job that has ended has an [Outcome].
//
// Nothing in here knows of queues, locks or databases. Errors and what they carry hold no personal data: no names, no
// descriptions, no metadata.
package invoice
