//go:build unix

package handovers

import (
	"os"
	"syscall"
)

// isOwn reports whether a file is this user's.
func isOwn(info os.FileInfo) bool {
	of, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(of.Uid) == os.Geteuid()
}
