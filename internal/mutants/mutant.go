package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A mutant is the product with one mistake in it.
type mutant struct {
	name    string
	promise promise // which it breaks
	hazard  hazard  // to which it gives way; "" for none in particular
	changes []change

	in    string   // the package whose tests catch it
	tests []string // of them, those that do, as go test names them: TestLocker/single/extend

	// hangs: that the tests don't end within a minute counts as well, as it does where jobs are lost.
	hangs bool
}

// A change puts a new text in the place of an old one, which occurs exactly once.
type change struct{ file, old, new string }

// A promise is one of the README's, by its number.
type promise int

const (
	one promise = 1 + iota
	noneLost
	gapless
	classified
	onlyTheHolder
	recovers
	immutable
	discreet
	apart
	lastPromise = apart
)

func (p promise) String() string {
	names := []string{"", "one", "none lost", "gapless", "classified", "only the holder", "it recovers", "immutable", "discreet", "apart"}
	return fmt.Sprintf("%d %s", int(p), names[p])
}

// A hazard is something that goes wrong by itself, and that the code has to cope with.
type hazard string

const (
	pausedWorker      hazard = "a worker pauses for longer than its lock lasts"
	crashAfterLocking hazard = "a crash between setting a lock and its expiry"
	lostReplyToSet    hazard = "the reply to SET is lost"
	winnerFails       hazard = "the winner fails after others lost to it"
	killed            hazard = "kill -9 at any step"
	lostCommit        hazard = "the reply to COMMIT is lost"
	burntNumber       hazard = "a conflict or rollback uses up a number"
	pausedCounter     hazard = "the holder of the counter pauses"
	blindConflict     hazard = "ON CONFLICT DO NOTHING without a target"
	sameKey           hazard = "same key or transaction, other content"
	failover          hazard = "Redis fails over, or is restarted from an old state"
	flushed           hazard = "Redis forgets everything"
	evicted           hazard = "Redis evicts keys"
	halfForgotten     hazard = "Redis loses a part of a queue's keys, or has some that nobody of us wrote"
	lostLease         hazard = "the queue's lease is lost, and two runs overlap"
	lostAck           hazard = "the acknowledgement is lost"
	lostEnqueue       hazard = "the reply to enqueue is lost"
	shutdown          hazard = "shutdown in mid-work"
	undecodable       hazard = "an undecodable message stops the queue's own recovery"
	retriesUsedUp     hazard = "retries are used up, and the archive trims silently"
	oldSnapshot       hazard = "a statement waits for the counter with an old snapshot"
	badText           hazard = "bad UTF-8 or U+0000 in a payload"
	restored          hazard = "Postgres is restored, Redis isn't"
	storm             hazard = "one transaction thousands of times"
	redisDown         hazard = "Redis is down"
	postgresDown      hazard = "Postgres is down, or its disk is full"
	redisRefuses      hazard = "Redis is full, or refuses commands and scripts, while PING is well"
	postgresRefuses   hazard = "the database is read-only, a right or a table is missing, or no commit is confirmed, while it answers"
	slowVisitors      hazard = "visitors hold connections open without asking"
	rebinding         hazard = "a foreign page, or a proxy, reaches what is for this machine only"
	heldRow           hazard = "somebody holds a row or a lock for long"
	cutOffStandby     hazard = "the wait for a standby is cancelled"
	otherSlot         hazard = "the keys of a script are in two slots of a cluster"
	pooler            hazard = "a pooler drops what a session asks for, and gives each transaction another one"
	wrongClock        hazard = "a clock is wrong, or is set"
	forgedEntry       hazard = "somebody writes locks and done entries"
	sharedRedis       hazard = "two installations share a Redis"
	copied            hazard = "a copy of a database is started beside it"
	anOwner           hazard = "an owner of the tables changes an invoice, and every hash with it"
	lies              hazard = "Redis says of a job something else than was accepted"
	dismissedRuns     hazard = "somebody runs what was dismissed"
	twoTables         hazard = "two tables share no unique constraint"
	foundUnreplicated hazard = "what is found was committed on the primary alone"
)

// hazards are all of them. One that is known besides has no code to be broken: NOTIFY in the callers' transactions, in
// whose place the relay polls.
func hazards() []hazard {
	return []hazard{
		pausedWorker, crashAfterLocking, lostReplyToSet, winnerFails, killed, lostCommit, burntNumber, pausedCounter,
		blindConflict, sameKey, failover, flushed, evicted, halfForgotten, lostLease, lostAck, lostEnqueue, shutdown, undecodable,
		retriesUsedUp, oldSnapshot, badText, restored, storm, redisDown, postgresDown, redisRefuses, postgresRefuses, slowVisitors, rebinding, otherSlot,
		wrongClock, forgedEntry, sharedRedis, copied, pooler, lies, anOwner, dismissedRuns, foundUnreplicated, heldRow, cutOffStandby, twoTables,
	}
}

func mutants() []mutant {
	return slices.Concat(ofLocking(), ofDomain(), ofStore(), ofWorker(), ofClocks(), ofLedger(), ofDoor(), ofEnds(), ofQueue(), ofOwners(), ofProgram(), ofReadiness(), ofListener(), ofOperating(), ofPooler(), ofSeeing(), ofSeries(), ofSettings(), ofChain(), ofIssuers(), ofIssuersRecords(), ofCredits(), ofLimitedVisitors(), ofAmounts(), ofTerms(), ofRoles(), ofGiven(), ofDiffs(), ofWitness(), ofErasing(), ofEvents(), ofTheAPI(), ofDocuments(), ofHandovers())
}

// apply returns the files that a mutant changes, as they are after it.
func (m *mutant) apply(root string) (map[string][]byte, error) {
	files := make(map[string][]byte)
	for _, c := range m.changes {
		content, ok := files[c.file]
		if !ok {
			var err error
			if content, err = os.ReadFile(filepath.Join(root, filepath.FromSlash(c.file))); err != nil {
				return nil, err
			}
		}
		// What takes a migration back has the text of before.
		forth, _, _ := strings.Cut(string(content), "\n-- +goose Down\n")
		if n := strings.Count(forth, c.old); n != 1 || c.old == c.new {
			return nil, fmt.Errorf("it doesn't fit the code any more: %s has the old text %d times, and must have it once:\n%s", c.file, n, c.old)
		}
		files[c.file] = []byte(strings.Replace(string(content), c.old, c.new, 1))
	}
	return files, nil
}
