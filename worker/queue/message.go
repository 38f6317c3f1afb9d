package queue

import (
	"errors"
	"unicode/utf8"

	"github.com/hibiken/asynq"
	"google.golang.org/protobuf/encoding/protowire"
)

// A message is asynq's record of a task (v0.26, internal/proto). Its strings share the encoded message's memory.
type message struct {
	kind, payload, id, queue, lastError string
	maxRetry, retried                   int32
	headers                             []string // encoded
}

// The numbers of the message's fields. Its strings must be valid UTF-8.
const (
	fieldKind, fieldPayload, fieldID, fieldQueue = 1, 2, 3, 4
	fieldRetry, fieldRetried, fieldLastError     = 5, 6, 7
	fieldUniqueKey, fieldGroup, fieldHeaders     = 10, 14, 15
)

var (
	errNoText   = errors.New("the message has a string that isn't valid UTF-8")
	errBadField = errors.New("the message has an invalid field")
)

// parseMessage decodes a message. It fails if asynq couldn't decode it either.
func parseMessage(encoded string) (m message, err error) {
	for left := encoded; left != ""; {
		f, err := nextField(&left)
		if err != nil {
			return message{}, err
		}
		if err := m.take(f); err != nil {
			return message{}, err
		}
	}
	return m, nil
}

// take stores a field. Like asynq, it ignores unknown fields and fields of a wrong wire type.
func (m *message) take(f field) error {
	if f.kind == protowire.VarintType {
		switch int(f.number) {
		case fieldRetry:
			m.maxRetry = int32(f.n)
		case fieldRetried:
			m.retried = int32(f.n)
		}
		return nil
	}
	if f.kind != protowire.BytesType {
		return nil
	}
	var text *string
	switch int(f.number) {
	case fieldPayload:
		m.payload = f.bytes
		return nil
	case fieldHeaders:
		if _, _, err := parseHeader(f.bytes); err != nil {
			return err
		}
		m.headers = append(m.headers, f.bytes)
		return nil
	case fieldKind:
		text = &m.kind
	case fieldID:
		text = &m.id
	case fieldQueue:
		text = &m.queue
	case fieldLastError:
		text = &m.lastError
	case fieldUniqueKey, fieldGroup:
		text = new(string)
	default:
		return nil
	}
	*text = f.bytes
	if !utf8.ValidString(f.bytes) {
		return errNoText
	}
	return nil
}

// parseHeader decodes one entry of the headers: field 1 is its key, and field 2 its value.
func parseHeader(encoded string) (key, value string, err error) {
	for left := encoded; left != ""; {
		f, err := nextField(&left)
		if err != nil {
			return "", "", err
		}
		if f.kind != protowire.BytesType || f.number > 2 {
			continue
		}
		if !utf8.ValidString(f.bytes) {
			return "", "", errNoText
		}
		if f.number == 1 {
			key = f.bytes
		} else {
			value = f.bytes
		}
	}
	return key, value, nil
}

type field struct {
	number protowire.Number
	kind   protowire.Type
	n      uint64 // of a varint
	bytes  string
}

// nextField removes the first field from an encoded message and returns it.
func nextField(left *string) (f field, err error) {
	tag, n := consumeVarint(*left)
	if n < 0 {
		return f, protowire.ParseError(n)
	}
	*left = (*left)[n:]
	f.number, f.kind = protowire.DecodeTag(tag)
	if !f.number.IsValid() {
		return f, errBadField
	}
	switch f.kind {
	case protowire.VarintType:
		f.n, n = consumeVarint(*left)
	case protowire.BytesType:
		var size uint64
		size, n = consumeVarint(*left)
		if n >= 0 && size > uint64(len(*left)-n) {
			return f, errBadField
		}
		if n >= 0 {
			f.bytes = (*left)[n : n+int(size)]
			n += int(size)
		}
	default: // asynq's messages have no such field
		n = protowire.ConsumeFieldValue(f.number, f.kind, []byte(*left))
	}
	if n < 0 {
		return f, protowire.ParseError(n)
	}
	*left = (*left)[n:]
	return f, nil
}

// consumeVarint is [protowire.ConsumeVarint] for a string, without copying the whole string.
func consumeVarint(s string) (v uint64, n int) {
	const longest = 10
	var head [longest]byte
	return protowire.ConsumeVarint(head[:copy(head[:], s)])
}

// ReadTask decodes asynq's message of a task. It fails if asynq couldn't decode it either.
func ReadTask(encoded string) (*asynq.TaskInfo, error) {
	m, err := parseMessage(encoded)
	if err != nil {
		return nil, err
	}
	info := &asynq.TaskInfo{
		ID: m.id, Queue: m.queue, Type: m.kind, Payload: []byte(m.payload), Headers: make(map[string]string, len(m.headers)),
		MaxRetry: int(m.maxRetry), Retried: int(m.retried), LastErr: m.lastError,
	}
	for _, encoded := range m.headers {
		key, value, _ := parseHeader(encoded)
		info.Headers[key] = value
	}
	return info, nil
}
