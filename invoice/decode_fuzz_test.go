package invoice_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"invoicer/internal/sample"
	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
)

func FuzzDecode(f *testing.F) {
	f.Add([]byte(fullJob))
	f.Add([]byte(`{"version":2}`))
	f.Add(invoicetest.Payload(f, "536365"))
	for _, bad := range invoicetest.Bad() {
		if len(bad.Payload) < 1<<14 {
			f.Add(bad.Payload)
		}
	}
	jobs := sample.New(sample.Options{Seed: 3, Elaborate: true, Terms: true, MaxLines: 3, Currencies: []string{"GBP", "JPY", "BHD"}})
	for range 50 {
		j := jobs.Next()
		payload, err := j.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	all, err := whole(f, nil).Encode()
	if err == nil {
		f.Add(all)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		read, err := invoice.Read(payload)
		job := read.Job
		var newer *invoice.VersionError
		switch {
		case err == nil:
			checkTotals(t, read)
			checkRoundTrip(t, job)
			return
		case errors.As(err, &newer):
			if newer.Version <= invoice.TaskVersion {
				t.Errorf("version %d is not newer", newer.Version)
			}
		case len(problemFields(t, err)) == 0:
			t.Error("error without a problem")
		}
		checkErrorText(t, err)
		checkIdentity(t, job)
	})
}

func checkRoundTrip(t interface {
	Fatal(...any)
	Fatalf(string, ...any)
}, job *invoice.Job,
) {
	payload, err := job.Encode()
	if err != nil {
		// The one thing that may be lost on the way is the room for it: another spelling of the same job can be longer.
		if fields := problemFields(t, err); slices.Equal(fields, []string{"payload"}) {
			return
		}
		t.Fatalf("Encode: %v", err)
	}
	again, err := invoice.Decode(payload)
	if err != nil {
		t.Fatalf("Decode(%s): %v", payload, err)
	}
	if diff := cmp.Diff(job, again); diff != "" {
		t.Fatal("want -, got +:", diff)
	}
	if job.Fingerprint() != again.Fingerprint() {
		t.Fatal("the fingerprint changes")
	}
	checkStored(t, job)
}

// checkStored spells what version 2 states as it is stored, and reads it again.
func checkStored(t interface{ Fatal(...any) }, job *invoice.Job) {
	stored := *job
	stored.Lines = slices.Clone(job.Lines)
	public, personal, err := job.Terms.Spell()
	if err != nil {
		t.Fatal(err)
	}
	if stored.Terms, err = invoice.ReadTerms(public, personal); err != nil {
		t.Fatal("stored terms:", err)
	}
	for i := range stored.Lines {
		public, personal, err := stored.Lines[i].Terms.Spell()
		if err != nil {
			t.Fatal(err)
		}
		if stored.Lines[i].Terms, err = invoice.ReadLineTerms(public, personal); err != nil {
			t.Fatal("stored terms of a line:", err)
		}
	}
	if differs := invoice.DiffFields(job, &stored); stored.Fingerprint() != job.Fingerprint() || len(differs) > 0 {
		t.Fatal("what is stored has another content:", differs)
	}
}

func TestDecodeRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		job := drawJob(t)
		if _, err := job.Calculate(); err != nil {
			t.Skip("amounts past int64")
		}
		checkRoundTrip(t, job)
	})
}

// Totals are found by reading before what states nothing but defaults is taken away, and must be those of what is left.
func TestReadFindsTheTotals(t *testing.T) {
	t.Parallel()
	jobs := sample.New(sample.Options{Seed: 16, Elaborate: true, Terms: true, MaxLines: 5, Currencies: []string{"GBP", "JPY", "BHD"}})
	for range 2000 {
		job := jobs.Next()
		payload, err := job.Encode()
		if err != nil {
			t.Fatal(err)
		}
		read, err := invoice.Read(payload)
		if err != nil {
			t.Fatal(err)
		}
		checkTotals(t, read)
	}
}

func checkTotals(t interface{ Fatal(...any) }, read invoice.Reading) {
	totals, err := read.Job.Calculate()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(totals, read.Totals); diff != "" {
		t.Fatal("want -, got +:", diff)
	}
}

func BenchmarkDecode(b *testing.B) {
	payload := invoicetest.Payload(b, "536365", func(j *invoice.Job) {
		for len(j.Lines) < 20 { // the mean of the real transactions
			j.Lines = append(j.Lines, j.Lines...)
		}
		j.Lines = j.Lines[:20]
	})
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := invoice.Decode(payload); err != nil {
			b.Fatal(err)
		}
	}
}
