package queue

import (
	"slices"
	"strings"
)

// asynq puts most errors of Redis into words: its log lines and many of its own errors keep nothing that errors.Is or
// errors.As could find. Here alone its texts are read. TestSignsInWhatAsynqLogs notices a version that words them otherwise.

// TellsOfConnection reports whether a text by asynq or go-redis says that a server wasn't reached, or has hung up.
func TellsOfConnection(text string) bool {
	return slices.ContainsFunc([]string{"dial ", "EOF", "connection re", "broken pipe", "i/o timeout", "connection pool"},
		func(sign string) bool { return strings.Contains(text, sign) })
}

// RefusalIn returns the word with which Redis has refused something for now, or for want of a right: OOM, NOPERM. It is ""
// if the text has none.
func RefusalIn(text string) string {
	if strings.Contains(text, "executing the script can't") { // as Redis says inside a script, in place of NOPERM
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

// isOfRecoverer reports whether a log line is of the part of asynq that looks for what crashed workers left behind.
func isOfRecoverer(line string) bool { return strings.HasPrefix(line, "recoverer:") }

// tellsOfOutage reports whether a log line of asynq's complains about a Redis that is away, or that refuses what every job
// needs. That jobs can't be cancelled, which nobody here does, is no outage.
func tellsOfOutage(line string) bool {
	return !strings.Contains(line, "subscribe") &&
		(TellsOfConnection(line) || RefusalIn(line) != "" || strings.Contains(line, "deadline exceeded"))
}
