//go:build unix

package main

import "syscall"

// descriptors is how many files and connections this process may have open, or 0 if nobody knows. Go has raised the limit
// to what the system allows at most.
func descriptors() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || limit.Cur > 1<<30 {
		return 0
	}
	return int(limit.Cur)
}
