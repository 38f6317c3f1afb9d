package postgres

import (
	"context"
	"crypto/tls"
	"net"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"invoicer/internal/primary"
)

// primaries keep a process with the newest primary among the hosts of its URL. An old one that was cut off, or that nobody has stopped,
// may still take writes: they would be lost, or wait for ever for a standby that has left it.
type primaries struct {
	hosts []*pgconn.Config // nil if the URL has one alone
	first sync.Once        // of several, all are asked before the first connection

	mu     sync.Mutex
	newest *Lineage                    // that is known of; nil for none
	open   map[*pgconn.PgConn]*Lineage // connections, and whose history their servers have
}

// promoted notes a lineage. If it is the newest, connections to older primaries of its cluster are broken: what is under way there
// mustn't wait for a server that may never answer.
func (p *primaries) promoted(now Lineage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.newest != nil && now.Before(*p.newest) {
		return
	}
	p.newest = &now
	for conn, of := range p.open {
		if of.Before(now) {
			breakOff(conn.Conn())
		}
	}
}

// breakOff closes a connection, of which its user is told by an error. TLS would take leave first, of a server that may not read it.
func breakOff(conn net.Conn) {
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	_ = conn.Close() // see above
}

// old reports whether a connection leads to an old primary.
func (p *primaries) old(conn *pgconn.PgConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.open[conn]
	return of != nil && p.newest != nil && of.Before(*p.newest)
}

// refuseOld returns a check of a new connection that goes on to the next host of the URL if this one's server is an old primary.
func (p *primaries) refuseOld(before pgconn.ValidateConnectFunc) pgconn.ValidateConnectFunc {
	return func(ctx context.Context, opened *pgconn.PgConn) error {
		if before != nil {
			if err := before(ctx, opened); err != nil {
				return err
			}
		}
		now, ok := primary.Of(ctx, opened)
		if !ok {
			return nil // a standby, or a server that keeps this to itself
		}
		of := Lineage{System: now.System, Timeline: now.Timeline}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.newest != nil && of.Before(*p.newest) {
			return ErrOldPrimary
		}
		if p.newest == nil { // none has answered the survey: who doesn't know its own primary can't be told of a newer one
			p.newest = &of
		}
		p.keep(opened, &of)
		return nil
	}
}

// keep notes an open connection, and forgets those that were closed.
func (p *primaries) keep(opened *pgconn.PgConn, of *Lineage) {
	if p.open == nil {
		p.open = make(map[*pgconn.PgConn]*Lineage)
	}
	for conn := range p.open {
		select {
		case <-conn.CleanupDone():
			delete(p.open, conn)
		default:
		}
	}
	p.open[opened] = of
}

// choose finds out which of several primaries is the newest, before the first connection takes the first of them.
func (p *primaries) choose(ctx context.Context) {
	if len(p.hosts) == 0 {
		return
	}
	p.first.Do(func() {
		if newest := p.survey(ctx, Lineage{}); newest.System != "" {
			p.promoted(newest)
		}
	})
}

// known returns the newest lineage that this process knows of, the zero Lineage if it knows of none yet.
func (p *primaries) known() Lineage {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.newest == nil {
		return Lineage{}
	}
	return *p.newest
}

// survey is [primary.Newest], for the hosts of the URL.
func (p *primaries) survey(ctx context.Context, known Lineage) Lineage {
	newest, _ := primary.Newest(ctx, p.hosts, primary.Lineage{System: known.System, Timeline: known.Timeline})
	return Lineage{System: newest.System, Timeline: newest.Timeline}
}
