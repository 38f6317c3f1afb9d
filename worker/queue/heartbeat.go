package queue

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// mostOfPayload is how many bytes of each active task's payload a heartbeat carries. asynq sends whole payloads with each
// heartbeat: 768 jobs of a megabyte would be three quarters of a gigabyte every five seconds. The task itself keeps its
// whole payload, also for asynqmon.
const mostOfPayload = 256

// fieldTaskPayload is the number of the payload's field in asynq's WorkerInfo (v0.26, internal/proto).
const fieldTaskPayload = 6

// shortened returns the arguments of asynq's script that writes a heartbeat (v0.26, internal/rdb, WriteServerState) with the
// payloads cut; it returns any other script's arguments unchanged.
func shortened(keys []string, args []any) []any {
	if !isHeartbeat(keys, args) {
		return args
	}
	short := append([]any(nil), args...)
	for i := 3; i < len(short); i += 2 { // after the expiry and the server follow pairs of an id and a WorkerInfo
		if info, ok := short[i].([]byte); ok {
			short[i] = withoutPayload(info)
		}
	}
	return short
}

// isHeartbeat reports whether a script is asynq's that writes a server's heartbeat and its active tasks.
func isHeartbeat(keys []string, args []any) bool {
	return len(keys) == 2 && strings.HasPrefix(keys[0], serverKeyBegin) && strings.HasPrefix(keys[1], workersKeyBegin) && len(args)%2 == 0
}

// withoutPayload cuts the payload in an encoded WorkerInfo. It returns anything else unchanged.
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
