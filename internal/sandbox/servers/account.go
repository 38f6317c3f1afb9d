package servers

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is whom a server runs as; nil means as this process.
type account struct {
	name     string
	uid, gid uint32
}

// unprivileged returns an existing account for servers that refuse, or ought, to run as root.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // no other account is needed: run as this process does
	}
	for _, name := range []string{"postgres", "nobody"} {
		known, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(known.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(known.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, errors.New("servers are not run as root, and neither a user postgres nor a user nobody exists: " +
		"add one, or start this as another user")
}

func (a *account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: a.uid, Gid: a.gid}
}

// who is for error messages.
func (a *account) who() string {
	if a == nil {
		return ""
	}
	return " as user " + a.name
}

// give makes the account the owner of a directory or a file.
func (a *account) give(directory string) error {
	if a == nil {
		return nil
	}
	if err := os.Chown(directory, int(a.uid), int(a.gid)); err != nil {
		return fmt.Errorf("give %s to the user %s (root of this container may lack the right to): %w", directory, a.name, err)
	}
	return nil
}

// longestParent leaves room for the rest of a socket's path: systems allow 104 bytes and more.
const longestParent = 70

// temporaryParent returns the folder for temporary directories, which the account must be able to walk through: $TMPDIR,
// or /tmp when that won't do.
func (a *account) temporaryParent() string {
	parent := os.TempDir()
	if len(parent) > longestParent {
		return "/tmp"
	}
	if a == nil {
		return parent
	}
	for folder := parent; ; folder = filepath.Dir(folder) {
		info, err := os.Stat(folder)
		if err != nil || info.Mode()&0o001 == 0 {
			return "/tmp"
		}
		if folder == filepath.Dir(folder) {
			return parent
		}
	}
}
