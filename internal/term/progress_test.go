package term_test

import (
	"io"
	"testing"

	"github.com/jedib0t/go-pretty/v6/progress"

	"invoicer/internal/term"
)

// What has hardly begun to be drawn ends as well.
func TestDrawingEnds(t *testing.T) {
	t.Parallel()
	for range 100 {
		w := progress.NewWriter()
		w.SetOutputWriter(io.Discard)
		term.Draw(w)()
	}
}
