package postgres_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
)

// A claim of very large payloads takes fewer of them, so that no process is too small for a batch; none is left behind.
func TestClaimIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const jobs, size = 24, 1_000_000
	for i := range jobs {
		payload, err := job(t, fmt.Sprintf("T%d", i), func(j *invoice.Job) { j.CustomerName = strings.Repeat("a", size) }).Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := b.store.Ledger.Accept(t.Context(), uuid.NewString(), "default", payload); err != nil {
			t.Fatal(err)
		}
	}
	var claims []int
	for total := 0; total < jobs; {
		claimed, err := b.store.Ledger.Claim(t.Context(), 256)
		if err != nil || len(claimed) == 0 {
			t.Fatalf("after %v: %d claimed, error %v", claims, len(claimed), err)
		}
		claims = append(claims, len(claimed))
		total += len(claimed)
	}
	if len(claims) != 2 || claims[0]*size > 17<<20 {
		t.Errorf("claims of %v MB, want two, of 16 MiB and one payload at most", claims)
	}
}

// Who has a job is told so four times before who has none has waited twice until time was up.
func TestAwaitIsToldOfAnAcceptedJob(t *testing.T) {
	t.Parallel()
	idle, busy := setup(t), setup(t)
	payload, err := job(t, "T1").Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := busy.store.Ledger.Accept(t.Context(), uuid.NewString(), "default", payload); err != nil {
		t.Fatal(err)
	}
	returned := make(chan *site, 2)
	for b, often := range map[*site]int{idle: 2, busy: 4} {
		go func() {
			for range often {
				if err := b.store.Ledger.Await(t.Context(), false); err != nil {
					t.Error(err)
				}
			}
			returned <- b
		}()
	}
	if first := <-returned; first != busy {
		t.Error("who has no job returned first")
	}
	<-returned
}

// A process that can reach one Redis alone takes the jobs of the queues that lie there, and is told of those alone.
func TestLedgerOfSomeQueues(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.KnowQueue(t, "here", "there")
	var ids []string
	for i, queue := range []string{"here", "there", "here", "there"} {
		payload, err := job(t, fmt.Sprint("T", i)).Encode()
		ids = append(ids, uuid.NewString())
		if err == nil {
			err = b.store.Ledger.Accept(t.Context(), ids[i], queue, payload)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	queues := func(claimed []ledger.Dispatch, err error) (list []string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range claimed {
			list = append(list, d.Queue)
		}
		return list
	}
	here, nowhere := b.store.Ledger.Of("here", "it's"), b.store.Ledger.Of("nowhere")
	if got := queues(here.ClaimJobs(t.Context(), ids[:2])); !slices.Equal(got, []string{"here"}) {
		t.Errorf("of two named jobs it takes those of %q", got)
	}
	if got := queues(here.Claim(t.Context(), 10)); !slices.Equal(got, []string{"here"}) {
		t.Errorf("it takes jobs of %q", got)
	}
	if got := queues(nowhere.Claim(t.Context(), 10)); got != nil {
		t.Errorf("it takes jobs of %q", got)
	}
	returned := make(chan *postgres.QueueLedger, 2)
	for l, often := range map[*postgres.QueueLedger]int{nowhere: 2, b.store.Ledger.Of("there"): 4} {
		go func() {
			for range often {
				if err := l.Await(t.Context(), false); err != nil {
					t.Error(err)
				}
			}
			returned <- l
		}()
	}
	if first := <-returned; first == nowhere {
		t.Error("who has no job returned first")
	}
	<-returned
	if got := queues(b.store.Ledger.Of().Claim(t.Context(), 10)); !slices.Equal(got, []string{"there", "there"}) {
		t.Errorf("without a choice it takes jobs of %q", got)
	}
}
