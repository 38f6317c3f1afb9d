package seals

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// A Folder holds seals, of which it knows that they follow on each other and are signed.
type Folder struct {
	dir   string
	seals []Seal
	heads map[Slot]Head
	key   ed25519.PublicKey // of the next seal; nil if there is none yet
	last  string            // SHA-256 of the newest seal, "" for none
}

// Open reads the seals of a folder, and checks that each is whole, follows on the one before it, and is signed. The first one's key
// is the given one, or if that is nil the one in the folder. Entries aren't read: see [Folder.Entries].
//
// A folder without seals is fine. What is wrong with the seals is a [*FolderError].
func Open(dir string, key ed25519.PublicKey) (*Folder, error) {
	f := &Folder{dir: dir, heads: make(map[Slot]Head), key: key}
	numbers, err := f.list()
	if err != nil {
		return nil, err
	}
	if key == nil {
		if err := f.readKey(len(numbers) > 0); err != nil {
			return nil, err
		}
	}
	for i, number := range numbers {
		if number != i+1 {
			return nil, &FolderError{FileName(i + 1), "is missing"}
		}
		if err := f.read(number); err != nil {
			return nil, err
		}
	}
	return f, nil
}

var sealName = regexp.MustCompile(`^([0-9]{6,9})\.seal$`)

// list returns the numbers of the seals, in their order.
func (f *Folder) list() ([]int, error) {
	names, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, name := range names {
		match := sealName.FindStringSubmatch(name.Name())
		if match == nil {
			continue
		}
		number, err := strconv.Atoi(match[1])
		if err != nil || FileName(number) != name.Name() {
			return nil, &FolderError{name.Name(), "has a name that no seal has"}
		}
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	return numbers, nil
}

func (f *Folder) readKey(needed bool) error {
	text, err := os.ReadFile(filepath.Join(f.dir, keyFile))
	if errors.Is(err, fs.ErrNotExist) {
		if needed {
			return &FolderError{keyFile, "is missing: state the key by --public-key"}
		}
		return nil
	}
	if err != nil {
		return err
	}
	if f.key, err = ParsePublicKey(text); err != nil {
		return &FolderError{keyFile, err.Error()}
	}
	return nil
}

type signature struct {
	Signature []byte `json:"signature"`
}

// read checks the next seal and adds it.
func (f *Folder) read(number int) error {
	name := FileName(number)
	bad := func(problem string) error { return &FolderError{name, problem} }
	text, err := os.ReadFile(filepath.Join(f.dir, name))
	if err != nil {
		return err
	}
	end := bytes.IndexByte(text, '\n')
	var signed signature
	if end < 0 || json.Unmarshal(text[end+1:], &signed) != nil || !bytes.HasSuffix(text, []byte("}\n")) {
		return bad("is damaged: it must have two lines of JSON")
	}
	message := text[:end+1]
	if !ed25519.Verify(f.key, message, signed.Signature) {
		return bad("has a wrong signature: it was changed, or signed with another key")
	}
	var s Seal
	if err := json.Unmarshal(message, &s); err != nil {
		return bad("is damaged: " + err.Error())
	}
	switch {
	case s.Format != format && s.Format != issuers:
		return bad("has format " + strconv.Itoa(s.Format) + ": read it with a newer release")
	case s.Number != number:
		return bad("says that it is seal " + strconv.Itoa(s.Number))
	case s.Previous != f.last:
		return bad("doesn't follow on the seal before it, which was replaced")
	case number > 1 && s.Database != f.seals[0].Database:
		return bad("is of another database than those before it")
	case !entriesName.MatchString(s.File):
		return bad("names a file that isn't one of entries")
	}
	if s.NextKey != "" {
		if f.key, err = ParsePublicKey([]byte(s.NextKey)); err != nil {
			return bad("has a next_key that " + err.Error())
		}
	}
	for _, h := range s.Heads {
		f.heads[h.Slot()] = h
	}
	f.seals, f.last = append(f.seals, s), digest(text)
	return nil
}

// Seals returns the seals, the oldest first.
func (f *Folder) Seals() []Seal { return f.seals }

// Key returns the key with which the next seal must be signed, nil if there is neither a seal nor a key.
func (f *Folder) Key() ed25519.PublicKey { return f.key }

// Database returns the id of the database whose invoices are sealed, "" if none are.
func (f *Folder) Database() string {
	if len(f.seals) == 0 {
		return ""
	}
	return f.seals[0].Database
}

// Heads returns the last sealed invoices, one for each slot.
func (f *Folder) Heads() map[Slot]Head { return f.heads }
