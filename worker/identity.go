package worker

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"invoicer/worker/client"
)

// maxJobID keeps a foreign task id small enough for a lock's value and an index.
const maxJobID = 255

// dispatched is what the ledger's task ids look like: a job's id, and which dispatch of it the task is.
var dispatched = regexp.MustCompile(`(?s)^(.+)\.[1-9][0-9]{0,9}$`)

// JobIDs are those that a task may be of, the likeliest first. There is one, unless the task was tampered with, or has an id
// that only looks like the ledger's. Then it is of the first that the ledger has, and where it has none, of the last.
//
// A task of the ledger names its job in its id and in a header. Anybody may alter the header, but what the queue has under
// the id is what the ledger put there, or passes for it; so the id goes before the header. A task that was enqueued straight
// into Redis is a job under its own id.
func JobIDs(taskID string, headers map[string]string) []string {
	named := headers[client.JobIDHeader]
	of := ""
	if parts := dispatched.FindStringSubmatch(taskID); parts != nil {
		of = parts[1]
	}
	if named == "" {
		named = taskID
	}
	if of == "" || of == named {
		return []string{storableID(named)}
	}
	return []string{storableID(of), storableID(named)}
}

// storableID is an id that both servers can hold. Foreign ids may be anything that asynq takes; what Postgres would refuse is
// replaced by its digest, so that the identity stays one.
func storableID(id string) string {
	if id != "" && len(id) <= maxJobID && strings.ToValidUTF8(id, "") == id && !strings.ContainsRune(id, 0) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// distinctJobID tells a job from the one that ended well under the same foreign task id.
func distinctJobID(id string, payload []byte) string {
	sum := sha256.Sum256(payload)
	return id + "#" + hex.EncodeToString(sum[:6])
}
