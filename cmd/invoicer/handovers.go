package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"time"

	"invoicer/config"
	"invoicer/internal/documents"
	"invoicer/internal/handovers"
	"invoicer/internal/lifecycle"
	"invoicer/internal/metrics"
	"invoicer/invoice/document"
	"invoicer/invoice/handover"
)

// newMessenger has each invoice be owed to the configured channels, and returns the part that hands over what is owed.
func (w *workplace) newMessenger(ctx context.Context, m *metrics.Metrics) (lifecycle.Part, error) {
	maker, err := newMaker(w.cfg, w.store)
	if err != nil {
		return lifecycle.Part{}, err
	}
	// Half of the processors draw at most, as for requests, and each attempt waits for its documents as long as its channel does: invoices come first.
	maker.Turns = documents.NewTurns(max(1, runtime.GOMAXPROCS(0)/2), time.Hour)
	mailer, err := newMailer(w.cfg)
	if err != nil {
		return lifecycle.Part{}, err
	}
	messenger := &handovers.Worker{Store: w.store.Handovers, Maker: maker, Logger: w.log, Random: rand.Float64, Tried: m.ObserveHandover, Seen: m.SeeHandovers}
	var rules []handover.Rule
	var problems []config.Problem
	for i := range w.cfg.Documents.Channels {
		c := &w.cfg.Documents.Channels[i]
		route := handovers.Route{Name: c.Name, Timeout: c.Timeout, AskEvery: c.AskEvery, AskOn: c.AskUntil == string(handover.Accepted), GiveUp: c.GiveUp, AtOnce: c.AtOnce}
		for _, name := range c.Formats {
			route.Formats = append(route.Formats, document.Format(name))
		}
		switch c.Kind {
		case "email":
			route.Channel = &handovers.Email{Mailer: mailer, Say: maker.Say}
		case "program":
			if _, err := exec.LookPath(c.Command[0]); err != nil {
				problems = append(problems, config.Problem{Key: "documents.channels", Source: w.cfg.Origins["documents.channels"], Message: fmt.Sprintf("channel %s: there is no program %s here that this user may run", c.Name, c.Command[0])})
				continue
			}
			route.Channel = &handovers.Program{Command: c.Command}
		default:
			channel, err := handovers.NewHTTPS(c.URL, c.Secrets(), w.cfg.Events.Networks(), c.Timeout, c.AtOnce, buildVersion().Version)
			if err != nil {
				return lifecycle.Part{}, err
			}
			route.Channel = channel
		}
		messenger.Routes = append(messenger.Routes, route)
		rules = append(rules, handover.Rule{Name: c.Name, Kind: c.Kind, AwaitClearance: c.AwaitClearance, Issuers: c.Issuers, Series: c.Series, Kinds: c.Kinds})
	}
	if len(problems) > 0 {
		return lifecycle.Part{}, exitError{exitUsage, &config.Error{Problems: problems}}
	}
	const soon = 5 * time.Second
	slow := time.AfterFunc(soon, func() {
		w.log.WarnContext(ctx, "the channels of hand-overs wait for somebody who writes an invoice", "since", soon)
	})
	defer slow.Stop()
	if err := w.store.Handovers.Configure(ctx, rules); err != nil {
		return lifecycle.Part{}, err
	}
	return lasting("the handing over of invoices", messenger.Run), nil
}
