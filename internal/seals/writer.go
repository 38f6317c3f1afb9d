package seals

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Writer writes the next seal of a folder. Until [Writer.Commit], the folder has nothing but a temporary file of it.
type Writer struct {
	folder *Folder
	file   *os.File
	out    *bufio.Writer
	hash   hash.Hash
	seal   Seal
}

// A Signer returns the Ed25519 signature of a message.
type Signer func(ctx context.Context, message []byte) ([]byte, error)

// unfinished begins the names of files that are being written.
const unfinished = ".new-"

// Create begins the next seal. What earlier tries have left behind, which were cut off, is removed after a day.
func (f *Folder) Create() (*Writer, error) {
	f.tidy()
	file, err := os.CreateTemp(f.dir, unfinished)
	if err != nil {
		return nil, err
	}
	w := &Writer{folder: f, file: file, hash: sha256.New()}
	w.out = bufio.NewWriterSize(io.MultiWriter(file, w.hash), maxLine)
	return w, nil
}

// tidy removes what was left behind. It may fail: nothing of it is read.
func (f *Folder) tidy() {
	names, err := os.ReadDir(f.dir)
	if err != nil {
		return
	}
	for _, name := range names {
		left := strings.HasPrefix(name.Name(), unfinished) || entriesName.MatchString(name.Name()) &&
			!slices.ContainsFunc(f.seals, func(s Seal) bool { return s.File == name.Name() })
		if !left {
			continue
		}
		if info, err := name.Info(); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			_ = os.Remove(filepath.Join(f.dir, name.Name()))
		}
	}
}

// Add adds an invoice. The invoices of a slot come one after the other, in the order of their numbers. chain is its
// link, "" if it has none.
func (w *Writer) Add(slot Slot, e Entry, chain string) error {
	last := len(w.seal.Heads) - 1
	if last < 0 || w.seal.Heads[last].Slot() != slot {
		if err := w.write(section{Series: slot.Series, Period: slot.Period, Issuer: slot.Issuer}); err != nil {
			return err
		}
		w.seal.Heads = append(w.seal.Heads, Head{Series: slot.Series, Period: slot.Period, Issuer: slot.Issuer})
		last++
	}
	w.seal.Heads[last].Number, w.seal.Heads[last].Chain = e.Number, chain
	w.seal.Invoices++
	if chain == "" {
		w.seal.Unlinked++
	}
	return w.write(e)
}

func (w *Writer) write(line any) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = w.out.Write(append(text, '\n'))
	return err
}

// Abort gives the seal up. After [Writer.Commit] it does nothing.
func (w *Writer) Abort() {
	if w.file != nil {
		_ = w.file.Close()
		_ = os.Remove(w.file.Name())
		w.file = nil
	}
}

// Commit signs the seal and puts it into the folder, once everything of it is on the disk. key is the one that the signature is
// checked with. If next isn't nil, it is the key of all seals after this one. Commit returns [ErrTaken] if another seal was made
// meanwhile, which is no fault of the folder.
func (w *Writer) Commit(ctx context.Context, database string, takenAt time.Time, sign Signer, key, next ed25519.PublicKey) (*Seal, error) {
	defer w.Abort()
	f := w.folder
	if f.key != nil && !f.key.Equal(key) {
		return nil, &FolderError{FileName(len(f.seals) + 1), "must be signed with the key that the seals before it name"}
	}
	s := &w.seal
	s.Format, s.Number, s.Database, s.TakenAt, s.Previous = format, len(f.seals)+1, database, takenAt, f.last
	if slices.ContainsFunc(s.Heads, func(h Head) bool { return h.Issuer != "" }) {
		s.Format = issuers
	}
	if next != nil {
		text, err := formatPublicKey(next)
		if err != nil {
			return nil, err
		}
		s.NextKey = string(text)
	}
	if err := w.out.Flush(); err != nil {
		return nil, err
	}
	s.SHA256 = hex.EncodeToString(w.hash.Sum(nil))
	s.File = strings.TrimSuffix(FileName(s.Number), ".seal") + "-" + s.SHA256[:16] + ".jsonl"
	text, err := w.signed(ctx, sign, key)
	if err != nil {
		return nil, err
	}
	if err := publish(w.file, filepath.Join(f.dir, s.File), true); err != nil {
		return nil, err
	}
	w.file = nil
	if err := f.writeKey(key); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(f.dir, unfinished)
	if err != nil {
		return nil, err
	}
	if _, err := file.Write(text); err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	if err := publish(file, filepath.Join(f.dir, FileName(s.Number)), false); err != nil {
		return nil, err
	}
	f.seals, f.last = append(f.seals, *s), digest(text)
	return s, nil
}

// signed returns the text of the seal.
func (w *Writer) signed(ctx context.Context, sign Signer, key ed25519.PublicKey) ([]byte, error) {
	message, err := json.Marshal(&w.seal)
	if err != nil {
		return nil, err
	}
	message = append(message, '\n')
	made, err := sign(ctx, message)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if len(made) != ed25519.SignatureSize || !ed25519.Verify(key, message, made) {
		return nil, errors.New("sign: the signature isn't one of the folder's key")
	}
	line, err := json.Marshal(signature{made})
	if err != nil {
		return nil, err
	}
	return append(append(message, line...), '\n'), nil
}

// writeKey puts the key of the first seal into the folder, or makes sure that the one there is that key.
func (f *Folder) writeKey(key ed25519.PublicKey) error {
	if len(f.seals) > 0 {
		return nil
	}
	there, err := os.ReadFile(filepath.Join(f.dir, keyFile))
	if err == nil {
		if known, err := ParsePublicKey(there); err != nil || !known.Equal(key) {
			return &FolderError{keyFile, "is there, and isn't the key of this seal: seal with its key, or remove it"}
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, err := formatPublicKey(key)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(f.dir, unfinished)
	if err != nil {
		return err
	}
	if _, err := file.Write(text); err != nil {
		return errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	return publish(file, filepath.Join(f.dir, keyFile), false)
}

// publish writes the temporary file to the disk and gives it its name, and then writes the folder to the disk. If there is a file of
// that name already, it takes its place if again is true, which is for the same content; else publish returns [ErrTaken].
func publish(file *os.File, name string, again bool) error {
	err := file.Chmod(0o644) // nothing of it is secret, and auditors read it
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil && again {
		err = os.Rename(file.Name(), name)
	} else if err == nil {
		err = os.Link(file.Name(), name) // a rename would replace what another process has written
		if errors.Is(err, fs.ErrExist) {
			err = ErrTaken
		}
	}
	if err != nil || !again {
		err = errors.Join(err, os.Remove(file.Name()))
	}
	if err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
