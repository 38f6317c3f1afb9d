package chaos

import (
	"bytes"
	"math/rand/v2"
	"strings"

	"github.com/google/uuid"

	"invoicer/internal/taskedit"
	"invoicer/worker/client"
)

// Tamper alters a task in one of the ways that there are.
func Tamper(r *rand.Rand, task *taskedit.Task, other Asking, ids []string) {
	switch r.IntN(9) {
	case 0: // an amount
		task.Payload = bytes.Replace(task.Payload, []byte(`"quantity":"`), []byte(`"quantity":"9`), 1)
	case 1: // the content of another job
		task.Payload = other.Payload
	case 2: // another transaction
		task.Payload = bytes.Replace(task.Payload, []byte(`"transaction_id":"`), []byte(`"transaction_id":"x`), 1)
	case 3:
		task.Payload = []byte("garbage")
	case 4:
		task.Payload = []byte(`{"version":99}`)
	case 5:
		clear(task.Headers)
	case 6: // another job's id
		task.Headers[client.JobIDHeader], _, _ = strings.Cut(ids[r.IntN(len(ids))], ".")
	case 7:
		task.Headers[client.JobIDHeader] = uuid.NewString()
	case 8:
		task.Retried = r.Int64N(1000)
	}
}
