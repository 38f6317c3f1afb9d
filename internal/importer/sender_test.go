package importer

import (
	"testing"

	"invoicer/internal/term"
)

func TestLineToResumeFrom(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		open   map[int]int
		passed int
		want   int
	}{
		"nothing begun":            {nil, 0, 1},
		"nothing begun from 7 on":  {nil, 6, 7},
		"all arrived":              {nil, 9, 10},
		"one hasn't":               {map[int]int{5: 1}, 9, 5},
		"some haven't":             {map[int]int{8: 3, 5: 1, 7: 2}, 9, 5},
		"the one that is just cut": {map[int]int{10: 3}, 9, 10},
	} {
		s := &Sender{open: test.open, passed: test.passed}
		if got := s.Resume(); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

func TestLineIsOpenUntilItsLastCopyArrives(t *testing.T) {
	t.Parallel()
	s := &Sender{open: map[int]int{5: 3, 6: 1}, passed: 6, Progress: &term.Progress{}}
	for _, step := range []struct{ confirm, want int }{{5, 5}, {6, 5}, {5, 5}, {5, 7}} {
		s.confirm(step.confirm)
		if got := s.Resume(); got != step.want {
			t.Errorf("after a copy of line %d: %d, want %d", step.confirm, got, step.want)
		}
	}
	if n := s.confirmed.Load(); n != 4 {
		t.Errorf("%d copies are confirmed", n)
	}
}
