package queue

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"invoicer/invoice/ledger"
)

// deadAfter is for how long an owner may say nothing before it counts as dead.
const deadAfter = 3 * time.Second

// An Installation is a database and a schema, with the workers on them.
type Installation struct {
	ID       string // the database's identity, which its copies have as well
	Database string // where it is and what it is called, for people
	Schema   string
}

// An Owner is what Redis says of the installation that a queue belongs to.
type Owner struct {
	Installation
	Nonce    string // the newest of the owner's that has come to Redis
	Worker   string // the process that has said so last
	Since    int64  // when it claimed the queue, in milliseconds by the server's clock
	LastSeen time.Duration
	GivenUp  bool // its last worker has ended, and said so
	Workers  int  // that have been seen lately

	signature string // changes with everything that an owner says; "" where there is no owner
}

// Exists tells whether there is an owner, be it alive or not.
func (o Owner) Exists() bool { return o.signature != "" }

// Alive tells whether the owner has said something lately, by the server's clock.
func (o Owner) Alive() bool { return o.Exists() && !o.GivenUp && o.LastSeen < deadAfter }

// Tasks are how many tasks a queue has.
type Tasks struct {
	Waiting  int64 // for a worker, or for their time
	Active   int64 // in a worker's hands
	Archived int64
}

// None tells whether a queue has none, beside those that are done.
func (t Tasks) None() bool { return t == Tasks{} }

// A Standing is how things stand with a queue.
type Standing struct {
	Queue string
	Owner Owner
	Tasks Tasks
}

// Refuse returns a [*TakenError] if the queue is another installation's than the one of these nonces, and nil if it is its
// own or nobody's. An installation that has given a queue up, and left no task there, doesn't have it any more.
func (s Standing) Refuse(mine ledger.Nonces) error {
	o := s.Owner
	switch {
	case !o.Exists():
		return nil
	case o.ID == mine.DatabaseID:
		if o.Alive() && !knows(mine, o.Nonce) {
			return &TakenError{Queues: []string{s.Queue}, Owner: o, Copy: true}
		}
		return nil
	case o.GivenUp && s.Tasks.None():
		return nil
	}
	return &TakenError{Queues: []string{s.Queue}, Owner: o, Tasks: s.Tasks}
}

// A TakenError says that queues belong to another installation.
type TakenError struct {
	Queues []string
	Owner  Owner
	Copy   bool  // the owner's database has the same identity: this one is a copy of it, or it of this one
	Tasks  Tasks // that are in the first of the queues
}

func (e *TakenError) Error() string {
	whose := "another installation"
	if e.Copy {
		whose = "another copy of this database"
	}
	left, advice := "", "or, once its workers are stopped, "
	if !e.Owner.Alive() {
		advice = "or "
		if n := e.Tasks.Waiting + e.Tasks.Active + e.Tasks.Archived; n > 0 {
			left = fmt.Sprintf(", with %d tasks left", n)
		}
	}
	return fmt.Sprintf("%s to %s: %s%s; use queues of other names (worker.queues), another Redis database (redis.url), %s%s",
		list(e.Queues), whose, e.Owner, left, advice, takeAdvice(e.Queues))
}

func takeAdvice(queues []string) string {
	if len(queues) == 1 {
		return "`invoicer queue take " + queues[0] + "`"
	}
	return "`invoicer queue take NAME`"
}

func list(queues []string) string {
	if len(queues) == 1 {
		return "queue " + queues[0] + " belongs"
	}
	return "queues " + strings.Join(queues, ", ") + " belong"
}

// String describes the owner in a few words.
func (o Owner) String() string {
	seen := "last seen alive "
	if o.GivenUp {
		seen = "given up "
	}
	return fmt.Sprintf("database %s, schema %s, worker %s, %s", printable(o.Database), printable(o.Schema), printable(o.Worker), seen+ago(o.LastSeen))
}

func ago(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return d.Round(100*time.Millisecond).String() + " ago"
	default:
		return d.Round(time.Second).String() + " ago"
	}
}

// printable keeps what stands in Redis, where anybody may have written it, to one short line.
func printable(text string) string {
	const longest = 128
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return '?'
	}, text)
	if runes := []rune(text); len(runes) > longest {
		text = string(runes[:longest]) + "…"
	}
	if text == "" {
		return "-"
	}
	return text
}

func knows(mine ledger.Nonces, nonce string) bool {
	for _, n := range mine.Latest {
		if n == nonce {
			return true
		}
	}
	return false
}

// number reads a number that anybody may have written; anything else is 0.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
