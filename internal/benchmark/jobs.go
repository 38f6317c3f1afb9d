package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"invoicer/invoice"
)

// A source has jobs without end. The same number is always the same job, so every contestant gets the same ones.
type source struct {
	name    string
	payload func(i int) ([]byte, error)
}

// jobs are the first n of a source.
type jobs struct {
	n       int
	payload func(i int) ([]byte, error)
}

func (s source) first(n int) jobs { return jobs{n: n, payload: s.payload} }

// each hands all jobs out, from several goroutines at once, and about in order. They are not kept: a large heap would
// spare the contestants the collector's work.
func (j jobs) each(ctx context.Context, f func(ctx context.Context, i int, payload []byte) error) error {
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range 16 {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= j.n {
					return nil
				}
				payload, err := j.payload(i)
				if err != nil {
					return err
				}
				if err := f(ctx, i, payload); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// chunks hands all jobs out in order, many at a time.
func (j jobs) chunks(size int, f func(payloads [][]byte) error) error {
	var chunk [][]byte
	for i := range j.n {
		payload, err := j.payload(i)
		if err != nil {
			return err
		}
		chunk = append(chunk, payload)
		if len(chunk) == size || i == j.n-1 {
			if err := f(chunk); err != nil {
				return err
			}
			chunk = chunk[:0]
		}
	}
	return nil
}

// realName is the name of the source of real transactions, where they are.
const realName = "real transactions"

// fiveLines are the synthetic jobs: five lines, two tax percentages.
var fiveLines = source{"5 lines", func(i int) ([]byte, error) { return synthetic("T", i, 5) }}

// synthetic makes up a job.
func synthetic(prefix string, number, lines int, edits ...func(*invoice.Job)) ([]byte, error) {
	r := rand.New(rand.NewPCG(uint64(number), 0))
	full, reduced := invoice.NewDecimal(20, 0), invoice.NewDecimal(5, 0)
	job := invoice.Job{
		TransactionID: prefix + strconv.Itoa(number),
		Details: invoice.Details{
			CustomerID:   strconv.Itoa(12346 + r.IntN(4400)),
			CustomerName: "Benchmark & Sons Ltd.",
			Country:      "United Kingdom",
		},
		Currency: "GBP",
		IssuedAt: time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC).Add(time.Duration(number) * time.Second),
		Lines:    make([]invoice.Line, lines),
	}
	for i := range job.Lines {
		line := invoice.Line{
			SKU:         strconv.Itoa(20000 + r.IntN(70000)),
			Description: "WHITE HANGING HEART T-LIGHT HOLDER",
			Quantity:    invoice.NewDecimal(int64(1+r.IntN(24)), 0),
			UnitPrice:   invoice.NewDecimal(int64(10+r.IntN(2000)), 2),
			TaxPercent:  &full,
		}
		if i%2 == 1 {
			line.TaxPercent = &reduced
		}
		job.Lines[i] = line
	}
	for _, edit := range edits {
		edit(&job)
	}
	return job.Encode()
}

// sellGross states that prices contain the taxes, and a buyer.
func sellGross(j *invoice.Job) {
	j.Terms = &invoice.Terms{Prices: invoice.PricesGross, Buyer: &invoice.Party{
		Name: j.CustomerName, VATID: "GB123456789", Email: "ap@example.org",
		Address: &invoice.Address{Line1: "1 High Street", City: "London", Postcode: "N1 1AA", CountryCode: "GB"},
	}}
	for i := range j.Lines {
		j.Lines[i].Terms = &invoice.LineTerms{Unit: "C62"}
	}
}

// realTransactions are those of a real shop, in a file of this process's own, so that they are in no contestant's memory.
type realTransactions struct {
	file    *os.File
	offsets []int64
}

// openReal shuffles the transactions, always in the same way: any first ones are as long and as mixed as all of them.
func openReal(name string) (_ *realTransactions, err error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no real transactions: %w (unset INVOICER_TEST_DATA to do without)", err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var all [][]byte
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(nil, invoice.MaxPayload+1)
	for lines.Scan() {
		all = append(all, append([]byte(nil), lines.Bytes()...))
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s is empty", name)
	}
	rand.New(rand.NewPCG(1, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })

	t := &realTransactions{offsets: make([]int64, 1, len(all)+1)}
	if t.file, err = os.CreateTemp("", "invoicer-benchmark-*.jsonl"); err != nil {
		return nil, err
	}
	if err := os.Remove(t.file.Name()); err != nil { // it goes with this process
		return nil, err
	}
	w := bufio.NewWriter(t.file)
	for _, line := range all {
		if _, err := w.Write(line); err != nil {
			return nil, err
		}
		t.offsets = append(t.offsets, t.offsets[len(t.offsets)-1]+int64(len(line)))
	}
	return t, w.Flush()
}

func (t *realTransactions) close() { _ = t.file.Close() }

func (t *realTransactions) source() source { return source{realName, t.payload} }

// payload begins again under other ids where the transactions come to their end.
func (t *realTransactions) payload(i int) ([]byte, error) {
	count := len(t.offsets) - 1
	from, to := t.offsets[i%count], t.offsets[i%count+1]
	line := make([]byte, to-from)
	if _, err := t.file.ReadAt(line, from); err != nil {
		return nil, err
	}
	if i < count {
		return line, nil
	}
	job, err := invoice.Decode(line)
	if err != nil {
		return nil, err
	}
	job.TransactionID = fmt.Sprintf("%s-%d", job.TransactionID, i/count)
	job.IdempotencyKey = job.TransactionID
	return job.Encode()
}
