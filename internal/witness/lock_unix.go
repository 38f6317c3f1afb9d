//go:build unix

package witness

import (
	"errors"
	"os"
	"syscall"
)

// lock returns [errBusy] if another process has the lock. It ends with the process.
func lock(name string) (unlock func(), err error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644) //nolint:gosec // it is empty
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		file.Close()
		return nil, errBusy
	}
	// A folder that knows no locks is filled by several processes at once, which costs room.
	return func() { file.Close() }, nil
}
