package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/dropproxy"
	"invoicer/internal/fault"
)

// Faults carry a process's orders out.
type Faults struct {
	orders []Order

	mu       sync.Mutex
	passed   map[fault.Point]int
	postgres needle
	redis    needle
}

// NewFaults returns faults that carry out the orders.
func NewFaults(orders []Order) *Faults {
	return &Faults{orders: orders, passed: make(map[fault.Point]int)}
}

var errOrdered = errors.New("ordered by the test")

// Hit is a [fault.Hook].
func (f *Faults) Hit(_ context.Context, p fault.Point) error {
	f.mu.Lock()
	f.passed[p]++
	n := f.passed[p]
	f.mu.Unlock()
	for _, o := range f.orders {
		if o.Point == p && o.Nth == n {
			return f.act(o)
		}
	}
	return nil
}

func (f *Faults) act(o Order) error {
	if o.Action == LostReply {
		f.arm(o)
	}
	fmt.Fprintln(os.Stderr, o.Done())
	switch o.Action {
	case Error:
		return errOrdered
	case Panic:
		panic(errOrdered) //nolint:forbidigo // that is the fault
	case Kill:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // nobody is left to be told
		select {}
	case Stop:
		goOn := make(chan os.Signal, 1)
		signal.Notify(goOn, syscall.SIGCONT)
		defer signal.Stop(goOn)
		if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
			return err
		}
		<-goOn // so that nothing happens between the signal and its effect
	}
	return nil
}

// A needle is a piece of the next request whose reply is to be lost.
type needle struct {
	armed bool
	text  []byte
	order Order
}

// arm chooses the reply that matters at a point: what the process does next, it has to find out about.
func (f *Faults) arm(o Order) {
	f.mu.Lock()
	defer f.mu.Unlock()
	of, text := &f.postgres, ""
	switch o.Point {
	case fault.Claimed: // the enqueueing of a job
		of, text = &f.redis, "invoice:generate"
	case fault.Locked: // the beginning of the transaction
		text = "begin"
	case fault.Written:
		text = "commit"
	case fault.Committed: // the script that frees the lock and stores the done entry
		of, text = &f.redis, "fingerprint"
	case fault.Recorded: // the acknowledgement
		of, text = &f.redis, ":processed:"
	case fault.Held: // the next asking
		of, text = &f.redis, "lock:{"
	default: // relayed, numbered, finished: whatever comes next
	}
	*of = needle{armed: true, text: []byte(text), order: o}
}

func (f *Faults) match(n *needle) func([]byte) bool {
	return func(request []byte) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !n.armed || !bytes.Contains(request, n.text) {
			return false
		}
		n.armed = false
		fmt.Fprintln(os.Stderr, n.order.Dropped())
		return true
	}
}

// Listen puts a proxy between this process and each server, where an order needs one, and returns the environment in which it is used.
func (f *Faults) Listen(ctx context.Context, environ []string) ([]string, error) {
	needed := false
	for _, o := range f.orders {
		needed = needed || o.Action == LostReply
	}
	if !needed {
		return environ, nil
	}
	config, err := pgx.ParseConfig(os.Getenv("INVOICER_DATABASE_URL"))
	if err != nil {
		return nil, err
	}
	network, address := pgNetwork(config)
	database, err := dropproxy.Listen(ctx, network, address, f.match(&f.postgres))
	if err != nil {
		return nil, err
	}
	o, err := redis.ParseURL(os.Getenv("INVOICER_REDIS_URL"))
	if err != nil {
		return nil, err
	}
	queue, err := dropproxy.Listen(ctx, o.Network, o.Addr, f.match(&f.redis))
	if err != nil {
		return nil, err
	}
	databaseURL := url.URL{
		Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Host: database.Addr(), Path: "/" + config.Database,
		RawQuery: "sslmode=disable",
	}
	redisURL := url.URL{Scheme: "redis", Host: queue.Addr(), Path: "/" + strconv.Itoa(o.DB)}
	if o.Password != "" {
		redisURL.User = url.UserPassword(o.Username, o.Password)
	}
	return append(environ, "INVOICER_DATABASE_URL="+databaseURL.String(), "INVOICER_REDIS_URL="+redisURL.String()), nil
}

func pgNetwork(config *pgx.ConnConfig) (network, address string) {
	if strings.HasPrefix(config.Host, "/") {
		return "unix", fmt.Sprintf("%s/.s.PGSQL.%d", config.Host, config.Port)
	}
	return "tcp", net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
}
