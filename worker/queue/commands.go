package queue

// A shape identifies one of asynq's scripts: by how many keys it has, and of what kind the first and the fourth (or the
// last) key are.
type shape struct {
	keys          int
	first, fourth string
}

// shapeOf returns a script's shape, and the prefix of all keys of its queue: "" if it is about no queue.
func shapeOf(keys []string) (prefix string, s shape) {
	if len(keys) == 0 {
		return "", shape{}
	}
	prefix, first := kindOf(keys[0])
	_, fourth := kindOf(keys[min(3, len(keys)-1)])
	return prefix, shape{len(keys), first, fourth}
}

// A command describes the arguments and keys of a script.
type command struct {
	// The indexes of the arguments that are times: in Unix seconds, and in Unix nanoseconds.
	seconds, nanoseconds []int
	// ends are the indexes of the keys of the task that the script ends, of the list of active tasks and of the leases; nil
	// for a script that ends none. A script that retries a task or puts it back doesn't end it.
	ends *[3]int
}

// asynqCommands lists asynq v0.26's scripts that have a time among their arguments (internal/rdb), as all scripts that end a
// task do. The first argument of those is the task's id.
func asynqCommands() map[shape]command {
	var (
		done     = command{seconds: []int{1}, ends: &[3]int{2, 0, 1}}    // when statistics expire
		complete = command{seconds: []int{1, 2}, ends: &[3]int{3, 0, 1}} // when statistics and the task expire
		forward  = command{seconds: []int{0}, nanoseconds: []int{2}}
		now      = command{seconds: []int{0}}
	)
	return map[shape]command{
		{4, "pending", "lease"}:                     {seconds: []int{0}}, // a fetch: the lease's end
		{5, "active", "processed"}:                  done,
		{6, "active", "processed"}:                  done,
		{6, "active", "t"}:                          complete,
		{7, "active", "t"}:                          complete,
		{8, "t", "retry"}:                           {seconds: []int{2, 3}},                            // when to try again
		{9, "t", "archived"}:                        {seconds: []int{2, 3, 5}, ends: &[3]int{0, 1, 2}}, // now, and what is too old to keep
		{2, "retry", "pending"}:                     forward,
		{2, "scheduled", "pending"}:                 forward,
		{1, "completed", "completed"}:               now,
		{1, "lease", "lease"}:                       now,
		{1, "aggregation_sets", "aggregation_sets"}: now,
	}
}

// endOf returns the keys of the task that a script ends, of the active tasks and of the leases; "" for a script that ends none.
func endOf(keys []string) (task, active, lease string) {
	_, form := shapeOf(keys)
	at := asynqCommands()[form].ends
	if at == nil {
		return "", "", ""
	}
	return keys[at[0]], keys[at[1]], keys[at[2]]
}
