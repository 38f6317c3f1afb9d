package documents

import (
	"archive/zip"
	"bufio"
	"context"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/document"
)

// Issues lists documents.
type Issues interface {
	// Issued returns those that match the filter among the next limit ones after an id, and the id to go on after; more is false at the end.
	Issued(ctx context.Context, f report.IssuedFilter, after int64, limit int) (matching []report.Issued, next int64, more bool, err error)
}

// A Getter hands out documents, as [Maker.Get] does.
type Getter interface {
	Get(ctx context.Context, invoiceID int64, format document.Format, language string) (document.Kept, error)
}

// An Export writes documents into a ZIP file, with an index. What isn't made yet is made. It takes no more memory than the largest document and, for
// each file, its entry in the ZIP's directory; the same documents give the same bytes.
type Export struct {
	Issues  Issues
	Getter  Getter
	Filter  report.IssuedFilter
	Formats []document.Format
	// Folder is where the index grows until the end. Default: the system's for temporary files.
	Folder string
	// Told is called after each invoice. Default: nobody is told.
	Told func()
}

// An Exported says what an export came to.
type Exported struct {
	Invoices, Files int
	Bytes           int64    // of the documents
	Erased          int      // invoices that have no document any more
	Failed          []string // the numbers of the first invoices that have no document in some format, mostNamed at most
	Failures        int      // how many there are
}

// mostNamed is how many invoices without a document are named; the index names all.
const mostNamed = 100

// exportedAtOnce is how many invoices are looked at for each statement.
const exportedAtOnce = 1000

// An indexed document is a row of the index. Its names are those of the columns, too.
type indexed struct {
	Number   string `json:"invoice_number"`
	Issuer   string `json:"issuer"`
	Kind     string `json:"kind"`
	Date     string `json:"date"`
	Currency string `json:"currency"`
	Total    string `json:"total"` // in the currency's main unit
	Format   string `json:"format"`
	File     string `json:"file"` // "" if there is none
	SHA256   string `json:"sha256"`
	Size     int64  `json:"size"`
	Problem  string `json:"problem"` // why there is no file
}

func columns() []string {
	return []string{"invoice_number", "issuer", "kind", "date", "currency", "total", "format", "file", "sha256", "size", "problem"}
}

func (i *indexed) row() []string {
	row := []string{i.Number, i.Issuer, i.Kind, i.Date, i.Currency, i.Total, i.Format, i.File, i.SHA256, strconv.FormatInt(i.Size, 10), i.Problem}
	for _, text := range []*string{&row[0], &row[7], &row[10]} { // others can't begin so
		if *text != "" && strings.ContainsRune("=+-@\t\r", rune((*text)[0])) {
			*text = "'" + *text // a spreadsheet would take it for a formula
		}
	}
	return row
}

// Write writes the file. It fails if the database can't be read or a document can't be kept; an invoice that has no document is named in the index
// and in what it returns.
func (e *Export) Write(ctx context.Context, out io.Writer) (sum Exported, err error) {
	w := &exportWriter{zip: zip.NewWriter(out), names: make(map[uint64]struct{})}
	if err := w.openIndex(e.Folder); err != nil {
		return sum, err
	}
	defer w.close()
	for after, more := int64(0), true; more; {
		var page []report.Issued
		if page, after, more, err = e.Issues.Issued(ctx, e.Filter, after, exportedAtOnce); err != nil {
			return sum, err
		}
		for i := range page {
			if err := e.invoice(ctx, w, &page[i], &sum); err != nil {
				return sum, err
			}
			if e.Told != nil {
				e.Told()
			}
		}
	}
	return sum, w.finish()
}

// invoice writes the documents of an invoice.
func (e *Export) invoice(ctx context.Context, w *exportWriter, i *report.Issued, sum *Exported) error {
	sum.Invoices++
	failed := false
	for _, format := range e.Formats {
		row := indexed{
			Number: i.Number, Issuer: i.Issuer, Kind: i.Kind, Date: i.Date, Currency: i.Currency, Total: invoice.FormatMinor(i.TotalMinor, i.Currency), Format: string(format),
		}
		making, cancel := context.WithTimeout(ctx, madeWithin)
		kept, err := e.Getter.Get(making, i.ID, format, "")
		cancel()
		switch {
		case errors.Is(err, document.ErrErased):
			row.Problem = "the personal data of the invoice was erased"
		case err != nil && isFatal(ctx, err):
			return err
		case err != nil:
			row.Problem, failed = err.Error(), true
		default:
			row.File, row.SHA256, row.Size = w.name(i, format), hex.EncodeToString(kept.SHA256[:]), kept.Size
			if err := w.add(row.File, dayOf(i.Date), format.HasLanguage(), kept.Content); err != nil {
				return err
			}
			sum.Files++
			sum.Bytes += kept.Size
		}
		if err := w.index(&row); err != nil {
			return err
		}
	}
	if i.Erased {
		sum.Erased++
	}
	if failed {
		if sum.Failures++; len(sum.Failed) < mostNamed {
			sum.Failed = append(sum.Failed, i.Number)
		}
	}
	return nil
}

