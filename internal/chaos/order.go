// Package chaos plans what goes wrong while invoicer works, and makes it go wrong: in a process at its fault points, in
// Redis with its keys and its tasks. A plan and its jobs are drawn from a seed alone, so that they can be played again. It
// starts no process; tests do, with the program that they test.
package chaos

import (
	"fmt"
	"strconv"
	"strings"

	"invoicer/internal/fault"
)

// Variable is the environment variable that holds a process's orders: point:action:nth, more of them with commas.
const Variable = "FAULT"

// What a fault does.
const (
	Error     = "error"     // the point returns an error
	Panic     = "panic"     // it panics
	Kill      = "kill"      // the process kills itself as kill -9 would
	Stop      = "stop"      // the process stops until somebody lets it go on
	LostReply = "lostreply" // the next reply that matters is lost, and its connection
)

// Points returns the points at which something may go wrong, in a job's order.
func Points() []fault.Point {
	return []fault.Point{
		fault.Claimed, fault.Relayed, fault.Held, fault.Locked, fault.Numbered, fault.Written, fault.Committed, fault.Finished, fault.Recorded,
	}
}

// Actions returns what a fault may do.
func Actions() []string { return []string{Error, Panic, Kill, Stop, LostReply} }

// An Order says what goes wrong, where, and at which passage of the process.
type Order struct {
	Point  fault.Point
	Action string
	Nth    int
}

func (o Order) String() string { return fmt.Sprintf("%s:%s:%d", o.Point, o.Action, o.Nth) }

// Done is what the process says on stderr before it acts.
func (o Order) Done() string { return "fault: " + o.String() }

// Dropped is what it says when a reply was lost.
func (o Order) Dropped() string { return "fault: the reply is lost after " + o.String() }

// ParseOrders reads orders as [Variable] holds them.
func ParseOrders(text string) ([]Order, error) {
	var orders []Order
	for one := range strings.SplitSeq(text, ",") {
		parts := strings.Split(one, ":")
		if len(parts) != 3 {
			return nil, fmt.Errorf("%s: %q is not of the form point:action:nth", Variable, one)
		}
		nth, err := strconv.Atoi(parts[2])
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", Variable, one, err)
		}
		orders = append(orders, Order{fault.Point(parts[0]), parts[1], nth})
	}
	return orders, nil
}

// Relays reports whether the relay passes the point. It has nothing that catches a panic.
func (o Order) Relays() bool { return o.Point == fault.Claimed || o.Point == fault.Relayed }

// Shared reports whether the jobs of all slots may pass the point together, as one.
func (o Order) Shared() bool { return o.Point == fault.Numbered || o.Point == fault.Written }

// Dies reports whether the process ends by it.
func (o Order) Dies() bool { return o.Action == Kill || o.Action == Panic && o.Relays() }
