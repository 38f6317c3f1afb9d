package main

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"invoicer/internal/sample"
	"invoicer/invoice"
)

// An asking is a job to be sent.
type asking struct {
	place         float64 // in the order of sending
	transactionID string
	fingerprint   string // "" of an invalid one
	payload       []byte
}

// askings draws n jobs, of which a fifth ask again for what others ask for, and on top of those some that ask for
// another content, and some that can never be an invoice but that only a worker can tell from a good one.
func askings(t *testing.T, r *rand.Rand, n, conflicts, invalid int) []asking {
	t.Helper()
	g := sample.New(sample.Options{Seed: r.Uint64(), MaxLines: 6, Elaborate: true, Currencies: []string{"GBP", "JPY", "BHD"}})
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
			j.CustomerName += " & Co"
		}
		jobs = append(jobs, j)
	}
	all := make([]asking, 0, len(jobs)+invalid)
	for i := range jobs {
		payload, err := jobs[i].Encode()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, asking{places[i], jobs[i].TransactionID, jobs[i].Fingerprint(), payload})
	}
	for i := range invalid {
		id := fmt.Sprintf("bad-%d", i)
		payload := fmt.Appendf(nil, `{"transaction_id":%q,"issued_at":"2010-12-01T08:26:00Z","currency":"ZZZ","lines":[{"quantity":1,"unit_price":"2.55"}]}`, id)
		all = append(all, asking{place: r.Float64(), transactionID: id, payload: payload})
	}
	slices.SortStableFunc(all, func(a, b asking) int { return cmp.Compare(a.place, b.place) })
	return all
}

func TestAskings(t *testing.T) {
	t.Parallel()
	draw := func() []asking { return askings(t, rand.New(rand.NewPCG(7, 7)), 50, 2, 3) }
	all, again := draw(), draw()
	transactions, fingerprints, bad := map[string]bool{}, map[string]bool{}, 0
	for i, a := range all {
		if !bytes.Equal(a.payload, again[i].payload) {
			t.Fatalf("job %d: the same seed asks for another thing", i)
		}
		if a.fingerprint == "" {
			bad++
			continue
		}
		transactions[a.transactionID], fingerprints[a.fingerprint] = true, true
	}
	if len(all) != 55 || len(transactions) != 40 || len(fingerprints) < 41 || bad != 3 {
		t.Errorf("%d jobs for %d transactions, %d contents, %d invalid", len(all), len(transactions), len(fingerprints), bad)
	}
}
