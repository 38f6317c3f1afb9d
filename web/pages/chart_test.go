package pages_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The first page draws what ended in each five minutes of the last hour, and has the figures beside it.
func TestLastHour(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if _, page := s.get(t, "/"); strings.Contains(page, "<svg") {
		t.Errorf("a chart of nothing:\n%s", page)
	}
	plant := func(ago string, ended, duplicates, conflicts int) {
		t.Helper()
		for _, worker := range []string{"w1", "w2"} { // whose counts are added up
			if _, err := s.DB.ExecContext(t.Context(), `INSERT INTO producer_counts (window_start, producer, worker, lane, ended, duplicates, conflicts)
VALUES (date_bin('5 minutes', now() - $1::interval, 'epoch'), 'shop', $2, 0, $3, $4, $5)`, ago, worker, ended/2, duplicates/2, conflicts/2); err != nil {
				t.Fatal(err)
			}
		}
	}
	plant("2 hours", 5000, 0, 0) // which isn't shown
	plant("30 minutes", 2000, 500, 500)
	plant("15 minutes", 200, 2, 0)
	_, page := s.get(t, "/")
	bars := regexp.MustCompile(`<rect class="(\w+)" x="\d+" y="(\d+)" width="24" height="(\d+)"`).FindAllStringSubmatch(page, -1)
	var drawn []string
	for _, b := range bars {
		y, _ := strconv.Atoi(b[2])
		height, _ := strconv.Atoi(b[3])
		if y < 0 || y+height > 124 {
			t.Errorf("%s is outside of the drawing", b[0])
		}
		if height > 0 {
			drawn = append(drawn, b[1]+" "+b[3])
		}
	}
	if got := strings.Join(drawn, ", "); got != "rest 60, duplicates 30, conflicts 30, rest 11, duplicates 1" || len(bars) != 13*3 {
		t.Errorf("%d bars, drawn are %s", len(bars), got)
	}
	if !strings.Contains(page, "The most were 2,000.") || !strings.Contains(page, `<td class="n">2,000</td><td class="n">500</td><td class="n">500</td>`) {
		t.Errorf("without the figures:\n%s", page)
	}
}
