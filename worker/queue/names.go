package queue

import "regexp"

// NameRule says in words what [IsName] checks.
const NameRule = "a queue's name consists of a-z, 0-9, _ and -"

var nameForm = regexp.MustCompile(`^[a-z0-9_-]+$`)

// IsName reports whether a queue may have that name. asynq's client silently accepts any other name, and its server silently
// ignores such a queue: its tasks would wait for ever.
func IsName(name string) bool { return nameForm.MatchString(name) }
