package main

import (
	"context"
	"fmt"
)

// A setting is how many asynq servers a contestant runs in this process, and how many jobs it works on at once over all
// of them. River has one client, with as many workers as there are slots.
type setting struct {
	Servers, Slots int
}

func (s setting) String() string { return fmt.Sprintf("%d×%d", s.Servers, s.Slots/s.Servers) }

// perServer is how many slots each server has.
func (s setting) perServer() int { return max(1, s.Slots/s.Servers) }

// A contestant turns jobs into invoices in its own way.
type contestant struct {
	name  string
	title string
	// guess is about how many jobs of five lines it ends in a second, for the first try.
	guess float64
	// tries are the settings that it is tried at, beside the common one; the best is taken.
	tries []setting
	// single tells that it has one server, whatever the setting says.
	single bool
	// whole puts everything on the clock, from the start of the workers: the way through the ledger is part of it.
	whole bool
	open  func(ctx context.Context, b *bench, s setting, schema string) (*system, error)
}

// The contestants' names.
const (
	noopName         = "no-op"
	naiveName        = "naive"
	naiveGaplessName = "naive-gapless"
	riverName        = "river"
	riverGaplessName = "river-gapless"
	invoicerName     = "invoicer"
	ledgerName       = "ledger"
	duplicatesName   = "duplicates"
)

// contestants are all of them. The worker runs at the common setting alone; no peer has to.
func contestants() []contestant {
	var queues []setting
	for _, servers := range []int{1, 2, 4} {
		for _, slots := range []int{16, 32, 64, 128} {
			queues = append(queues, setting{servers, slots})
		}
	}
	peers := []setting{{1, 8}, {1, 16}, {1, 32}, {1, 64}}
	return []contestant{
		{name: noopName, title: "asynq, doing nothing", guess: 10000, tries: queues, open: openNoop},
		{name: naiveName, title: "naive lock", guess: 1500, tries: peers, open: naive{}.open},
		{name: naiveGaplessName, title: "naive lock, gapless numbers", guess: 400, tries: peers, open: naive{gapless: true}.open},
		{name: riverName, title: "River", guess: 1200, tries: peers, single: true, open: riverPeer{}.open},
		{name: riverGaplessName, title: "River, gapless numbers", guess: 350, tries: peers, single: true, open: riverPeer{gapless: true}.open},
		{name: invoicerName, title: "**invoicer**", guess: 1500, single: true, open: ours{}.open},
		{name: ledgerName, title: "**invoicer**, through the ledger", guess: 1200, single: true, whole: true, open: ours{ledger: true}.open},
		{name: duplicatesName, title: "**invoicer**, 99 % duplicates", guess: 4000, single: true, open: ours{duplicates: 0.99}.open},
	}
}
