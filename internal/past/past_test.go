package past

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"invoicer/internal/await"
	"invoicer/internal/term"
	"invoicer/invoice"
)

func TestRows(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ input, want string }{
		"JSON Lines": {
			"\n" + `{"transaction_id":"T1","invoice_number":"1"}` + "\n{}\n", "2 T1 1 T1; 3 transaction_id is required, invoice_number is required",
		},
		"CSV": {
			"transaction_id,invoice_number,idempotency_key\r\nT1,1,\r\n\r\nT2,\"a \"\"b\"\", c\",K\r\n", `2 T1 1 T1; 4 T2 a "b", c K`,
		},
		"other order, semicolons, spaces in the header": {
			" Invoice_Number ; transaction_id\n1,5;T1\n", "2 T1 1,5 T1",
		},
		"tabs, an empty last value": {"transaction_id\tinvoice_number\tcurrency\nT1\t1\t\n", "2 T1 1 T1"},
		"a byte order mark":         {"\xef\xbb\xbftransaction_id,invoice_number\nT1,1", "2 T1 1 T1"},
		"too few and too many":      {"transaction_id,invoice_number\nT1\nT1,1,\n", "2 line has 1 columns, and the header has 2; 3 line has 3 columns, and the header has 2"},
		"quotes": {
			"transaction_id,invoice_number\nT1,\"1\nT1,\"1\"2\n\"T1\",\"1\"\nT1,1\"\n",
			"2 line " + errQuotes.Error() + "; 3 line " + errQuotes.Error() + `; 4 T1 1 T1; 5 T1 1" T1`,
		},
		"no UTF-8":    {"transaction_id,invoice_number\nT1,\xff\n", "2 invoice_number must be 1 to 128 characters of valid text without control characters, and without spaces at its ends"},
		"a long line": {"transaction_id,invoice_number\nT1," + strings.Repeat("x", longestLine) + "\nT2,2", "2 line must not be longer than 65,536 bytes; 3 T2 2 T2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			err := readRows(strings.NewReader(test.input), func(r row) error {
				one := r.imported.TransactionID + " " + r.imported.InvoiceNumber + " " + r.imported.IdempotencyKey
				if len(r.problems) > 0 {
					var problems []string
					for _, p := range r.problems {
						problems = append(problems, p.Field+" "+p.Message)
					}
					one = strings.Join(problems, ", ")
				}
				got = append(got, fmt.Sprintf("%d %s", r.line, one))
				return nil
			})
			if err != nil || strings.Join(got, "; ") != test.want {
				t.Errorf("%q, %v; want %q", strings.Join(got, "; "), err, test.want)
			}
		})
	}
}

func TestWrongFiles(t *testing.T) {
	t.Parallel()
	for input, says := range map[string]string{
		"[\n{}\n]":                    "line 1: this is a JSON array",
		"\nid,number\n":               `line 2: the header has the column "id", which is no field of an import: its fields are transaction_id, invoice_number,`,
		"transaction_id,total\n":      "line 1: the header has no column invoice_number: its fields are",
		"total,total\n":               "line 1: the header has the column total twice",
		"\"total\n":                   "line 1: has a quote that isn't closed",
		"\xff\xfet\x00r\x00a\x00\n":   "line 1: the input is neither JSON Lines nor CSV with a header in UTF-8",
		"PK\x03\x04\x14\x00\x06\x00":  "line 1: the input is neither",
		"transaction_id\x1b[2J,total": `the header has the column "transaction_id\x1b[2J"`,
	} {
		err := readRows(strings.NewReader(input), func(row) error { return nil })
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", input, err, says)
		}
	}
}

func newImporter(t *testing.T, out io.Writer, add func([]invoice.Import) ([]invoice.Addition, error)) *Importer {
	t.Helper()
	progress := term.NewProgress(out, -1, "importing", "done")
	t.Cleanup(func() { progress.Stop(false) })
	return &Importer{
		Add:    func(_ context.Context, batch []invoice.Import) ([]invoice.Addition, error) { return add(batch) },
		Server: "the server", Waiter: await.Waiter{AtMost: 10 * time.Second, Tell: progress.Say}, Progress: progress,
	}
}

