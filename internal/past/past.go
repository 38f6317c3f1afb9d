// Package past reads transactions that were invoiced elsewhere, from JSON Lines or CSV, and hands them over in batches.
package past

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"invoicer/internal/await"
	"invoicer/internal/importer"
	"invoicer/internal/term"
	"invoicer/invoice"
)

// An Importer imports all rows of an input. Set the fields before Run, and call Run once.
type Importer struct {
	// Add imports a batch, and returns what became of each member. It is called again with the same batch after an error that
	// waiting helps against.
	Add func(context.Context, []invoice.Import) ([]invoice.Addition, error)
	// Issuer is whose the rows are that name none.
	Issuer string
	// Server is the server's name, for messages.
	Server string
	// Waiter waits for a server that doesn't answer.
	Waiter await.Waiter
	// Progress shows the number of rows that are done, and the bad lines.
	Progress *term.Progress

	// What became of the lines so far. Read them only after Run has returned.
	Lines, Imported, Known, Bad int
	// Done is the last line that is done, 0 for none.
	Done int

	size atomic.Int64 // of the next batch
}

const (
	firstBatch, smallestBatch, largestBatch = 500, 100, 5000
	// A batch should take between these times. Nobody can write an invoice while it is compared with the invoices and commits,
	// which is about a quarter of that.
	shortBatch, longBatch = 60 * time.Millisecond, 150 * time.Millisecond
)

// mostTold is the number of bad lines that are shown. After as many, the file itself is wrong.
const mostTold = 1000

// Run imports all rows, and returns nil at the input's end. It returns an error if it stopped earlier: the cause of ctx if ctx
// ended, or else the error of the input or the server. What was imported by then is known when the same input comes again.
func (i *Importer) Run(ctx context.Context, input io.Reader) error {
	i.size.Store(firstBatch)
	reading, stop := context.WithCancel(ctx)
	defer stop()
	batches, ended := make(chan []row, 1), make(chan error, 1)
	// Reading from a silent pipe can't be interrupted. So nobody waits for this goroutine: it ends with the next line, or with the
	// process.
	go func() { ended <- i.read(reading, input, batches) }()
	for {
		select {
		case batch := <-batches:
			if err := i.add(ctx, batch); err != nil {
				return err
			}
		case err := <-ended:
			select {
			case batch := <-batches: // the last one, which was sent before the end
				if err := i.add(ctx, batch); err != nil {
					return err
				}
			default:
			}
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// read sends the rows in batches.
func (i *Importer) read(ctx context.Context, input io.Reader, batches chan<- []row) error {
	var batch []row
	send := func() error {
		select {
		case batches <- batch:
			batch = nil
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	err := readRows(input, func(r row) error {
		if batch = append(batch, r); len(batch) < int(i.size.Load()) {
			return nil
		}
		return send()
	})
	if len(batch) > 0 && ctx.Err() == nil {
		err = errors.Join(err, send())
	}
	return err
}

// add imports the good ones of a batch, and reports the bad ones.
func (i *Importer) add(ctx context.Context, batch []row) error {
	imports := make([]invoice.Import, 0, len(batch))
	for n := range batch {
		if one := &batch[n].imported; len(batch[n].problems) == 0 {
			one.Issuer = cmp.Or(one.Issuer, i.Issuer)
			imports = append(imports, *one)
		}
	}
	var added []invoice.Addition
	if len(imports) > 0 {
		err := i.Waiter.Answer(ctx, i.Server, func(ctx context.Context) (err error) {
			begun := time.Now()
			added, err = i.Add(ctx, imports)
			i.adapt(time.Since(begun))
			return err
		})
		if err != nil {
			return err
		}
	}
	for n := range batch {
		one := &batch[n]
		i.Lines++
		if len(one.problems) == 0 {
			addition := added[0]
			added = added[1:]
			switch {
			case len(addition.Problems) > 0:
				one.problems = addition.Problems
			case addition.Known:
				i.Known++
			default:
				i.Imported++
			}
		}
		if len(one.problems) > 0 {
			i.refused(one)
		}
		i.Done = one.line
	}
	i.Progress.Sent.Store(int64(i.Imported + i.Known))
	return nil
}

func (i *Importer) refused(one *row) {
	i.Bad++
	if i.Bad <= mostTold {
		i.Progress.Say(fmt.Sprintf("line %d: %s", one.line, importer.Problems(one.problems)))
	}
	if i.Bad == mostTold {
		i.Progress.Say("further bad lines are counted, and not shown")
	}
}

// adapt sets the size of the next batch by how long one took.
func (i *Importer) adapt(took time.Duration) {
	size := i.size.Load()
	switch {
	case took > longBatch:
		i.size.Store(max(smallestBatch, size/2))
	case took < shortBatch:
		i.size.Store(min(largestBatch, size+size/4))
	}
}
