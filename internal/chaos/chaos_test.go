package chaos

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
)

func TestPlans(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for seed := range uint64(200) {
		p, again := NewPlan(seed, NewRand(seed)), NewPlan(seed, NewRand(seed))
		if !reflect.DeepEqual(p, again) {
			t.Fatalf("two plans of one seed:\n%s\n%s", p, again)
		}
		sum := 0
		for _, n := range p.Batches {
			sum += n
		}
		if sum != p.Jobs || p.Early < 1 || p.Early >= len(p.Batches) || len(p.Mishaps) < 2 {
			t.Errorf("%s", p)
		}
		for _, m := range p.Mishaps {
			seen[m.What] = true
		}
	}
	if len(seen) != 14 {
		t.Errorf("200 seeds know %d ways to go wrong: %v", len(seen), seen)
	}
}

func TestKeyMishaps(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for seed := range uint64(200) {
		m, some := newKeyMishap(seed)
		if again, _ := newKeyMishap(seed); again != m {
			t.Fatalf("two of one seed: %v, %v", m, again)
		}
		if !some {
			continue
		}
		r := newRaid(m, nil, "", "")
		if len(r.kinds) == 0 {
			t.Errorf("seed %d raids no kind of key", seed)
		}
		seen[fmt.Sprint(m.What, r.share > 0, r.share == 1)] = true
	}
	if len(seen) != 6 {
		t.Errorf("200 seeds know %d raids: %v", len(seen), seen)
	}
}

func TestAskings(t *testing.T) {
	t.Parallel()
	draw := func() []Asking {
		all, err := Askings(rand.New(rand.NewPCG(7, 7)), 50, 2, 3)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	all, again := draw(), draw()
	transactions, fingerprints, bad := map[string]bool{}, map[string]bool{}, 0
	for i, a := range all {
		if !bytes.Equal(a.Payload, again[i].Payload) {
			t.Fatalf("job %d: the same seed asks for another thing", i)
		}
		if a.Fingerprint == "" {
			bad++
			continue
		}
		transactions[a.TransactionID], fingerprints[a.Fingerprint] = true, true
	}
	if len(all) != 55 || len(transactions) != 40 || len(fingerprints) < 41 || bad != 3 {
		t.Errorf("%d jobs for %d transactions, %d contents, %d invalid", len(all), len(transactions), len(fingerprints), bad)
	}
}
