package objects

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// mark is a file in each folder that has objects. A folder without it isn't the one that was written to: perhaps what lies there isn't mounted.
const mark = "invoicer-documents"

// A folder is one of this machine, or one that is mounted.
type folder struct{ path string }

// unfinished is the end of the name of what is being written.
const unfinished = ".part"

// mine and theirs are who may read: nobody else.
const mine, mineToEnter = 0o600, 0o700

// put writes the bytes under another name, and renames them once they are on the disk, so that under its own name an object is whole.
func (f folder) put(ctx context.Context, name string, content []byte, used Used) error {
	if err := f.begun(ctx, used); err != nil {
		return err
	}
	path := filepath.Join(f.path, name)
	dir := filepath.Dir(path)
	if err := os.Mkdir(dir, mineToEnter); err == nil {
		err = sync(f.path)
		if err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	part := path + "." + rand.Text() + unfinished
	file, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_EXCL, mine)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return sync(dir)
}

// open opens the bytes.
func (f folder) open(_ context.Context, name string) (io.ReadCloser, error) {
	if err := f.marked(); err != nil {
		return nil, err
	}
	file, err := os.Open(filepath.Join(f.path, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	return file, err
}

// remove removes the object, and what somebody who died left of writing it.
func (f folder) remove(_ context.Context, name string) error {
	if err := f.marked(); err != nil {
		return err
	}
	path := filepath.Join(f.path, name)
	parts, err := filepath.Glob(path + ".*" + unfinished) // the path has nothing that is a pattern: see CheckStore
	if err != nil {
		return err
	}
	for _, path := range append(parts, path) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := sync(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (f folder) check(ctx context.Context, used Used) error {
	if _, err := f.found(ctx, used); err != nil {
		return err
	}
	probe, err := os.CreateTemp(f.path, ".probe-*")
	if err != nil {
		return err
	}
	_, err = probe.WriteString("is it writable?\n")
	return errors.Join(err, probe.Sync(), probe.Close(), os.Remove(probe.Name()))
}

// marked reports why the folder isn't one that has objects.
func (f folder) marked() error {
	_, err := os.Stat(filepath.Join(f.path, mark))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s has no file %s: it isn't mounted, or isn't the folder that documents were written to", f.path, mark)
	}
	return err
}

// found reports whether the folder has its mark, and why one without can't be used: what others have, and the empty place of what isn't mounted.
func (f folder) found(ctx context.Context, used Used) (marked bool, err error) {
	missing := f.marked()
	if missing == nil {
		return true, nil
	}
	names, err := os.ReadDir(f.path)
	if err != nil {
		return false, fmt.Errorf("%w: make the folder, or mount it", err)
	}
	for _, entry := range names {
		if name := entry.Name(); name != "lost+found" && name[0] != '.' {
			return f.begunMeanwhile(missing)
		}
	}
	kept, err := used(ctx, folderScheme+f.path)
	if err == nil && kept {
		return f.begunMeanwhile(fmt.Errorf("%s is empty, though documents are kept there: is it mounted?", f.path))
	}
	return false, err
}

// begunMeanwhile reports whether another process has marked the folder since it was looked at, and else the reason why it can't be used.
func (f folder) begunMeanwhile(reason error) (bool, error) {
	if f.marked() == nil {
		return true, nil
	}
	return false, reason
}

// begun marks an empty folder that nothing was ever written to.
func (f folder) begun(ctx context.Context, used Used) error {
	marked, err := f.found(ctx, used)
	if marked || err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(f.path, mark), os.O_CREATE|os.O_WRONLY, mine)
	if err != nil {
		return err
	}
	_, err = file.WriteString("Documents of invoicer lie here. Without this file nothing is read, written or deleted.\n")
	return errors.Join(err, file.Sync(), file.Close(), sync(f.path))
}

// sync has a folder's names last.
func sync(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// same reports whether an object has just these bytes.
func same(there io.ReadCloser, content []byte) error {
	found, err := io.ReadAll(io.LimitReader(there, int64(len(content))+1))
	if err = errors.Join(err, there.Close()); err == nil && !bytes.Equal(found, content) {
		err = errors.New("there are other bytes under this name: somebody has changed them")
	}
	return err
}
