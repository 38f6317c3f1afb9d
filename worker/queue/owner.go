package queue

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"invoicer/invoice/ledger"
)

// deadAfter is after how long without a renewal an owner counts as dead.
const deadAfter = 3 * time.Second

// An Installation is a database and a schema, with the workers on them.
type Installation struct {
	ID       string // the database's identity, which its copies have as well
	Database string // the database's address and name, for people
	Schema   string
}

// An Owner is Redis's record of the installation that a queue belongs to.
type Owner struct {
	Installation
	Nonce    string        // the owner's newest nonce in Redis
	Worker   string        // the process that has renewed the claim last
	Since    int64         // when the owner claimed the queue, in milliseconds by Redis's clock
	LastSeen time.Duration // how long ago the claim was renewed, by Redis's clock
	GivenUp  bool          // its last worker has given the queue up
	Workers  int           // how many workers have renewed the claim lately

	signature string // changes with every renewal; "" if there is no owner
}

// Exists reports whether there is an owner, alive or dead.
func (o Owner) Exists() bool { return o.signature != "" }

// Alive reports whether the owner has renewed its claim within the last three seconds, by Redis's clock.
func (o Owner) Alive() bool { return o.Exists() && !o.GivenUp && o.LastSeen < deadAfter }

// Tasks are how many tasks a queue has.
type Tasks struct {
	Waiting  int64 // for a worker, or until they are due
	Active   int64 // fetched by a worker
	Archived int64
}

// None reports whether a queue has no tasks other than completed ones.
func (t Tasks) None() bool { return t == Tasks{} }

// A Standing is the ownership and the size of a queue.
type Standing struct {
	Queue string
	Owner Owner
	Tasks Tasks
}

// Refuse returns a [*TakenError] if the queue belongs to another installation than the one of these nonces. It returns nil if
// the queue is that installation's own, has no owner, or was given up by its owner without any tasks left.
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

// A TakenError means that queues belong to another installation.
type TakenError struct {
	Queues []string
	Owner  Owner
	Copy   bool  // the owner's database has the same identity: one of the two databases is a copy of the other
	Tasks  Tasks // of the first of the queues
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

// printable makes one short line of a text from Redis, which may have any content.
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

// number parses a number from Redis; it returns 0 for any other text.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
