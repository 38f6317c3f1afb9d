//go:build unix

package main

import "syscall"

// descriptors returns the number of files and connections that this process may have open, or 0 if that isn't known. Go
// has raised the soft limit to the hard limit.
func descriptors() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || limit.Cur > 1<<30 {
		return 0
	}
	return int(limit.Cur)
}
