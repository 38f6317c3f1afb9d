package witness

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"

	"invoicer/invoice"
)

// A progress is how far a file has been read.
type progress struct {
	Offset int64 `json:"offset"`
	Lines  int64 `json:"lines"`
}

// scan hands over each whole line of a file from there on, with where the next one begins. One that can't be read is told to the log and
// handed over as nil. It returns where it has got to, also after an error.
func scan(ctx context.Context, dir, name string, from progress, log *slog.Logger, each func(m *invoice.Made, after progress)) (progress, error) {
	file, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return from, nil // an empty one that its writer gave up
	}
	if err != nil {
		return from, err
	}
	defer file.Close()
	if _, err := file.Seek(from.Offset, io.SeekStart); err != nil {
		return from, err
	}
	for lines := bufio.NewReaderSize(file, 1<<16); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return from, nil // what stands behind the last whole line is torn, or being written
		}
		if err == nil && from.Lines%1000 == 0 {
			err = ctx.Err()
		}
		if err != nil {
			return from, err
		}
		from.Offset += int64(len(line))
		from.Lines++
		m, err := decode(line)
		if err != nil {
			log.WarnContext(ctx, "a line of the witness can't be read", "line", place(filepath.Join(dir, name), from.Lines), "error", err)
			each(nil, from)
			continue
		}
		each(&m, from)
	}
}

// Each hands over each document that the folder has of a database, with its file and line. It fails if the folder has nothing of it at
// all, since it may not be mounted.
func Each(ctx context.Context, folder, databaseID string, log *slog.Logger, each func(m invoice.Made, place func() string)) error {
	dir := filepath.Join(folder, databaseID)
	names, err := list(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("witness.folder: %s has nothing of this database, %s: mount the right one, or leave witness.folder empty", folder, databaseID)
	}
	if err != nil {
		return fmt.Errorf("witness.folder: %w", err)
	}
	for _, name := range names {
		_, err := scan(ctx, dir, name, progress{}, log, func(m *invoice.Made, after progress) {
			if m != nil {
				each(*m, func() string { return place(filepath.Join(dir, name), after.Lines) })
			}
		})
		if err != nil {
			return fmt.Errorf("witness.folder: %w", err)
		}
	}
	return nil
}

// Highest returns the highest number of each slot that the folder has. It reads what was added since it was called last.
func (f *Folder) Highest(ctx context.Context) (map[invoice.SlotKey]int64, error) {
	select {
	case f.reading <- struct{}{}:
		defer func() { <-f.reading }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	names, err := list(f.dir)
	if err != nil {
		return nil, fmt.Errorf("the witness: %w", err)
	}
	if f.state == nil {
		// All lines that it leaves out have numbers up to those that it names.
		f.state = f.load(ctx)
		f.highest = maps.Clone(f.state.complete)
	}
	for _, name := range names {
		// What was read counts, also if it fails: the next call goes on from there.
		f.state.files[name], err = scan(ctx, f.dir, name, f.state.files[name], f.log, func(m *invoice.Made, _ progress) {
			if m != nil {
				f.highest[m.SlotKey] = max(f.highest[m.SlotKey], m.Number)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("the witness: %w", err)
		}
	}
	return maps.Clone(f.highest), nil
}
