package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/go-json-experiment/json/jsontext"

	"invoicer/internal/importer"
)

// A rejectsFile takes the bad lines of an input, so that they can be corrected and enqueued again. A nil one takes none.
type rejectsFile struct {
	file    *os.File
	written int
}

// longestReject bounds a bad line that is kept as it was, in bytes.
const longestReject = 16 << 20

// openRejects makes the file at a path, which must not exist yet. For "" it returns nil.
func openRejects(path string) (*rejectsFile, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // a nil file takes nothing, as its type says
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, usageErrorf("--rejects %s: it is there already, and isn't overwritten: name another file, or remove it", path)
	case err != nil:
		return nil, usageErrorf("--rejects: %w", err)
	}
	return &rejectsFile{file: file}, nil
}

// longest returns how many bytes of a bad line are needed.
func (f *rejectsFile) longest() int {
	if f == nil {
		return 0
	}
	return longestReject
}

// add writes a bad line. It reports whether it could: a line that was cut isn't written.
func (f *rejectsFile) add(bad importer.Result) (written bool, err error) {
	if bad.Cut {
		return false, nil
	}
	line := bad.Text
	if bad.Line > 0 { // it may be spread over several lines
		value := jsontext.Value(bytes.Clone(line))
		if err := value.Compact(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
			return false, err
		}
		line = value
	}
	if _, err := f.file.Write(append(bytes.Clone(line), '\n')); err != nil {
		return false, fmt.Errorf("--rejects: %w", err)
	}
	f.written++
	return true, nil
}

// close closes the file, and removes it if nothing was written.
func (f *rejectsFile) close() error {
	if f == nil {
		return nil
	}
	err := f.file.Close()
	if f.written == 0 {
		err = errors.Join(err, os.Remove(f.file.Name()))
	}
	return err
}
