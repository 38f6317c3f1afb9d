package queue

import (
	"errors"

	"invoicer/worker/client"
)

// An origin is what a task's message says of whose it is.
type origin struct {
	jobID        string // of a ledger's job; "" for one that was enqueued directly
	installation string // "" where an earlier release put it there
}

// readOrigin reads a task's message.
func readOrigin(encoded string) (o origin, err error) {
	if encoded == "" {
		return o, errors.New("it is empty")
	}
	m, err := parseMessage(encoded)
	if err != nil {
		return o, err
	}
	for _, header := range m.headers {
		switch key, value, _ := parseHeader(header); key {
		case client.JobIDHeader:
			o.jobID = value
		case client.InstallationHeader:
			o.installation = value
		}
	}
	return o, nil
}
