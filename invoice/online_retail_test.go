package invoice_test

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"invoicer/invoice"
)

// The transactions of a real shop come to what is known of them: one day, and with it the whole year where that is
// there too.
func TestOnlineRetail(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("INVOICER_TEST_DATA")
	if dir == "" {
		t.Skip("INVOICER_TEST_DATA names no folder with the real transactions")
	}
	t.Run("day", func(t *testing.T) {
		t.Parallel()
		f := open(t, filepath.Join(dir, "online_retail_sample_2010-12-01.jsonl"))
		got := addUp(t, f)
		if got.transactions != 143 || got.lines != 3108 || got.invoiced+got.credited != 5863556 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("year", func(t *testing.T) {
		t.Parallel()
		f := open(t, filepath.Join(dir, "online_retail.jsonl.gz"))
		unzipped, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		want := totals{
			transactions: 25_900, lines: 541_909,
			invoices: 22_062, zero: 2_102, invoiced: 1_066_668_454,
			creditNotes: 3_838, credited: -91_893_661,
		}
		if got := addUp(t, unzipped); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

func open(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("INVOICER_TEST_DATA has no %s", filepath.Base(name))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

type totals struct {
	transactions, lines, invoices, zero, creditNotes int
	invoiced, credited                               int64
}

func addUp(t *testing.T, r io.Reader) (sum totals) {
	t.Helper()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, invoice.MaxPayload+1)
	for lines.Scan() {
		sum.transactions++
		job, err := invoice.Decode(lines.Bytes())
		if err != nil {
			t.Fatalf("line %d: %v", sum.transactions, err)
		}
		totals, err := job.Calculate()
		if err != nil {
			t.Fatalf("line %d: %v", sum.transactions, err)
		}
		sum.lines += len(job.Lines)
		switch {
		case totals.Kind == invoice.KindCreditNote:
			sum.creditNotes++
			sum.credited += totals.Total
			continue
		case totals.Total == 0:
			sum.zero++
		}
		sum.invoices++
		sum.invoiced += totals.Total
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return sum
}
