package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// farAway is the worker with both servers a network's distance away: each round trip takes so much longer. At 0 there is the
// same proxy before the servers, which delays nothing.
type farAway struct{ roundTrip time.Duration }

func distances(o options) (list []variant) {
	for _, d := range []time.Duration{0, time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond} {
		list = append(list, variant{
			title:  fmt.Sprintf("%d ms", d.Milliseconds()),
			entry:  entry{contestant: contestant{name: invoicerName, guess: 1000, open: farAway{d}.open}, setting: o.common},
			source: always(fiveLines),
		})
	}
	return list
}

func (f farAway) open(ctx context.Context, b *bench, s setting, schema string) (*system, error) {
	database, err := pgx.ParseConfig(b.databaseURL)
	if err != nil {
		return nil, err
	}
	network, address := pgNetwork(database)
	toDatabase, err := delay(ctx, network, address, f.roundTrip/2)
	if err != nil {
		return nil, err
	}
	redisURL, err := url.Parse(b.redisURL)
	if err != nil {
		return nil, err
	}
	network, address = "tcp", redisURL.Host
	if redisURL.Scheme == "unix" {
		network, address = "unix", redisURL.Path
		redisURL.Scheme, redisURL.Path = "redis", "/"+redisURL.Query().Get("db")
		redisURL.RawQuery = ""
	}
	toRedis, err := delay(ctx, network, address, f.roundTrip/2)
	if err != nil {
		toDatabase.close()
		return nil, err
	}
	far := *b
	far.databaseURL = (&url.URL{
		Scheme: "postgres", User: url.UserPassword(database.User, database.Password), Host: toDatabase.Addr().String(),
		Path: "/" + database.Database, RawQuery: "sslmode=disable",
	}).String()
	redisURL.Host = toRedis.Addr().String()
	far.redisURL = redisURL.String()
	system, err := ours{at: &far}.open(ctx, b, s, schema)
	if err != nil {
		toDatabase.close()
		toRedis.close()
		return nil, err
	}
	closeWorker := system.close
	system.close = func() {
		closeWorker()
		toDatabase.close()
		toRedis.close()
	}
	return system, nil
}

func pgNetwork(c *pgx.ConnConfig) (network, address string) {
	if c.Host[0] == '/' {
		return "unix", fmt.Sprintf("%s/.s.PGSQL.%d", c.Host, c.Port)
	}
	return "tcp", net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
}

// A delayed is a way to a server on which everything arrives later than it was sent, and in its order.
type delayed struct {
	net.Listener

	running sync.WaitGroup
}

func delay(ctx context.Context, network, address string, oneWay time.Duration) (*delayed, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &delayed{Listener: listener}
	d.running.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return // closed
			}
			far, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				near.Close()
				continue
			}
			d.running.Go(func() { carry(near, far, oneWay) })
			d.running.Go(func() { carry(far, near, oneWay) })
		}
	})
	return d, nil
}

// carry takes what comes in at once, however much is under way, and hands each piece out when it is due.
func carry(from, to net.Conn, oneWay time.Duration) {
	type piece struct {
		bytes []byte
		due   time.Time
	}
	under := make(chan piece, 1<<12)
	go func() {
		defer close(under)
		for {
			buffer := make([]byte, 16<<10)
			n, err := from.Read(buffer)
			under <- piece{buffer[:n], time.Now().Add(oneWay)}
			if err != nil {
				return
			}
		}
	}()
	for p := range under {
		if oneWay > 0 {
			time.Sleep(time.Until(p.due))
		}
		if _, err := to.Write(p.bytes); err != nil {
			from.Close() // and what is under way is lost
		}
	}
	from.Close()
	to.Close()
}

// close returns once nothing is carried any more: those who use it must have closed their ends.
func (d *delayed) close() {
	_ = d.Close()
	d.running.Wait()
}
