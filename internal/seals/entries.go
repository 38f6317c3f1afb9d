package seals

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// Entries come by slot, each of which begins with a line that names it.
type section struct {
	Series string `json:"series"`
	Period string `json:"period"`
	Issuer string `json:"issuer,omitempty"`

	seal   int   // its index
	offset int64 // of its first entry
}

var (
	entriesName = regexp.MustCompile(`^[0-9]{6,9}-[0-9a-f]{16}\.jsonl$`)
	sectionLine = []byte(`{"series":`) //nolint:gochecknoglobals // a constant
)

func (s *section) slot() Slot { return Slot{s.Issuer, s.Series, s.Period} }

// maxLine is longer than any entry.
const maxLine = 64 << 10

// An Entries reads the entries of all seals, by slot, then by number. Its memory doesn't
// grow with the number of entries.
type Entries struct {
	folder   *Folder
	sections []section
	next     int // in sections
	file     *os.File
	lines    *bufio.Scanner
}

// A Sealed is an entry, with the slot that it is of and the seal that has it.
type Sealed struct {
	Entry

	Slot Slot
	Seal int
}

// Entries checks that the files of entries are those that were sealed, and returns a reader, which must be closed. What is wrong with
// a file is a [*FolderError].
func (f *Folder) Entries(ctx context.Context) (*Entries, error) {
	e := &Entries{folder: f}
	for i := range f.seals {
		if err := e.check(ctx, i); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(e.sections, func(a, b section) int {
		return cmp.Or(a.slot().Compare(b.slot()), cmp.Compare(a.seal, b.seal))
	})
	return e, nil
}

// check reads the entries of a seal once, and notes where its sections begin.
func (e *Entries) check(ctx context.Context, seal int) error {
	s := &e.folder.seals[seal]
	file, err := os.Open(filepath.Join(e.folder.dir, s.File))
	if errors.Is(err, fs.ErrNotExist) {
		return &FolderError{s.File, "is missing"}
	}
	if err != nil {
		return err
	}
	defer file.Close()
	hash := sha256.New()
	lines := bufio.NewReaderSize(io.TeeReader(file, hash), maxLine)
	damaged := &FolderError{s.File, "is damaged: it isn't what was sealed"}
	entries, offset := int64(0), int64(0)
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			break
		}
		if err != nil {
			return damaged
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		offset += int64(len(line))
		if !bytes.HasPrefix(line, sectionLine) {
			entries++
			continue
		}
		one := section{seal: seal, offset: offset}
		if json.Unmarshal(line, &one) != nil {
			return damaged
		}
		e.sections = append(e.sections, one)
	}
	if hex.EncodeToString(hash.Sum(nil)) != s.SHA256 || entries != s.Invoices {
		return damaged
	}
	return nil
}

// Next returns the next entry, or nil after the last.
func (e *Entries) Next() (*Sealed, error) {
	for {
		if e.lines != nil {
			if e.lines.Scan() && !bytes.HasPrefix(e.lines.Bytes(), sectionLine) {
				return e.parse()
			}
			if err := e.lines.Err(); err != nil {
				return nil, err
			}
		}
		if e.next == len(e.sections) {
			return nil, nil //nolint:nilnil // see above
		}
		if err := e.open(&e.sections[e.next]); err != nil {
			return nil, err
		}
		e.next++
	}
}

func (e *Entries) parse() (*Sealed, error) {
	in := &e.sections[e.next-1]
	s := &Sealed{Slot: in.slot(), Seal: in.seal + 1}
	if err := json.Unmarshal(e.lines.Bytes(), &s.Entry); err != nil {
		return nil, &FolderError{e.folder.seals[in.seal].File, "is damaged: " + err.Error()}
	}
	return s, nil
}

func (e *Entries) open(s *section) (err error) {
	if err := e.Close(); err != nil {
		return err
	}
	if e.file, err = os.Open(filepath.Join(e.folder.dir, e.folder.seals[s.seal].File)); err != nil {
		return err
	}
	if _, err := e.file.Seek(s.offset, io.SeekStart); err != nil {
		return err
	}
	e.lines = bufio.NewScanner(e.file)
	e.lines.Buffer(nil, maxLine)
	return nil
}

// Close closes the file that is being read.
func (e *Entries) Close() error {
	if e.file == nil {
		return nil
	}
	err := e.file.Close()
	e.file, e.lines = nil, nil
	return err
}
