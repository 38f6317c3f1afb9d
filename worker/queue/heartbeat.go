package queue

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// mostOfPayload is how many bytes of each payload in hand a heartbeat carries. asynq puts all of them into each: 768 jobs
// of a megabyte would be three quarters of a gigabyte every five seconds. The task itself keeps its whole payload, for
// asynqmon too.
const mostOfPayload = 256

// fieldTaskPayload is the payload in what asynq writes of a job in hand (v0.26, internal/proto, WorkerInfo).
const fieldTaskPayload = 6

// shortened are the arguments of asynq's script that writes a heartbeat (v0.26, internal/rdb, WriteServerState), with the
// payloads cut; those of any other script are returned as they are.
func shortened(keys []string, args []any) []any {
	if !isHeartbeat(keys, args) {
		return args
	}
	short := append([]any(nil), args...)
	for i := 3; i < len(short); i += 2 { // after the expiry and the server come pairs of an id and a job in hand
		if info, ok := short[i].([]byte); ok {
			short[i] = withoutPayload(info)
		}
	}
	return short
}

// isHeartbeat knows asynq's script that writes a heartbeat: of the server, and of what it has in hand.
func isHeartbeat(keys []string, args []any) bool {
	return len(keys) == 2 && strings.HasPrefix(keys[0], serverKeyBegin) && strings.HasPrefix(keys[1], workersKeyBegin) && len(args)%2 == 0
}

// withoutPayload cuts the payload of an encoded job in hand. What isn't one stays as it is.
func withoutPayload(encoded []byte) []byte {
	if len(encoded) <= mostOfPayload {
		return encoded
	}
	short := make([]byte, 0, 2*mostOfPayload)
	for left := string(encoded); left != ""; {
		before := left
		f, err := nextField(&left)
		if err != nil {
			return encoded
		}
		if f.number != fieldTaskPayload || f.kind != protowire.BytesType || len(f.bytes) <= mostOfPayload {
			short = append(short, before[:len(before)-len(left)]...)
			continue
		}
		short = protowire.AppendTag(short, fieldTaskPayload, protowire.BytesType)
		short = protowire.AppendString(short, strings.ToValidUTF8(f.bytes[:mostOfPayload], "")+"…")
	}
	return short
}
