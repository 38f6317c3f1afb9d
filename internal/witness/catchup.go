package witness

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// Documents are those of the database. [postgres.Invoices] implements it.
type Documents interface {
	Standing(ctx context.Context) (*postgres.Standing, error)
	// MadeIn returns at most so many documents of a slot with numbers above after and up to that one, in their order.
	MadeIn(ctx context.Context, slot invoice.SlotKey, after, upTo int64, most int) ([]invoice.Made, error)
}

// A state is up to where the folder is known to be complete, so that a start doesn't read all of it.
type state struct {
	complete map[invoice.SlotKey]int64 // each document of the slot up to this number is in the folder
	files    map[string]progress       // up to where all lines have no number above these
}

// stateFile holds the state. It may be missing or older than the files: then more is read.
const stateFile = "complete.json"

type stored struct {
	Complete []mark              `json:"complete"`
	Files    map[string]progress `json:"files"`
}

type mark struct {
	Issuer string `json:"issuer,omitempty"`
	Series string `json:"series"`
	Period string `json:"period,omitempty"`
	Number int64  `json:"number"`
}

// load returns an empty state if the stored one can't be read, or doesn't fit the files, as when some were taken away.
func (f *Folder) load(ctx context.Context) *state {
	s := &state{make(map[invoice.SlotKey]int64), make(map[string]progress)}
	text, err := os.ReadFile(filepath.Join(f.dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s
	}
	var was stored
	if err == nil {
		err = json.Unmarshal(text, &was)
	}
	for name, p := range was.Files {
		info, gone := os.Stat(filepath.Join(f.dir, name))
		if gone == nil && info.Size() < p.Offset {
			gone = errors.New(name + " is shorter than it was")
		}
		err = errors.Join(err, gone)
	}
	if err != nil {
		f.log.WarnContext(ctx, "the witness is read from its beginning", "folder", f.dir, "error", err)
		return s
	}
	for _, m := range was.Complete {
		s.complete[invoice.SlotKey{Issuer: m.Issuer, Series: m.Series, Period: m.Period}] = m.Number
	}
	maps.Copy(s.files, was.Files)
	return s
}

// store replaces the stored state as a whole.
func (f *Folder) store(s *state) error {
	is := stored{Complete: []mark{}, Files: s.files}
	for _, slot := range slices.SortedFunc(maps.Keys(s.complete), invoice.SlotKey.Compare) {
		is.Complete = append(is.Complete, mark{slot.Issuer, slot.Series, slot.Period, s.complete[slot]})
	}
	text, err := json.Marshal(is)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(f.dir, "."+stateFile+"-*")
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, '\n'))
	err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(f.dir, stateFile))
	}
	if err != nil {
		_ = os.Remove(file.Name()) // it is there no more, or harms nobody
		return err
	}
	return syncFolder(f.dir)
}

// mostHeld is how many lines are held in memory, and pageSize how many rows a query reads.
const (
	mostHeld = 200_000
	pageSize = 1000
)

// A window has numbers of a slot that are compared at once: those above after, up to upTo.
type window struct {
	after, upTo int64
	last        bool               // up to the counter
	held        map[int64][]string // which transactions the folder names for a number
}

// Why the folder is compared later.
var (
	errBusy   = errors.New("another process does so already")
	errUnseen = errors.New("nobody has looked yet whether this server has lost numbers")
)

func isLater(err error) bool { return errors.Is(err, errBusy) || errors.Is(err, errUnseen) }

// isSeen reports whether somebody has looked whether the server has lost numbers. Until then the folder mustn't follow its counters: that it
// reaches up to them is taken as proof that none are lost.
func isSeen(s *postgres.Standing) bool {
	return s.Seen == nil || s.Seen.System == s.Now.System && s.Seen.Timeline == s.Now.Timeline
}

