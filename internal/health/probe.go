package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"invoicer/internal/await"
)

// A Probe tests something that every job needs.
type Probe struct {
	Name   string                      // identifies the probe; the cause's code if the error has none
	Server string                      // the server that an error is about, unless the error shows another one
	Try    func(context.Context) error // returns an error if jobs can't be processed; is never called concurrently
}

const (
	probeInterval = time.Second
	probeTimeout  = 2 * time.Second
)

// Await returns nil once all probes succeed in one round. It waits for [await.DefaultTimeout] at most, and then returns the
// errors of the probes that still fail. Errors that waiting doesn't help against, such as missing rights, it returns at once.
// The error wraps the cause of ctx if that ended the wait.
func Await(ctx context.Context, servers Servers, probes []Probe, log *slog.Logger) error {
	limit := time.Now().Add(await.DefaultTimeout)
	for logged := false; ; logged = true {
		var lasting, passing []error
		for _, p := range probes {
			if err := await.Try(ctx, p.Try); err != nil {
				c := p.cause(servers, err)
				if err = fmt.Errorf("%s: %s", c.server, c.text); c.lasting {
					lasting = append(lasting, err)
				} else {
					passing = append(passing, err)
				}
			}
		}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("stopped while waiting until jobs can be worked on: %w", context.Cause(ctx))
		case len(lasting) > 0:
			return errors.Join(lasting...)
		case len(passing) == 0:
			return nil
		case time.Now().After(limit):
			return fmt.Errorf("no job can be worked on (waited for %s): %w", await.DefaultTimeout, errors.Join(passing...))
		case !logged:
			for _, err := range passing {
				log.WarnContext(ctx, fmt.Sprintf("waiting up to %s until jobs can be worked on: %s", await.DefaultTimeout, err))
			}
		}
		select {
		case <-time.After(probeInterval / 2):
		case <-ctx.Done():
		}
	}
}

// watch tries each probe once a second until ctx ends.
func (h *Health) watch(ctx context.Context) {
	var all sync.WaitGroup
	for _, p := range h.probes {
		all.Go(func() {
			tick := time.NewTicker(probeInterval)
			defer tick.Stop()
			h.try(ctx, p)
			h.tried.Add(1)
			for {
				select {
				case <-tick.C:
					h.try(ctx, p)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	all.Wait()
}

// try tries a probe. A probe that doesn't return in time has failed, even if it succeeds later.
func (h *Health) try(ctx context.Context, p Probe) {
	limit, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var err error
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		err = p.Try(limit)
	}()
	late := time.NewTimer(probeTimeout + probeInterval/2)
	defer late.Stop()
	select {
	case <-answered:
		h.found(ctx, p, err)
	case <-late.C:
		h.found(ctx, p, context.DeadlineExceeded)
		<-answered // two tries of a probe never overlap
	}
}

// found reports the result of a probe.
func (h *Health) found(ctx context.Context, p Probe, err error) {
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		h.outages.probed(ctx, p.Name, nil)
		return
	}
	c := p.cause(h.names, err)
	h.outages.probed(ctx, p.Name, &c)
}

// cause returns the cause of the probe's error.
func (p Probe) cause(a Servers, err error) cause {
	c := a.cause(err)
	switch c.code {
	case slow:
		return cause{server: p.Server, code: away, text: "no answer within " + probeTimeout.String()}
	case away, other:
		c.server = p.Server
	}
	if c.code == other {
		c.code = p.Name
	}
	return c
}
