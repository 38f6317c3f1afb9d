package queue

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"

	"invoicer/worker/client"
)

// An origin is what says whose a task is, of asynq's own message.
type origin struct {
	jobID        string // of a ledger's job; "" for one that was enqueued directly
	installation string // "" where an earlier release put it there
}

// The numbers of asynq's TaskMessage (v0.26, internal/proto) and of an entry of a map.
const (
	headersField = 15
	keyField     = 1
	valueField   = 2
)

// readOrigin reads a task's message.
func readOrigin(raw []byte) (m origin, err error) {
	err = eachField(raw, func(number protowire.Number, value []byte) error {
		if number != headersField {
			return nil
		}
		var key, text string
		err := eachField(value, func(number protowire.Number, value []byte) error {
			switch number {
			case keyField:
				key = string(value)
			case valueField:
				text = string(value)
			default: // a map's entry has no other field
			}
			return nil
		})
		switch key {
		case client.JobIDHeader:
			m.jobID = text
		case client.InstallationHeader:
			m.installation = text
		}
		return err
	})
	if err == nil && len(raw) == 0 {
		err = errors.New("it is empty")
	}
	return m, err
}

// eachField calls f for each field of a message that has bytes.
func eachField(raw []byte, f func(protowire.Number, []byte) error) error {
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return protowire.ParseError(n)
		}
		raw = raw[n:]
		if n = protowire.ConsumeFieldValue(number, kind, raw); n < 0 {
			return protowire.ParseError(n)
		}
		if kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(raw)
			if err := f(number, value); err != nil {
				return err
			}
		}
		raw = raw[n:]
	}
	return nil
}