// catchUp adds the documents that the database has and the folder lacks.
func (f *Folder) catchUp(ctx context.Context) error {
	unlock, err := lock(filepath.Join(f.dir, ".lock")) // or each of several workers would fill a new folder
	if err != nil {
		return err
	}
	defer unlock()
	s := f.load(ctx)
	standing, err := f.documents.Standing(ctx)
	if err != nil {
		return err
	}
	if !isSeen(standing) {
		return errUnseen
	}
	counters := slices.DeleteFunc(standing.Counters, func(c postgres.Counter) bool { return c.Last < c.FirstNumber })
	if s.lower(counters) {
		if err := f.store(s); err != nil {
			return err
		}
	}
	added := 0
	defer func() {
		if added > 0 {
			f.log.InfoContext(ctx, "documents that the witness lacked were added", "folder", f.dir, "documents", added)
		}
	}()
	for done := make(map[invoice.SlotKey]bool); ; {
		windows := s.behind(counters, done, f.held)
		if len(windows) == 0 {
			return nil
		}
		if err := f.hold(ctx, s, windows); err != nil {
			return err
		}
		for slot, w := range windows {
			n, err := f.fill(ctx, s, standing.Server, slot, w)
			added += n
			if err != nil {
				return err
			}
			done[slot] = w.last
		}
		if err := f.store(s); err != nil {
			return err
		}
	}
}

// lower has what is above the counters compared again: a database that was restored may give these numbers to others. It reports whether
// there is any.
func (s *state) lower(counters []postgres.Counter) (lowered bool) {
	last := make(map[invoice.SlotKey]int64, len(counters))
	for _, c := range counters {
		last[c.SlotKey] = c.Last
	}
	for slot, number := range s.complete {
		if last[slot] < number {
			s.complete[slot] = last[slot]
			clear(s.files)
			lowered = true
		}
	}
	return lowered
}

// behind returns the next numbers of each slot that isn't complete.
func (s *state) behind(counters []postgres.Counter, done map[invoice.SlotKey]bool, held int) map[invoice.SlotKey]*window {
	windows := make(map[invoice.SlotKey]*window)
	for _, c := range counters {
		if s.complete[c.SlotKey] < c.Last && !done[c.SlotKey] {
			windows[c.SlotKey] = &window{after: max(s.complete[c.SlotKey], c.FirstNumber-1), upTo: c.Last, held: make(map[int64][]string)}
		}
	}
	for _, w := range windows {
		end := w.after + int64(held/len(windows)) + 1
		w.last = w.upTo <= end
		w.upTo = min(w.upTo, end)
	}
	return windows
}

// hold reads which transactions the folder names for the numbers in the windows. It moves on in each file up to the first line that is
// to be compared.
func (f *Folder) hold(ctx context.Context, s *state, windows map[invoice.SlotKey]*window) error {
	names, err := list(f.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		compared := true // all until here
		_, err := scan(ctx, f.dir, name, s.files[name], slog.New(slog.DiscardHandler), func(m *invoice.Made, after progress) {
			if compared = compared && (m == nil || m.Number <= s.complete[m.SlotKey]); compared {
				s.files[name] = after
				return
			}
			if m == nil {
				return
			}
			w := windows[m.SlotKey]
			if w != nil && m.Number > w.after && m.Number <= w.upTo && !slices.Contains(w.held[m.Number], m.TransactionID) {
				w.held[m.Number] = append(w.held[m.Number], m.TransactionID)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// fill adds the documents of a slot that the folder lacks in a window, and notes up to where it is complete. It returns how many it has
// added.
func (f *Folder) fill(ctx context.Context, s *state, server string, slot invoice.SlotKey, w *window) (added int, err error) {
	for after := w.after; ; {
		page, err := f.documents.MadeIn(ctx, slot, after, w.upTo, pageSize)
		if err != nil {
			return added, err
		}
		var lacking []invoice.Made
		for _, m := range page {
			held := w.held[m.Number]
			if !slices.Contains(held, m.TransactionID) {
				lacking = append(lacking, m)
			}
			for _, other := range held {
				if other != m.TransactionID {
					f.log.ErrorContext(ctx, "a number was given out twice: the witness names another transaction than the database", "series", slot.ID().String(),
						"invoice_number", m.InvoiceNumber, "transaction_id", m.TransactionID, "in_the_witness", other)
				}
			}
		}
		if len(lacking) > 0 {
			if now, err := f.documents.Standing(ctx); err != nil {
				return added, err
			} else if now.Server != server || !isSeen(now) {
				return added, errUnseen // they may be another server's
			}
			if err := f.late.append(encode(lacking)); err != nil {
				return added, err
			}
			added += len(lacking)
		}
		if len(page) > 0 {
			after = page[len(page)-1].Number
			s.complete[slot] = after
		}
		if len(page) < pageSize {
			break
		}
	}
	if !w.last {
		s.complete[slot] = w.upTo // the rest is reserved, and has no documents yet
	}
	return added, nil
}
