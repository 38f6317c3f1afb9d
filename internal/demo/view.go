package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"invoicer/internal/term"
)

// A view shows how far both kinds of workers are: on a terminal two bars that grow, elsewhere a line each second.
type view struct {
	out                 io.Writer
	bars                bool
	transactions, asked int
	next                time.Time // when the next line is due
	drawn               []string  // what stands on the terminal and is drawn over
}

func newView(out io.Writer, transactions, asked int) *view {
	return &view{out: out, bars: term.IsTerminal(out), transactions: transactions, asked: asked, next: time.Now().Add(time.Second)}
}

// show draws what there is by now: the invoices of both, and how many of our jobs haven't ended.
func (v *view) show(naive, ours, open int) {
	if v.bars {
		v.draw([]string{v.bar("naive lock", naive), v.bar("invoicer", ours), "open jobs   " + term.Thousands(open)})
		return
	}
	if time.Now().Before(v.next) {
		return
	}
	v.next = time.Now().Add(time.Second)
	_, _ = fmt.Fprintf(v.out, "naive lock: %s invoices; invoicer: %s, %s jobs open\n", term.Thousands(naive), term.Thousands(ours), term.Thousands(open))
}

// say prints a line above the bars.
func (v *view) say(line string) {
	drawn := v.drawn
	v.erase()
	_, _ = fmt.Fprintln(v.out, line)
	v.draw(drawn)
}

// bar is as long as the share of the transactions that have an invoice, and longer if there are more invoices than that.
func (v *view) bar(name string, invoices int) string {
	const whole, longest = 40, 46
	length := min(invoices*whole/max(v.transactions, 1), longest)
	if invoices > v.transactions {
		length = max(length, whole+1) // one too many is to be seen
	}
	bar := []byte(strings.Repeat("#", length) + strings.Repeat(" ", longest-length))
	if length <= whole {
		bar[whole] = '|'
	}
	return fmt.Sprintf("%-11s %s %9s", name, bar, term.Thousands(invoices))
}

func (v *view) draw(lines []string) {
	v.erase()
	for _, line := range lines {
		_, _ = fmt.Fprintln(v.out, line)
	}
	v.drawn = lines
}

// erase takes back what was drawn: it goes up as many lines, and clears from there on.
func (v *view) erase() {
	if len(v.drawn) > 0 {
		_, _ = fmt.Fprintf(v.out, "\x1b[%dA\x1b[J", len(v.drawn))
	}
	v.drawn = nil
}
