package main

import "fmt"

// A target is a figure to reach, and one to aim at.
type target struct {
	Name             string
	Least, Aim       float64
	AtMost           bool // less is better
	Measured         float64
	Unit             string
	Missing, Reached bool
}

// judge holds what was measured against what is to be reached.
func judge(r *report) []target {
	five := fiveLines.name
	targets := []target{
		{Name: "5 lines: of asynq's no-op rate", Least: 0.5, Aim: 0.7, Measured: r.ratio(invoicerName, noopName, five)},
		{Name: "real transactions: of asynq's no-op rate", Least: 0.35, Aim: 0.5, Measured: r.ratio(invoicerName, noopName, realName)},
		{Name: "5 lines: × naive, gapless", Least: 10, Aim: 15, Measured: r.ratio(invoicerName, naiveGaplessName, five)},
		{Name: "5 lines: × naive", Least: 3, Measured: r.ratio(invoicerName, naiveName, five)},
		{Name: "5 lines: × River, gapless", Least: 12, Aim: 15, Measured: r.ratio(invoicerName, riverGaplessName, five)},
		{Name: "5 lines: × River", Least: 3, Measured: r.ratio(invoicerName, riverName, five)},
		{Name: "duplicates: of asynq's no-op rate", Least: 0.7, Measured: r.ratio(duplicatesName, noopName, five)},
	}
	f := r.Full
	if f == nil {
		f = &full{}
	}
	var batches, accepted, invoiced, waiting, webhook float64
	if len(f.HTTP) > 1 {
		batches = f.HTTP[1].Rate / f.HTTP[0].Rate
	}
	if len(f.Posts) > 1 {
		accepted, invoiced = f.Posts[0].P99, f.Posts[1].P99
	}
	if f.Waiting != nil {
		waiting = f.Waiting.more()
	}
	if f.Webhooks != nil {
		webhook = f.Webhooks.P99
	}
	targets = append(targets,
		target{Name: "5 million invoices there: of the empty table's rate", Least: 0.9, Measured: f.filledRatio()},
		target{Name: "p99 at 500 jobs/s", Least: 50, AtMost: true, Unit: " ms", Measured: f.p99(500)},
		target{Name: "memory of the worker", Least: 100, AtMost: true, Unit: " MB", Measured: f.peakMemory()},
		target{Name: "batches by HTTP: of the rate through the ledger", Least: 0.5, Measured: batches},
		target{Name: "200 requests/s: p99 to accepted", Least: 20, AtMost: true, Unit: " ms", Measured: accepted},
		target{Name: "200 requests/s: p99 to invoiced", Least: 60, AtMost: true, Unit: " ms", Measured: invoiced},
		target{Name: "1,000 waiting clients: CPU more in a minute", Least: 0.6, AtMost: true, Unit: " s", Measured: waiting},
		target{Name: "p99 from the invoice to its webhook, at 100 invoices/s", Least: 200, AtMost: true, Unit: " ms", Measured: webhook},
		target{Name: "events recorded: of the rate without", Least: 0.9, Measured: f.toldRate(recorded)},
		target{Name: "events that wait for an endpoint: of the rate without", Least: 0.9, Measured: f.toldRate(waits)},
		target{Name: "2 worker processes: of one's rate", Least: 0.9, Measured: f.together(2)},
		target{Name: "4 worker processes: of one's rate", Least: 0.9, Measured: f.together(4)},
		target{Name: "8 worker processes: of one's rate", Least: 0.75, Measured: f.together(8)},
	)
	for i := range targets {
		t := &targets[i]
		t.Missing = t.Measured == 0
		t.Reached = !t.Missing && (t.Measured >= t.Least) != t.AtMost
	}
	return targets
}

func targetTable(targets []target) table {
	list := table{title: "To reach", header: []string{"", "to reach", "aim", "measured", ""}}
	for _, t := range targets {
		sign, aim, measured, verdict := "≥ ", "", times(t.Measured)+t.Unit, "missed"
		if t.AtMost {
			sign = "< "
		}
		if t.Aim > 0 {
			aim = fmt.Sprintf("%g", t.Aim)
		}
		switch {
		case t.Missing:
			measured, verdict = "–", "not measured"
		case t.Reached:
			verdict = "reached"
		}
		list.rows = append(list.rows, []string{t.Name, sign + fmt.Sprintf("%g", t.Least) + t.Unit, aim, measured, verdict})
	}
	return list
}
