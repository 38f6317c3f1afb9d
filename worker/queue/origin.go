package queue

import (
	"errors"

	"invoicer/worker/client"
)

// An origin is what a task's message says about where the task comes from.
type origin struct {
	jobID        string // of the ledger's job; "" for a job that was enqueued directly
	installation string // "" if an earlier release has enqueued the task
}

// readOrigin decodes a task's message.
func readOrigin(encoded string) (o origin, err error) {
	if encoded == "" {
		return o, errors.New("the message is empty")
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
