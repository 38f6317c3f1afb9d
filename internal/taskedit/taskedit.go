// Package taskedit alters tasks that wait in Redis, as any user with write access can. It is for tests.
package taskedit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// The fields of asynq's task message (v0.26, internal/proto/asynq.proto).
const (
	typeField     = 1
	payloadField  = 2
	retryField    = 5
	retriedField  = 6
	timeoutField  = 8
	deadlineField = 9
	headersField  = 15
)

// A Task is a task's message. What isn't named here stays as it is.
type Task struct {
	Type              string
	Payload           []byte
	Retry, Retried    int64 // how often it may be retried, and how often it was
	Timeout, Deadline int64 // in seconds, and in Unix seconds
	Headers           map[string]string

	rest []byte // the other fields
}

// replace puts a message in the place of the one that was read, so that no task is made where there is none any more.
var replace = redis.NewScript(`
if redis.call("HGET", KEYS[1], "msg") ~= ARGV[1] then
	return redis.error_reply("the task has changed")
end
return redis.call("HSET", KEYS[1], "msg", ARGV[2])`)

// Alter changes a task in its place. It is an error if the task isn't there, or changes at the same time.
func Alter(ctx context.Context, rdb redis.UniversalClient, queue, taskID string, change func(*Task)) error {
	key := Key(queue, taskID)
	message, err := rdb.HGet(ctx, key, "msg").Bytes()
	if err != nil {
		return fmt.Errorf("task %s: %w", taskID, err)
	}
	task, err := decode(message)
	if err != nil {
		return fmt.Errorf("task %s: %w", taskID, err)
	}
	change(task)
	return replace.Run(ctx, rdb, []string{key}, message, task.encode()).Err()
}

// Key is where Redis has a task.
func Key(queue, taskID string) string { return "asynq:{" + queue + "}:t:" + taskID }

var errNoMessage = errors.New("this is no task message")

// A field is one of a message: a number, or bytes.
type field struct {
	id     uint64
	number uint64
	bytes  []byte
	whole  []byte
}

func next(message []byte) (f field, rest []byte, err error) {
	tag, n := binary.Uvarint(message)
	if n <= 0 {
		return f, nil, errNoMessage
	}
	f.id, rest = tag>>3, message[n:]
	value, m := binary.Uvarint(rest)
	if m <= 0 {
		return f, nil, errNoMessage
	}
	rest = rest[m:]
	switch tag & 7 {
	case 0:
		f.number = value
	case 2:
		if value > uint64(len(rest)) {
			return f, nil, errNoMessage
		}
		f.bytes, rest = rest[:value:value], rest[value:]
	default:
		return f, nil, errNoMessage
	}
	f.whole = message[:len(message)-len(rest)]
	return f, rest, nil
}

func decode(message []byte) (*Task, error) {
	t := &Task{Headers: make(map[string]string)}
	for len(message) > 0 {
		f, rest, err := next(message)
		if err != nil {
			return nil, err
		}
		message = rest
		switch f.id {
		case typeField:
			t.Type = string(f.bytes)
		case payloadField:
			t.Payload = f.bytes
		case retryField:
			t.Retry = int64(f.number)
		case retriedField:
			t.Retried = int64(f.number)
		case timeoutField:
			t.Timeout = int64(f.number)
		case deadlineField:
			t.Deadline = int64(f.number)
		case headersField:
			key, rest, err := next(f.bytes)
			if err != nil {
				return nil, err
			}
			value, _, err := next(rest)
			if err != nil {
				return nil, err
			}
			t.Headers[string(key.bytes)] = string(value.bytes)
		default:
			t.rest = append(t.rest, f.whole...)
		}
	}
	return t, nil
}

func (t *Task) encode() []byte {
	message := append([]byte(nil), t.rest...)
	message = appendBytes(message, typeField, []byte(t.Type))
	message = appendBytes(message, payloadField, t.Payload)
	for id, n := range map[uint64]int64{retryField: t.Retry, retriedField: t.Retried, timeoutField: t.Timeout, deadlineField: t.Deadline} {
		message = binary.AppendUvarint(message, id<<3)
		message = binary.AppendUvarint(message, uint64(n))
	}
	for key, value := range t.Headers {
		message = appendBytes(message, headersField, appendBytes(appendBytes(nil, 1, []byte(key)), 2, []byte(value)))
	}
	return message
}

func appendBytes(to []byte, id uint64, value []byte) []byte {
	to = binary.AppendUvarint(to, id<<3|2)
	to = binary.AppendUvarint(to, uint64(len(value)))
	return append(to, value...)
}
