package handovers

import (
	"errors"
	"os"
	"strings"
	"time"
)

const (
	// folderPrefix is how the name of a folder begins in which a program finds its documents.
	folderPrefix = "invoicer-handover-"
	// sweepEvery is how often folders are looked for that were left behind, and sweptAfter how old they are: far older than any attempt gets.
	sweepEvery = time.Hour
	sweptAfter = 24 * time.Hour
)

// Sweep removes the folders with documents that were left behind below a folder, such as the system's for temporary files, by processes that were
// killed while a program ran: those of before that time that are this user's and nobody else's. It follows no link, and returns how many it has
// removed. Where a file has no owner, as on Windows, it removes nothing.
func Sweep(below string, before time.Time) (removed int, err error) {
	root, err := os.OpenRoot(below)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil // an image may have none
	} else if err != nil {
		return 0, err
	}
	defer root.Close()
	dir, err := root.Open(".")
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	for _, name := range names {
		if !strings.HasPrefix(name, folderPrefix) {
			continue
		}
		info, statErr := root.Lstat(name)
		const owners = os.ModeDir | 0o700 // as os.MkdirTemp makes it
		if statErr != nil || info.Mode() != owners || !isOwn(info) || !info.ModTime().Before(before) {
			continue // it is somebody else's, in use, or gone already
		}
		if sweepErr := sweep(root, name, info); sweepErr != nil {
			err = errors.Join(err, sweepErr)
			continue
		}
		removed++
	}
	return removed, err
}

// sweep removes a folder. What is in it is removed through the folder that was looked at, whatever has its name by now.
func sweep(root *os.Root, name string, looked os.FileInfo) error {
	folder, err := root.OpenRoot(name)
	if err != nil {
		return err
	}
	defer folder.Close()
	if opened, err := folder.Stat("."); err != nil || !os.SameFile(looked, opened) {
		return errors.Join(err, errors.New("it was replaced while it was looked at"))
	}
	dir, err := folder.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	inside, err := dir.Readdirnames(-1)
	for _, one := range inside {
		err = errors.Join(err, folder.RemoveAll(one))
	}
	if err != nil {
		return err
	}
	return root.Remove(name)
}
