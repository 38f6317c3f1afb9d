package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"invoicer/internal/sample"
	"invoicer/invoice"
)

// An Asking is a job to be sent.
type Asking struct {
	place         float64 // in the order of sending
	Issuer        string  // "" if it names none
	TransactionID string
	Fingerprint   string // "" of an invalid one
	Payload       []byte
}

// Askings draws n jobs, of which a fifth ask again for what others ask for, and on top of those some that ask for
// another content, and some that can never be an invoice but that only a worker can tell from a good one.
func Askings(r *rand.Rand, n, conflicts, invalid int) ([]Asking, error) {
	g := sample.New(sample.Options{Seed: r.Uint64(), MaxLines: 6, Elaborate: true, Terms: true, Currencies: []string{"GBP", "JPY", "BHD"}})
	jobs := make([]invoice.Job, 0, n+conflicts)
	for len(jobs) < n-n/5 {
		jobs = append(jobs, g.Next())
	}
	first := len(jobs)
	places := make([]float64, first, n+conflicts)
	for i := range places {
		places[i] = r.Float64()
	}
	for i := range n/5 + conflicts {
		original := r.IntN(first)
		j, place := jobs[original], places[original] // right beside it: they race
		if r.IntN(2) == 0 {
			place = r.Float64()
		}
		places = append(places, place)
		j.Producer = fmt.Sprintf("again-%d", r.IntN(3))
		if i >= n/5 {
			alter(r, &j)
		}
		jobs = append(jobs, j)
	}
	all := make([]Asking, 0, len(jobs)+invalid)
	for i := range jobs {
		payload, err := jobs[i].Encode()
		if err != nil {
			return nil, err
		}
		all = append(all, Asking{place: places[i], TransactionID: jobs[i].TransactionID, Fingerprint: jobs[i].Fingerprint(), Payload: payload})
	}
	for i := range invalid {
		id := fmt.Sprintf("bad-%d", i)
		bad := []string{`"currency":"ZZZ"`, `"currency":"GBP","version":2,"expected_total":"2.56"`}[i%2]
		payload := fmt.Appendf(nil, `{"transaction_id":%q,"issued_at":"2010-12-01T08:26:00Z",%s,"lines":[{"quantity":1,"unit_price":"2.55"}]}`, id, bad)
		all = append(all, Asking{place: r.Float64(), TransactionID: id, Payload: payload})
	}
	slices.SortStableFunc(all, func(a, b Asking) int { return cmp.Compare(a.place, b.place) })
	return all, nil
}

// alter gives a job another content, of which another of the same transaction may be invoiced as well. What it shares with the original
// stays as it is.
func alter(r *rand.Rand, j *invoice.Job) {
	change := r.IntN(4)
	if change == 0 {
		j.CustomerName += " & Co"
		return
	}
	j.Version = 2
	if change == 1 {
		j.Lines = slices.Clone(j.Lines)
		j.Lines[0].Terms = copied(j.Lines[0].Terms)
		j.Lines[0].Terms.Unit = "MTR"
		return
	}
	j.Terms = copied(j.Terms)
	if change == 2 {
		j.Terms.BuyerReference = "another desk"
		return
	}
	exponent, _ := invoice.MinorUnits(j.Currency)
	j.Terms.Rounding = invoice.NewDecimal(51, exponent) // more than any sample has
}

// copied returns a copy, or a new one of nil.
func copied[T any](of *T) *T {
	c := new(T)
	if of != nil {
		*c = *of
	}
	return c
}
