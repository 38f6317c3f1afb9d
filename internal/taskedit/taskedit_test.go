package taskedit_test

import (
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/taskedit"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// What asynq reads afterwards is what was altered, and otherwise as it was.
func TestAlter(t *testing.T) {
	t.Parallel()
	rdb := rig.Connect(t, sandboxtest.Redis(t))
	task := asynq.NewTaskWithHeaders("kind", []byte("content"), map[string]string{"a": "1", "b": "2"})
	_, err := asynq.NewClientFromRedisClient(rdb).EnqueueContext(t.Context(), task, asynq.Queue("taskedit"), asynq.TaskID("id"),
		asynq.MaxRetry(7), asynq.Retention(time.Hour), asynq.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	err = taskedit.Alter(t.Context(), rdb, "taskedit", "id", func(task *taskedit.Task) {
		if task.Retry != 7 || task.Timeout != 60 || len(task.Headers) != 2 {
			t.Errorf("read as %+v", task)
		}
		task.Payload, task.Retried = []byte("other"), -3
		delete(task.Headers, "a")
	})
	if err != nil {
		t.Fatal(err)
	}
	info, err := asynq.NewInspectorFromRedisClient(rdb).GetTaskInfo("taskedit", "id")
	if err != nil {
		t.Fatal(err)
	}
	if info.Type != "kind" || string(info.Payload) != "other" || info.MaxRetry != 7 || info.Retried != -3 || info.Retention != time.Hour ||
		info.Timeout != time.Minute || len(info.Headers) != 1 || info.Headers["b"] != "2" {
		t.Errorf("asynq reads %+v", info)
	}
}