func TestEachLineIsCounted(t *testing.T) {
	t.Parallel()
	const lines = 3 * firstBatch
	var input strings.Builder
	input.WriteString("transaction_id,invoice_number\n")
	for n := range lines {
		fmt.Fprintf(&input, "T%d,%d\n", n, n)
	}
	input.WriteString(" T1,1\n")
	next, failed := 0, false
	i := newImporter(t, io.Discard, func(batch []invoice.Import) ([]invoice.Addition, error) {
		if next > 0 && !failed {
			failed = true
			return nil, errors.New("away")
		}
		added := make([]invoice.Addition, len(batch))
		for k, one := range batch {
			if want := fmt.Sprint(next); one.InvoiceNumber != want {
				t.Errorf("number %s comes where %s is due", one.InvoiceNumber, want)
			}
			added[k].Known = next%2 == 0
			if next%3 == 0 {
				added[k] = invoice.Addition{}
				added[k].Refuse("total", "is another")
			}
			next++
		}
		return added, nil
	})
	if err := i.Run(t.Context(), strings.NewReader(input.String())); err != nil {
		t.Fatal(err)
	}
	if next != lines || i.Lines != lines+1 || i.Bad != lines/3+1 || i.Known != lines/3 || i.Imported != lines/3 || i.Done != lines+2 || !failed {
		t.Errorf("%d came; %d lines, %d bad, %d known, %d imported, done up to %d", next, i.Lines, i.Bad, i.Known, i.Imported, i.Done)
	}
}

func TestBatchesFollowTheirTime(t *testing.T) {
	t.Parallel()
	i := &Importer{}
	i.size.Store(firstBatch)
	for range 100 {
		i.adapt(shortBatch / 2)
	}
	if n := i.size.Load(); n != largestBatch {
		t.Errorf("%d after short ones", n)
	}
	i.adapt((shortBatch + longBatch) / 2)
	if n := i.size.Load(); n != largestBatch {
		t.Errorf("%d after one that is right", n)
	}
	i.adapt(2 * longBatch)
	if n := i.size.Load(); n != largestBatch/2 {
		t.Errorf("%d after a long one", n)
	}
	for range 100 {
		i.adapt(2 * longBatch)
	}
	if n := i.size.Load(); n != smallestBatch {
		t.Errorf("%d after long ones", n)
	}
}

func TestOnlySoManyBadLinesAreShown(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	i := newImporter(t, &out, nil)
	if err := i.Run(t.Context(), strings.NewReader(strings.Repeat("{}\n", 2*mostTold))); err != nil {
		t.Fatal(err)
	}
	i.Progress.Stop(false)
	if n := strings.Count(out.String(), "\n"); n != mostTold+1 || i.Bad != 2*mostTold {
		t.Errorf("%d lines are shown, of %d bad ones", n, i.Bad)
	}
}

func TestStopsWhileTheInputIsSilent(t *testing.T) {
	t.Parallel()
	in, out := io.Pipe()
	defer out.Close()
	stopped := errors.New("stopped")
	ctx, stop := context.WithCancelCause(t.Context())
	i := newImporter(t, io.Discard, nil)
	done := make(chan error)
	go func() { done <- i.Run(ctx, in) }()
	if _, err := out.Write([]byte("{}\n")); err != nil {
		t.Fatal(err)
	}
	stop(stopped)
	if err := <-done; !errors.Is(err, stopped) {
		t.Errorf("error %v", err)
	}
}

func TestInputBreaksOff(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	i := newImporter(t, io.Discard, func(batch []invoice.Import) ([]invoice.Addition, error) {
		return make([]invoice.Addition, len(batch)), nil
	})
	err := i.Run(t.Context(), io.MultiReader(strings.NewReader("transaction_id,invoice_number\nT1,1\nT2,2\nT3"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || i.Imported != 2 || i.Done != 3 {
		t.Errorf("%v; %d imported, done up to %d", err, i.Imported, i.Done)
	}
}
