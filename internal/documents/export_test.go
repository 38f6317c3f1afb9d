package documents_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"invoicer/internal/documents"
	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/document"
)

// A list lists so many documents; get makes each.
type list struct {
	n    int
	of   func(id int64) report.Issued
	fail func(id int64) error
}

func numbered(id int64) report.Issued {
	return report.Issued{ID: id, Number: fmt.Sprintf("INV-%06d", id), Kind: "invoice", Date: "2026-03-31", Currency: "EUR", TotalMinor: 100 + id}
}

func (l list) Issued(_ context.Context, _ report.IssuedFilter, after int64, limit int) (page []report.Issued, next int64, more bool, err error) {
	for next = after; next < int64(l.n) && len(page) < limit; {
		next++
		page = append(page, l.of(next))
	}
	return page, next, next < int64(l.n), nil
}

func (l list) Get(_ context.Context, id int64, f document.Format, _ string) (document.Kept, error) {
	if l.fail != nil && l.fail(id) != nil {
		return document.Kept{}, l.fail(id)
	}
	content := fmt.Appendf(nil, "%s of %d", f, id)
	return document.Kept{InvoiceID: id, Format: f, Content: content, Size: int64(len(content)), SHA256: sha256.Sum256(content)}, nil
}

func written(t *testing.T, l list, formats ...document.Format) (*zip.Reader, documents.Exported, []byte) {
	t.Helper()
	var out bytes.Buffer
	sum, err := (&documents.Export{Issues: l, Getter: l, Formats: formats, Folder: t.TempDir()}).Write(t.Context(), &out)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return z, sum, out.Bytes()
}

func content(t *testing.T, z *zip.Reader, name string) []byte {
	t.Helper()
	f, err := z.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Each file is what the index says of it, whatever its number, and the same documents give the same bytes.
func TestExport(t *testing.T) {
	t.Parallel()
	numbers := []string{"INV-1", "inv-1", "R/1", "R-1", `=cmd|'/c calc'!A1`, "../../x", "Größe 1", "none", "gone"}
	l := list{n: len(numbers), of: func(id int64) report.Issued {
		one := numbered(id)
		if one.Number = numbers[id-1]; id == 3 {
			one.Issuer, one.Kind, one.TotalMinor, one.Date = "ACME-DE", "credit_note", -100, "1970-01-01"
		}
		one.Erased = one.Number == "gone"
		return one
	}, fail: func(id int64) error {
		switch numbers[id-1] {
		case "none":
			return &document.UnmadeError{Number: "none", Format: document.AsPDF, Err: errors.New("no font has it")}
		case "gone":
			return document.ErrErased
		}
		return nil
	}}
	z, sum, first := written(t, l, document.AsPDF, document.AsUBL)
	if sum.Invoices != 9 || sum.Files != 14 || sum.Erased != 1 || sum.Failures != 1 || strings.Join(sum.Failed, ",") != "none" {
		t.Errorf("%+v", sum)
	}
	if _, _, second := written(t, l, document.AsPDF, document.AsUBL); !bytes.Equal(first, second) {
		t.Error("other bytes the second time")
	}
	var rows []struct {
		Number  string `json:"invoice_number"`
		Issuer  string
		Total   string
		Format  string
		File    string
		SHA256  string
		Size    int
		Problem string
	}
	if err := json.Unmarshal(content(t, z, "index.json"), &rows); err != nil {
		t.Fatal(err)
	}
	lower := make(map[string]bool)
	for i, r := range rows {
		if r.Number != numbers[i/2] {
			t.Errorf("row %d is of %q", i, r.Number)
		}
		if r.File == "" {
			if r.Problem == "" || r.Number != "none" && r.Number != "gone" {
				t.Errorf("no file: %+v", r)
			}
			continue
		}
		text := content(t, z, r.File) // fs.FS takes no name that leads elsewhere
		hash := sha256.Sum256(text)
		if hex.EncodeToString(hash[:]) != r.SHA256 || len(text) != r.Size || string(text) != fmt.Sprintf("%s of %d", r.Format, i/2+1) || r.Problem != "" {
			t.Errorf("%+v is %q", r, text)
		}
		if lower[strings.ToLower(r.File)] {
			t.Errorf("two files are %s on some systems", r.File)
		}
		lower[strings.ToLower(r.File)] = true
	}
	if len(lower) != 14 || rows[4].File != "ACME-DE/pdf/R-1.pdf" || rows[4].Total != "-1.00" || rows[2].File != "pdf/inv-1~2.pdf" {
		t.Errorf("%d files, %+v, %+v", len(lower), rows[4], rows[2])
	}
	table, err := csv.NewReader(bytes.NewReader(content(t, z, "index.csv"))).ReadAll()
	if err != nil || len(table) != 19 || strings.Join(table[0], ",") != "invoice_number,issuer,kind,date,currency,total,format,file,sha256,size,problem" || !strings.HasPrefix(table[9][0], "'=cmd") {
		t.Errorf("%v: %v", err, table)
	}
}

// Nothing at all has an index, too.
func TestExportOfNothing(t *testing.T) {
	t.Parallel()
	z, sum, _ := written(t, list{}, document.AsPDF)
	if got := string(content(t, z, "index.json")); got != "[]\n" || sum.Invoices != 0 || len(z.File) != 2 {
		t.Errorf("%s %+v", got, sum)
	}
}

// More files than a ZIP file had room for once are all there, and take little memory each.
func TestExportOfMany(t *testing.T) {
	t.Parallel()
	const many = 70_000 // 65,535 were the most
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	file, err := os.Create(filepath.Join(t.TempDir(), "many.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	l, told := list{n: many, of: numbered}, 0
	var peak uint64
	e := documents.Export{Issues: l, Getter: l, Formats: []document.Format{document.AsPDF}, Folder: t.TempDir(), Told: func() {
		if told++; told%10_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&after)
			peak = max(peak, after.HeapAlloc)
		}
	}}
	sum, err := e.Write(t.Context(), file)
	if err != nil || sum.Files != many || told != many {
		t.Fatalf("%+v, %v", sum, err)
	}
	z, err := zip.OpenReader(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if len(z.File) != many+2 {
		t.Errorf("%d files", len(z.File))
	}
	if got := content(t, &z.Reader, "pdf/INV-070000.pdf"); string(got) != "pdf of 70000" {
		t.Errorf("the last is %q", got)
	}
	each := (float64(peak) - float64(before.HeapAlloc)) / many
	t.Logf("%.0f bytes of memory for each file", each)
	if each > 1500 {
		t.Errorf("%.0f bytes of memory for each file", each)
	}
}

// What fails for reasons of the servers, or is broken off, fails as a whole.
func TestExportThatFails(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{invoice.ErrUnavailable, document.ErrMayNotKeep} {
		l := list{n: 3, of: numbered, fail: func(id int64) error {
			if id == 2 {
				return fmt.Errorf("of 2: %w", cause)
			}
			return nil
		}}
		folder := t.TempDir()
		_, err := (&documents.Export{Issues: l, Getter: l, Formats: []document.Format{document.AsPDF}, Folder: folder}).Write(t.Context(), io.Discard)
		if !errors.Is(err, cause) {
			t.Errorf("%v", err)
		}
		if left, _ := os.ReadDir(folder); len(left) != 0 {
			t.Errorf("%v are left", left)
		}
	}
}
