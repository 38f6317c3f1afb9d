package pages

import "invoicer/internal/report"

// A chart is one bar for each window of the last hour, in the units of its drawing.
type chart struct {
	Windows []report.Window
	Most    int64 // jobs that ended in the window with most of them
	Bars    []bar
}

// A bar is drawn from its foot upwards: conflicts, duplicates, and the other jobs.
type bar struct {
	X                              int
	ConflictsY, DuplicatesY, RestY int
	Conflicts, Duplicates, Rest    int // heights
}

// The drawing's height, and the distance between two bars.
const (
	chartHeight = 120
	barStep     = 30
)

// newChart returns the chart of the windows, nil if no job ended in any.
func newChart(windows []report.Window) *chart {
	c := &chart{Windows: windows}
	for _, w := range windows {
		c.Most = max(c.Most, w.Ended)
	}
	if c.Most == 0 {
		return nil
	}
	height := func(n int64) int {
		if n <= 0 {
			return 0
		}
		return max(1, int(n*chartHeight/c.Most)) // what there is can be seen
	}
	for i, w := range windows {
		b := bar{X: i * barStep, Conflicts: height(w.Conflicts), Duplicates: height(w.Duplicates), Rest: height(w.Ended - w.Duplicates - w.Conflicts)}
		b.ConflictsY = chartHeight + 4 - b.Conflicts // each share may be drawn a unit higher than it is
		b.DuplicatesY = b.ConflictsY - b.Duplicates
		b.RestY = b.DuplicatesY - b.Rest
		c.Bars = append(c.Bars, b)
	}
	return c
}
