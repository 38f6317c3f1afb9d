package queue

import (
	"slices"
	"strings"
)

// asynq turns most errors of Redis into text: its log lines and many of its own errors wrap no error that errors.Is or
// errors.As could find. Only this file interprets its texts. TestSignsInWhatAsynqLogs fails if a version words them otherwise.

// MeansConnectionLost reports whether a text by asynq or go-redis says that a server wasn't reached, or closed the connection.
func MeansConnectionLost(text string) bool {
	return slices.ContainsFunc([]string{"dial ", "EOF", "connection re", "broken pipe", "i/o timeout", "connection pool"},
		func(sign string) bool { return strings.Contains(text, sign) })
}

// RefusalIn returns the code of Redis's error in a text by which Redis refuses a command temporarily or for want of a right,
// such as OOM or NOPERM. It returns "" if the text has no such code.
func RefusalIn(text string) string {
	if strings.Contains(text, "executing the script can't") { // Redis's words for NOPERM inside a script
		return "NOPERM"
	}
	for _, word := range []string{
		"NOPERM", "OOM", "MISCONF", "READONLY", "NOREPLICAS", "NOAUTH", "WRONGPASS", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN",
	} {
		if strings.HasPrefix(text, word+" ") || strings.Contains(text, " "+word+" ") {
			return word
		}
	}
	return ""
}

// isOfRecoverer reports whether a log line is from asynq's recoverer, which looks for crashed workers' tasks.
func isOfRecoverer(line string) bool { return strings.HasPrefix(line, "recoverer:") }

// meansOutage reports whether a log line of asynq's says that Redis can't be reached, or refuses a command that every job
// needs. A failed subscription isn't an outage: it is only needed to cancel jobs, which this program never does.
func meansOutage(line string) bool {
	return !strings.Contains(line, "subscribe") &&
		(MeansConnectionLost(line) || RefusalIn(line) != "" || strings.Contains(line, "deadline exceeded"))
}
