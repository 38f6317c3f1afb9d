package main

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

// faultyProgram is the name under which the test binary is the program with a fault in it.
const (
	faultyProgram = "invoicer-faulty"
	faultVariable = "FAULT" // point:action:nth, more of them with commas
)

// What a fault does.
const (
	faultError     = "error"     // the point returns an error
	faultPanic     = "panic"     // it panics
	faultKill      = "kill"      // the process kills itself as kill -9 would
	faultStop      = "stop"      // the process stops until somebody lets it go on
	faultLostReply = "lostreply" // the next reply that matters is lost, and its connection
)

var (
	faultPoints = []fault.Point{
		fault.Claimed, fault.Relayed, fault.Held, fault.Locked, fault.Numbered, fault.Written, fault.Committed, fault.Finished, fault.Recorded,
	}
	faultActions = []string{faultError, faultPanic, faultKill, faultStop, faultLostReply}
)

// An order says what goes wrong, where, and at which passage of the process.
type order struct {
	point  fault.Point
	action string
	nth    int
}

func (o order) String() string { return fmt.Sprintf("%s:%s:%d", o.point, o.action, o.nth) }

// done is what the process says on stderr before it acts.
func (o order) done() string { return "fault: " + o.String() }

// dropped is what it says when a reply was lost.
func (o order) dropped() string { return "fault: the reply is lost after " + o.String() }

func parseOrders(text string) ([]order, error) {
	var orders []order
	for one := range strings.SplitSeq(text, ",") {
		parts := strings.Split(one, ":")
		if len(parts) != 3 {
			return nil, fmt.Errorf("%s: %q is not of the form point:action:nth", faultVariable, one)
		}
		nth, err := strconv.Atoi(parts[2])
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", faultVariable, one, err)
		}
		orders = append(orders, order{fault.Point(parts[0]), parts[1], nth})
	}
	return orders, nil
}

// faultyMain is main with faults.
func faultyMain() {
	orders, err := parseOrders(os.Getenv(faultVariable))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitUsage)
	}
	ctx := context.Background()
	f := &faults{orders: orders, passed: make(map[fault.Point]int)}
	environ, err := f.listen(ctx, os.Environ())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitFailed)
	}
	os.Exit(app{environ: environ, fault: f.hit}.run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// faults carries orders out.
type faults struct {
	orders []order

	mu       sync.Mutex
	passed   map[fault.Point]int
	postgres needle
	redis    needle
}

var errOrdered = errors.New("ordered by the test")

func (f *faults) hit(_ context.Context, p fault.Point) error {
	f.mu.Lock()
	f.passed[p]++
	n := f.passed[p]
	f.mu.Unlock()
	for _, o := range f.orders {
		if o.point == p && o.nth == n {
			return f.act(o)
		}
	}
	return nil
}

func (f *faults) act(o order) error {
	if o.action == faultLostReply {
		f.arm(o)
	}
	fmt.Fprintln(os.Stderr, o.done())
	switch o.action {
	case faultError:
		return errOrdered
	case faultPanic:
		panic(errOrdered)
	case faultKill:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // nobody is left to be told
		select {}
	case faultStop:
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
	order order
}

// arm chooses the reply that matters at a point: what the process does next, it has to find out about.
func (f *faults) arm(o order) {
	f.mu.Lock()
	defer f.mu.Unlock()
	of, text := &f.postgres, ""
	switch o.point {
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

func (f *faults) match(n *needle) func([]byte) bool {
	return func(request []byte) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !n.armed || !bytes.Contains(request, n.text) {
			return false
		}
		n.armed = false
		fmt.Fprintln(os.Stderr, n.order.dropped())
		return true
	}
}

// listen puts a proxy between this process and each server, where an order needs one.
func (f *faults) listen(ctx context.Context, environ []string) ([]string, error) {
	needed := false
	for _, o := range f.orders {
		needed = needed || o.action == faultLostReply
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
