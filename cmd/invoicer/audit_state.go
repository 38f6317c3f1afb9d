package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"invoicer/internal/seals"
	"invoicer/invoice/postgres/audit"
)

// A stateFile keeps how far an audit has come, so that one that is broken off can be continued.
type stateFile string

// read returns how far the audit has come that was broken off, nil if none was.
func (f stateFile) read() (*audit.State, error) {
	text, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // see above
	}
	if err != nil {
		return nil, err
	}
	state, err := audit.ReadState(text)
	if err != nil {
		return nil, fmt.Errorf("--resume: %s has no state of an audit: remove it, or name another file", f)
	}
	return state, nil
}

// write replaces what is there, at once.
func (f stateFile) write(state *audit.State) error {
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(string(f)), ".audit-")
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), string(f))
	}
	if err != nil {
		err = errors.Join(err, os.Remove(file.Name()))
	}
	return err
}

// remove is for an audit that is over.
func (f stateFile) remove() error {
	if err := os.Remove(string(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sinceSeal returns the folder and the number of the seal that --since names: a number in the folder, last, or the seal's file.
func sinceSeal(since, folder string) (dir, seal string, err error) {
	if since == "" {
		return folder, "", nil
	}
	if _, err := strconv.Atoi(since); err == nil || since == "last" {
		if folder == "" {
			return "", "", usageErrorf("--since %s goes with --seals; or name the file of a seal", since)
		}
		return folder, since, nil
	}
	dir, name := filepath.Split(since)
	number, found := 0, false
	if _, err := fmt.Sscanf(name, "%d.seal", &number); err == nil {
		found = seals.FileName(number) == name
	}
	if !found {
		return "", "", usageErrorf("--since %s: must be the number of a seal, last, or the file of one, such as 000012.seal", since)
	}
	if dir = filepath.Clean(dir); folder != "" && filepath.Clean(folder) != dir {
		return "", "", usageErrorf("--since %s isn't in the folder of --seals", since)
	}
	return dir, strconv.Itoa(number), nil
}

// sealNumber returns the number of the seal in the folder, 0 for none.
func sealNumber(seal string, folder *seals.Folder) (int, error) {
	if seal == "" {
		return 0, nil
	}
	there := len(folder.Seals())
	if seal == "last" {
		return there, nil
	}
	number, err := strconv.Atoi(seal)
	if err != nil || number < 1 || number > there {
		return 0, usageErrorf("--since %s: the folder has the seals 1 to %d", seal, there)
	}
	return number, nil
}
