package inquiry_test

import (
	"testing"
	"time"

	"invoicer/internal/fit"
	"invoicer/internal/report"
	"invoicer/worker/queue"
)

func TestCache(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, of := range map[string]string{"a-": b.databaseID, "b-": b.databaseID, "other-": "another installation"} {
		p, err := queue.NewPresence(b.Redis, report.Worker{Name: name + b.Queue, Queues: map[string]int{b.Queue: 1}, Installation: of}, nil)
		must(t, err)
		if name != "b-" { // it is of a version that doesn't tell
			p.Cache = func() report.WorkerCache { return report.WorkerCache{TTLSeconds: 5400, LateDuplicates: 4, Hits: 3} }
		}
		must(t, p.Show(t.Context()))
	}
	limits := fit.Limits{Quantile: 0.5, Min: time.Minute, Max: time.Hour}
	found, err := b.reporter.Cache(t.Context(), 2*time.Hour, limits)
	must(t, err)
	if w := found.Workers; len(w) != 1 || w[0].Worker != "a-"+b.Queue || w[0].TTLSeconds != 5400 || w[0].LateDuplicates != 4 || w[0].Hits != 3 {
		t.Errorf("the workers are %+v", w)
	}
	var times []float64
	for _, one := range found.Times {
		times = append(times, one.TTLSeconds)
	}
	if len(times) != len(fit.Times())+2 || times[2] != 3600 || times[3] != 5400 || times[4] != 7200 || times[5] != 21600 {
		t.Errorf("the times are %v", times)
	}
	if found.TTLSeconds == nil || *found.TTLSeconds != 7200 || found.FittingSeconds != nil || found.Needed != 8 || len(found.Problems) != 0 {
		t.Errorf("%+v", found)
	}
	b.cut.On.Store(true)
	found, err = b.reporter.Cache(t.Context(), 0, limits)
	must(t, err)
	if len(found.Problems) != 1 || found.TTLSeconds != nil || len(found.Times) != len(fit.Times()) {
		t.Errorf("without Redis: %+v", found)
	}
}
