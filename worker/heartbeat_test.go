package worker_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hibiken/asynq"

	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/invoice"
)

// A heartbeat names each job in hand, and carries the beginning of its payload only; the task keeps all of it.
func TestHeartbeatsAreSmall(t *testing.T) {
	t.Parallel()
	const size = 500_000
	b := setup(t)
	inHand := rig.NewGate(fault.Locked)
	w := b.start(t, "w1", withGate(inHand))
	id := b.enqueue(t, job("T1", func(j *invoice.Job) { j.Metadata = map[string]string{"note": strings.Repeat("é", size/2)} }))
	inHand.Await(t)
	whole, err := b.Inspector.GetTaskInfo(b.Queue, id)
	if err != nil {
		t.Fatal(err)
	}
	var said *asynq.WorkerInfo
	rig.Eventually(t, "the heartbeat that names the job", func() bool {
		servers, err := b.Inspector.Servers()
		if err != nil {
			t.Fatal(err)
		}
		for _, server := range servers {
			for _, one := range server.ActiveWorkers {
				if one.TaskID == id {
					said = one
				}
			}
		}
		return said != nil
	})
	if said.Queue != b.Queue || said.TaskType != whole.Type || said.Started.IsZero() || said.Deadline.IsZero() {
		t.Errorf("the heartbeat says %+v", said)
	}
	begin, _ := bytes.CutSuffix(said.TaskPayload, []byte("…"))
	if len(whole.Payload) < size || len(begin) == 0 || len(begin) > 256 || !bytes.HasPrefix(whole.Payload, begin) {
		t.Errorf("the heartbeat has %d bytes of a payload of %d: %.300q", len(said.TaskPayload), len(whole.Payload), said.TaskPayload)
	}
	inHand.Open()
	if e := w.ended(t); e.Outcome != invoice.Created {
		t.Errorf("ended as %s", e.Outcome)
	}
}
