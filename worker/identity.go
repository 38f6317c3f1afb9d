package worker

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"invoicer/worker/client"
)

// maxJobID is the longest job id in bytes, so that a foreign task id fits a lock's value and an index.
const maxJobID = 255

// dispatched matches the ledger's task ids: a job's id, and the number of the dispatch.
var dispatched = regexp.MustCompile(`(?s)^(.+)\.[1-9][0-9]{0,9}$`)

// JobIDs returns the ids of the jobs that a task may belong to, the likeliest first. There is one, unless the task
// was altered, or has an id that only looks like the ledger's. In that case the task belongs to the first of these
// jobs that the ledger has, or to the last if the ledger has none.
//
// A task of the ledger names its job in its id and in a header. The header may be altered, whereas the ledger looks
// for a task by its id; so the id comes before the header. A task that was enqueued directly is a job under the
// task's own id.
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

// storableID returns an id that both servers can hold. A foreign id may be any that asynq accepts; one that Postgres
// would refuse is replaced by its digest, so that the same id always gives the same job.
func storableID(id string) string {
	if id != "" && len(id) <= maxJobID && strings.ToValidUTF8(id, "") == id && !strings.ContainsRune(id, 0) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// distinctJobID returns an id that distinguishes a job from the one that ended well under the same foreign task id.
func distinctJobID(id string, payload []byte) string {
	sum := sha256.Sum256(payload)
	return id + "#" + hex.EncodeToString(sum[:6])
}
