package invoice_test

import (
	"math/rand/v2"
	"testing"

	"invoicer/invoice"
)

// When all in which a person may stand is gone, and the fingerprint, the digest of what is left is the same, and so are the amounts: that is
// what the audit proves of an erased invoice.
func TestDigestNeedsNoPersonalTexts(t *testing.T) {
	t.Parallel()
	checked := 0
	check := func(t *testing.T, what string, job *invoice.Job) {
		t.Helper()
		totals, err := job.Calculate()
		if err != nil {
			return // a random one, whose amounts don't fit
		}
		checked++
		record := aRecord()
		record.Job, record.Totals, record.Positions = job, &totals, nil
		var h invoice.Hasher
		texts := h.Texts(record, make([]byte, invoice.SaltSize))
		before := h.Digest(record, texts)

		left := *job
		left.CustomerID, left.CustomerName, left.Country, left.Metadata = "", "", "", nil
		public, _, err := job.Terms.Spell()
		if err != nil {
			t.Fatal(err)
		}
		if left.Terms, err = invoice.ReadTerms(public, ""); err != nil {
			t.Fatalf("%s: what is left of the terms can't be read: %v", what, err)
		}
		left.Lines = append([]invoice.Line{}, job.Lines...)
		for i := range left.Lines {
			line := &left.Lines[i]
			line.SKU, line.Description = "", ""
			public, _, err := line.Terms.Spell()
			if err != nil {
				t.Fatal(err)
			}
			if line.Terms, err = invoice.ReadLineTerms(public, ""); err != nil {
				t.Fatalf("%s: what is left of a line's terms can't be read: %v", what, err)
			}
		}
		again, err := left.Calculate()
		if err != nil {
			t.Fatalf("%s: what is left can't be added up: %v", what, err)
		}
		record.Job, record.Totals, record.Fingerprint, record.ContentHash = &left, &again, invoice.ErasedFingerprint, 0
		if h.Digest(record, texts) != before {
			t.Errorf("%s: the digest depends on it", what)
		}
	}
	random := rand.New(rand.NewPCG(7, 11)) // a fixed seed, so that it fails again
	for range 50 {
		check(t, "all fields together", whole(t, random))
	}
	for _, l := range leaves() {
		job := *aRecord().Job
		job.Lines = append([]invoice.Line{}, job.Lines...)
		job.Version = invoice.TaskVersion
		l.set(&job, true, random)
		check(t, l.path, &job)
	}
	if checked < 50 {
		t.Errorf("only %d jobs were looked at", checked)
	}
}