// isFatal reports whether an error is none of the invoice's, so that the next one would fail as well.
func isFatal(ctx context.Context, err error) bool {
	state := (interface{ SQLState() string })(nil)
	return ctx.Err() != nil || errors.Is(err, invoice.ErrUnavailable) || errors.Is(err, document.ErrMayNotKeep) || errors.Is(err, document.ErrBusy) || errors.As(err, &state)
}

// earliest is the first day that a ZIP file can state.
func earliest() time.Time { return time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC) }

func dayOf(date string) time.Time {
	day, err := time.Parse(time.DateOnly, date)
	if err != nil || day.Before(earliest()) {
		return earliest()
	}
	return day
}

// An exportWriter writes the file, and gathers the index beside it.
type exportWriter struct {
	zip   *zip.Writer
	names map[uint64]struct{} // hashes of names that are taken, in small letters: some systems don't tell them from large ones

	files [2]*os.File
	named [2]bool // whether they have names
	json  *bufio.Writer
	csv   *csv.Writer
	rows  int
}

func (w *exportWriter) openIndex(folder string) (err error) {
	for n := range w.files {
		if w.files[n], err = os.CreateTemp(folder, ".invoicer-index-"); err != nil {
			w.close()
			return err
		}
		// Without a name it is gone when the process is, however that ends. Where what is open can't be removed, it is at the end.
		w.named[n] = os.Remove(w.files[n].Name()) != nil
	}
	w.json, w.csv = bufio.NewWriter(w.files[0]), csv.NewWriter(w.files[1])
	return w.csv.Write(columns())
}

func (w *exportWriter) close() {
	for n, f := range w.files {
		if f != nil {
			_ = f.Close()
		}
		if w.named[n] {
			_ = os.Remove(f.Name())
		}
	}
}

// name returns a name in the file that no other document has.
func (w *exportWriter) name(i *report.Issued, format document.Format) string {
	folder := string(format) + "/"
	if i.Issuer != "" {
		folder = i.Issuer + "/" + folder
	}
	for n := 1; ; n++ {
		number := i.Number
		if n > 1 {
			number += "~" + strconv.Itoa(n)
		}
		name := folder + document.FileName(number, format, "")
		sum := fnv.New64a()
		_, _ = sum.Write([]byte(strings.ToLower(name))) // it never fails
		if _, taken := w.names[sum.Sum64()]; !taken {
			w.names[sum.Sum64()] = struct{}{}
			return name
		}
	}
}

// add adds a file. What is compressed already is stored as it is.
func (w *exportWriter) add(name string, at time.Time, compressed bool, content []byte) error {
	h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: at}
	if compressed {
		h.Method = zip.Store
	}
	f, err := w.zip.CreateHeader(h)
	if err == nil {
		_, err = f.Write(content)
	}
	return err
}

func (w *exportWriter) index(row *indexed) error {
	text, err := json.Marshal(row)
	if err != nil {
		return err
	}
	begin := ",\n"
	if w.rows == 0 {
		begin = "[\n"
	}
	w.rows++
	_, _ = w.json.WriteString(begin) // its error comes back at the next call, or from Flush
	if _, err := w.json.Write(text); err != nil {
		return err
	}
	return w.csv.Write(row.row())
}

// finish adds the index, and ends the file.
func (w *exportWriter) finish() error {
	end := "\n]\n"
	if w.rows == 0 {
		end = "[]\n"
	}
	_, _ = w.json.WriteString(end) // as above
	w.csv.Flush()
	if err := errors.Join(w.json.Flush(), w.csv.Error()); err != nil {
		return err
	}
	for n, name := range []string{"index.json", "index.csv"} {
		if _, err := w.files[n].Seek(0, io.SeekStart); err != nil {
			return err
		}
		f, err := w.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: earliest()})
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, w.files[n]); err != nil {
			return err
		}
	}
	return w.zip.Close()
}
