package queue

import "regexp"

// NameRule says in words what [IsName] checks.
const NameRule = "a queue's name consists of a-z, 0-9, _ and -"

var nameForm = regexp.MustCompile(`^[a-z0-9_-]+$`)

// IsName tells whether a queue may be called so. asynq takes any other name without a word, and a server drops it as
// silently: its tasks would wait for ever.
func IsName(name string) bool { return nameForm.MatchString(name) }
