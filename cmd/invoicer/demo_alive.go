package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"invoicer/internal/sample"
	"invoicer/invoice/postgres"
)

// How often another transaction is asked for while the demo serves, and by which producers.
const trickleEvery = 500 * time.Millisecond

// homeCountry is where the shop of the sample is. What it sells elsewhere has a series of its own.
const homeCountry = "United Kingdom"

func trickling() []string { return []string{"checkout", "webhook", "nightly-cron"} }

// trickle asks, as a producer, for one transaction after the other until ctx ends, each by one or more producers, so that the pages have something to
// show. What can't be accepted, as in an outage that somebody tries, is left out.
func (d *demonstration) trickle(ctx context.Context, shop *postgres.DB) {
	now := time.Now()
	g := sample.New(sample.Options{
		Seed: uint64(now.UnixNano()), Prefix: "demo-" + now.UTC().Format("20060102T150405") + "-live-", MaxLines: 10, Elaborate: true,
	})
	tick := time.NewTicker(trickleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		job, names := g.Next(), trickling()
		if job.Country != homeCountry {
			job.Series = "EXPORT"
		}
		for _, i := range rand.Perm(len(names))[:1+rand.IntN(len(names))] { //nolint:gosec // any order will do
			job.Producer = names[i]
			payload, err := job.Encode()
			if err == nil {
				err = shop.Ledger.AcceptIntoNew(ctx, uuid.NewString(), d.queue(), payload)
			}
			if err != nil {
				d.log.Debug("a job of the demo wasn't accepted", "error", err)
			}
		}
	}
}

// tellPages says, last of all, where the pages are, and shows them if somebody sits at this machine.
func (d *demonstration) tellPages(url string) {
	alive := ""
	if d.input == "" {
		alive = ", where jobs go on to come in"
	}
	_, _ = fmt.Fprintf(d.out, "\nServing until Ctrl-C. The first page%s:\n\n    %s/\n\n", alive, url)
	if d.browse {
		openBrowser(url + "/")
	}
}
