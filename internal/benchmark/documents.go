package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"invoicer/internal/documents"
	"invoicer/invoice/document"
	"invoicer/invoice/document/cii"
	"invoicer/invoice/document/pdf"
	"invoicer/invoice/document/ubl"
	"invoicer/worker"
)

// rendered are jobs whose invoices become documents, or don't.
func rendered() []beside {
	pages := []document.Format{document.AsPDF, document.AsUBL}
	return []beside{
		{"no documents", ours{}},
		{"documents are owed, and made elsewhere", ours{alter: "INSERT INTO document_formats VALUES ('pdf'), ('ubl')"}},
		{"documents are made beside invoices", ours{extras: extras{formats: pages}}},
	}
}

// clerk makes documents of each invoice, as the workers of cmd/invoicer do.
func (w *workplace) clerk(ctx context.Context, formats []document.Format, made func(document.Owed, time.Duration, error)) (*documents.Worker, error) {
	if err := w.store.Documents.Configure(ctx, formats); err != nil {
		return nil, err
	}
	template := pdf.DefaultTemplate()
	maker := &documents.Maker{Store: w.store.Documents, Version: "benchmark", Writers: map[document.Format]documents.Write{
		document.AsUBL: func(d *document.Document, _ document.Profile, _ bool) ([]byte, string, error) {
			content, err := ubl.Write(d, document.None)
			return content, document.None.Rules(d.IssueDate), err
		},
		document.AsCII: func(d *document.Document, _ document.Profile, _ bool) ([]byte, string, error) {
			content, err := cii.Write(d, document.None)
			return content, document.None.Rules(d.IssueDate), err
		},
		document.AsPDF: func(d *document.Document, _ document.Profile, _ bool) ([]byte, string, error) {
			drawn, err := pdf.Render(d, pdf.Options{Template: template})
			if err != nil {
				return nil, "", err
			}
			return drawn.PDF, "", nil
		},
	}}
	return &documents.Worker{Maker: maker, Debts: w.store.Documents, Logger: slog.New(slog.DiscardHandler), Made: made}, nil
}

// drained says how documents were made of invoices that were there already, by one worker that has nothing else to do.
type drained struct {
	Format  string
	Made    int
	PerCPU  float64 // documents per second of the worker's CPU
	PerWall float64 // documents per second, with the pause after each
}

// drain makes documents of as many invoices, for each format by itself.
func (b *bench) drain(ctx context.Context, o options, jobs int) (list []drained, err error) {
	for _, format := range []document.Format{document.AsPDF, document.AsUBL, document.AsCII} {
		d, err := b.drainOne(ctx, o, jobs, format)
		if err != nil {
			return nil, err
		}
		b.tell("%s: %d documents, %.0f per second of CPU, %.0f per second", d.Format, d.Made, d.PerCPU, d.PerWall)
		list = append(list, d)
	}
	return list, nil
}

func (b *bench) drainOne(ctx context.Context, o options, jobs int, format document.Format) (d drained, err error) {
	if err := b.empty(ctx, schema); err != nil {
		return d, err
	}
	if err := b.migrate(ctx, schema); err != nil {
		return d, err
	}
	if err := b.exec(ctx, schema, "INSERT INTO document_formats VALUES ('"+string(format)+"')"); err != nil {
		return d, err
	}
	ended := make(chan struct{}, jobs)
	w, err := newWorkplace(ctx, b, o.common, schema, extras{}, func(e worker.Event) {
		if e.What == worker.Ended {
			ended <- struct{}{}
		}
	})
	if err != nil {
		return d, err
	}
	defer w.close()
	if err := enqueue(ctx, w.redis, fiveLines.first(jobs)); err != nil {
		return d, err
	}
	stop, err := w.start(ctx)
	if err != nil {
		return d, err
	}
	defer stop()
	for n := range jobs {
		select {
		case <-ended:
		case <-time.After(time.Minute):
			return d, fmt.Errorf("documents: %d of %d jobs ended", n, jobs)
		case <-ctx.Done():
			return d, ctx.Err()
		}
	}
	stop()

	making, done := context.WithCancel(ctx)
	defer done()
	var failed error
	clerk, err := w.clerk(ctx, []document.Format{format}, func(_ document.Owed, _ time.Duration, err error) {
		if err != nil {
			failed = err
		}
		if d.Made++; d.Made == jobs || err != nil {
			done()
		}
	})
	if err != nil {
		return d, err
	}
	before, begun := ownCPU(), time.Now()
	clerk.Run(making)
	if failed != nil {
		return d, failed
	}
	d.Format = string(format)
	d.PerCPU, d.PerWall = float64(d.Made)/(ownCPU()-before), float64(d.Made)/time.Since(begun).Seconds()
	return d, ctx.Err()
}

func (f *full) drainedTable() table {
	t := table{title: "Documents of one worker that has nothing else to do", header: []string{"format", "documents", "per second of its CPU", "per second"}}
	for _, d := range f.Drained {
		t.rows = append(t.rows, []string{d.Format, thousands(float64(d.Made)), thousands(d.PerCPU), thousands(d.PerWall)})
	}
	return t
}
