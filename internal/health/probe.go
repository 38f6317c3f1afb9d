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

// A Probe tries, again and again, something that the work needs. Its error names what fails.
type Probe struct {
	Name   string
	Server string // of which its error speaks, unless it says otherwise
	Try    func(context.Context) error
}

const (
	probeInterval = time.Second
	probeTimeout  = 2 * time.Second
)

// Await returns once all probes succeed, so that jobs could be worked on, and waits as long for that as for servers that
// don't answer. What doesn't heal by waiting it returns at once.
func Await(ctx context.Context, servers Servers, probes []Probe, log *slog.Logger) error {
	limit := time.Now().Add(await.DefaultTimeout)
	for told := false; ; told = true {
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
		case !told:
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

// watch probes until ctx ends.
func (h *Health) watch(ctx context.Context) {
	var all sync.WaitGroup
	for _, p := range h.probes {
		all.Go(func() {
			tick := time.NewTicker(probeInterval)
			defer tick.Stop()
			h.look(ctx, p)
			h.looked.Add(1)
			for {
				select {
				case <-tick.C:
					h.look(ctx, p)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	all.Wait()
}

// look tries a probe. One that doesn't come back in time has failed, whatever becomes of it.
func (h *Health) look(ctx context.Context, p Probe) {
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
		<-answered // the next one begins when this one has ended
	}
}

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

// cause tells why the probe has failed.
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
