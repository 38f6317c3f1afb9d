// Package witness keeps a line for each document in a folder, outside of both servers. What a database and Redis have lost together
// returns from there: numbers, their transactions and their dates.
//
// A folder has a folder for each database, with files that are only added to. Each process writes files of its own. A line that a
// crash or a full disk has torn stands last in its file: nobody writes behind it, and readers leave it out.
package witness

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"invoicer/internal/owned"
	"invoicer/invoice"
)

// A document is a line.
type document struct {
	Issuer        string `json:"issuer,omitempty"`
	Series        string `json:"series"`
	Period        string `json:"period,omitempty"`
	Number        int64  `json:"number"`
	InvoiceNumber string `json:"invoice_number"`
	TransactionID string `json:"transaction_id"`
	Chain         string `json:"chain,omitempty"`
	DocumentDate  string `json:"document_date,omitempty"`
}

// encode returns a line for each document.
func encode(made []invoice.Made) []byte {
	var lines []byte
	for i := range made {
		m := &made[i]
		line, _ := json.Marshal(document{m.Issuer, m.Series, m.Period, m.Number, m.InvoiceNumber, m.TransactionID, m.Chain, m.Date}) // texts and a number
		lines = append(append(lines, line...), '\n')
	}
	return lines
}

var errNoDocument = errors.New("names no series, number or transaction")

func decode(line []byte) (invoice.Made, error) {
	var d document
	if err := json.Unmarshal(line, &d); err != nil {
		return invoice.Made{}, err
	}
	if d.Series == "" || d.Number <= 0 || d.TransactionID == "" {
		return invoice.Made{}, errNoDocument
	}
	return invoice.Made{
		Numbered:      invoice.Numbered{SlotKey: invoice.SlotKey{Issuer: d.Issuer, Series: d.Series, Period: d.Period}, Number: d.Number, Date: d.DocumentDate},
		InvoiceNumber: d.InvoiceNumber, TransactionID: d.TransactionID, Chain: d.Chain,
	}, nil
}

// A Folder is what a process writes to and reads. It is safe for concurrent use.
type Folder struct {
	dir       string
	documents Documents
	log       *slog.Logger
	due       chan struct{} // has one when the database may have documents that the folder lacks
	late      appender      // writes those
	held      int           // most lines that are held in memory while they are compared with the database

	working owned.Goroutines
	live    appender // belongs to the goroutine that writes

	mu      sync.Mutex
	pending []byte        // lines that are to be written
	next    chan struct{} // closed when these are written, or couldn't be
	current chan struct{} // of those that are being written, nil for none
	busy    bool          // somebody writes
	failing bool          // nobody waits until it works again
	dropped bool          // lines that can't be written were too many to keep

	reading chan struct{} // the permit to use what follows
	state   *state        // up to where files were read; nil at the beginning
	highest map[invoice.SlotKey]int64
}

// Open returns the folder of a database, after it has made sure that it can be written to and read. The folder of all must be there:
// if it were made here, a missing mount would go unseen. Worker is the name of the process, which no other one has. Call Close.
func Open(folder, databaseID, worker string, documents Documents, log *slog.Logger) (*Folder, error) {
	dir := filepath.Join(folder, databaseID)
	if err := Probe(folder, databaseID); err != nil {
		return nil, fmt.Errorf("witness.folder: %w", err)
	}
	err := os.Mkdir(dir, 0o755) //nolint:gosec // nothing in there is secret, and whoever recovers a series reads it
	if errors.Is(err, fs.ErrExist) {
		err = nil
	} else if err == nil {
		err = syncFolder(folder)
	}
	if err != nil {
		return nil, fmt.Errorf("witness.folder: %w", err)
	}
	worker = notInNames.ReplaceAllString(worker, "_")
	f := &Folder{
		dir: dir, documents: documents, log: log, held: mostHeld, due: make(chan struct{}, 1), next: make(chan struct{}), reading: make(chan struct{}, 1),
		live: appender{dir: dir, worker: worker}, late: appender{dir: dir, worker: worker + "-late"},
	}
	f.Looked()
	return f, nil
}

// Probe reports why a database's documents can't be written to the folder, or read. It leaves nothing there.
func Probe(folder, databaseID string) error {
	info, err := os.Stat(folder)
	if err != nil {
		return fmt.Errorf("%w: make it, or mount it", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no folder", folder)
	}
	dir := filepath.Join(folder, databaseID)
	names, err := list(dir)
	if errors.Is(err, fs.ErrNotExist) {
		dir, err = folder, nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		file, err := os.Open(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		file.Close()
	}
	file, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	_, err = file.WriteString("is it writable?\n")
	return errors.Join(err, file.Sync(), file.Close(), os.Remove(file.Name()))
}

// Close waits a moment for what is being written.
func (f *Folder) Close() {
	if f.working.Wait(closeTimeout) {
		f.live.close()
	}
	f.late.close()
}

const closeTimeout = 5 * time.Second

// A name has the time at which the file was begun, in UTC, and whose it is.
var (
	fileName   = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}\.[0-9]{9}Z-[A-Za-z0-9._-]+\.jsonl$`)
	notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]`)
)

// list returns the names of a database's files, the oldest first.
func list(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if fileName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// An appender writes lines to files of its own.
type appender struct {
	dir, worker string
	file        *os.File // nil for none yet
	size        int64    // of the whole lines in it
}

// append has returned nil once the lines are on the disk. After an error some of them may be, and the next ones begin another file: what
// is torn stays last.
func (a *appender) append(lines []byte) error {
	if a.file == nil {
		if err := a.create(); err != nil {
			return err
		}
	}
	_, err := a.file.Write(lines)
	if err == nil {
		err = a.file.Sync()
	}
	if err != nil {
		_ = a.file.Truncate(a.size) // else readers leave out what is torn
		a.close()
		return err
	}
	a.size += int64(len(lines))
	return nil
}

func (a *appender) create() error {
	name := time.Now().UTC().Format("20060102T150405.000000000Z") + "-" + a.worker + ".jsonl"
	file, err := os.OpenFile(filepath.Join(a.dir, name), os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // as the folder
	if err != nil {
		return err
	}
	a.file, a.size = file, 0
	if err := syncFolder(a.dir); err != nil {
		a.close()
		return err
	}
	return nil
}

// close leaves no empty file behind, of which a full disk would make many.
func (a *appender) close() {
	if a.file == nil {
		return
	}
	_ = a.file.Close() // all that counts has been synced
	if a.size == 0 {
		_ = os.Remove(a.file.Name()) // an empty file harms nobody
	}
	a.file = nil
}

// syncFolder has the names in a folder on the disk.
func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// place names a line.
func place(name string, line int64) string { return fmt.Sprintf("%s line %d", name, line) }
