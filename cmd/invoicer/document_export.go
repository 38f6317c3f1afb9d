package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/documents"
	"invoicer/internal/report"
	"invoicer/internal/term"
	"invoicer/invoice/document"
	"invoicer/invoice/postgres"
)

// A documentExport is what a command asks for.
type documentExport struct {
	year     int
	from, to string
	series   string
	formats  []string
	file     string
	issuer   issuerFlag
}

func (a app) documentExportCommand() *cobra.Command {
	var wait time.Duration
	var e documentExport
	cmd := &cobra.Command{
		Use:   "export --year YEAR -o FILE.zip",
		Short: "Write the documents of a year into a ZIP file, with an index",
		Args:  noArgs,
		Long: `Writes the documents of all invoices and credit notes of a year, or of other
days, into a ZIP file. index.csv and index.json in it name each with its number,
date, total, file, size and SHA-256. Documents that weren't made yet are made
and kept; the same documents give the same bytes. The day is the document's date.

An invoice that can't be written in a format is named at the end and in the
index, with the reason; the others are there, and the exit code is 1. Until all
is written, the file has another name. It holds personal data: keep it as such.`,
		Example: `  invoicer document export --year 2026 --format pdf,ubl -o 2026.zip
  invoicer document export --year 2026 --issuer ACME-DE -o de.zip
  invoicer document export --from 2026-01-01 --to 2026-03-31 -o - > quarter.zip`,
	}
	flags := cmd.Flags()
	flags.IntVar(&e.year, "year", 0, "of this `year`")
	flags.StringVar(&e.from, "from", "", "from this `day` on, such as 2026-01-31")
	flags.StringVar(&e.to, "to", "", "up to this `day`, with it")
	flags.StringVar(&e.series, "series", "", "of this `series` alone")
	flags.StringSliceVar(&e.formats, "format", []string{string(document.AsPDF)}, "as what: some of pdf, ubl, cii and facturx")
	flags.StringVarP(&e.file, "out", "o", "", "into this `file`, - for standard output; required")
	e.issuer.add(cmd, "of this issuer alone")
	addWaitFlag(cmd, &wait)
	addConfigFlags(cmd, "documents")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := e.check(cmd.OutOrStdout()); err != nil {
			return err
		}
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		if _, err := pageTemplate(cfg); err != nil {
			return err
		}
		store, err := openStore(cmd.Context(), cfg, waiter(cmd, wait))
		if err != nil {
			return err
		}
		defer store.Close()
		if err := e.run(cmd, cfg, store); err != nil {
			return withoutTables(cfg.Database.Schema, err)
		}
		return nil
	}
	return cmd
}

// check completes what was asked for, and returns an error that names all that is wrong with it.
func (e *documentExport) check(out io.Writer) error {
	var wrong []string
	add := func(format string, values ...any) { wrong = append(wrong, fmt.Sprintf(format, values...)) }
	switch {
	case e.year != 0 && (e.from != "" || e.to != ""):
		add("--year and --from or --to say the same: leave one of them out")
	case e.year != 0 && (e.year < 1000 || e.year > 9999):
		add("--year %d: must have four digits", e.year)
	case e.year != 0:
		e.from, e.to = fmt.Sprintf("%d-01-01", e.year), fmt.Sprintf("%d-12-31", e.year)
	case e.from == "" && e.to == "":
		add("--year is missing: say which one, or give --from and --to")
	}
	for _, day := range []struct{ flag, value string }{{"--from", e.from}, {"--to", e.to}} {
		if _, err := time.Parse(time.DateOnly, day.value); day.value != "" && err != nil {
			add("%s %q: must be a day such as 2026-01-31", day.flag, day.value)
		}
	}
	if len(wrong) == 0 && e.to != "" && e.to < e.from {
		add("--to %s is before --from %s", e.to, e.from)
	}
	for _, f := range e.formats {
		if !slices.Contains(document.Formats(), document.Format(f)) {
			add("--format %s: must be pdf, ubl, cii or facturx", f)
		}
	}
	switch {
	case len(e.formats) == 0:
		add("--format is empty: give some of pdf, ubl, cii and facturx")
	case e.file == "":
		add("-o is missing: name the file, or - for standard output")
	case e.file == "-" && term.IsTerminal(out):
		add("a ZIP file is nothing for a terminal: name a file with -o")
	}
	if len(wrong) > 0 {
		return usageErrorf("%s", strings.Join(wrong, "\n"))
	}
	return nil
}

func (e *documentExport) run(cmd *cobra.Command, cfg *config.Config, store *postgres.DB) error {
	maker, err := newMaker(cfg, store)
	if err != nil {
		return err
	}
	progress := term.NewProgress(cmd.ErrOrStderr(), -1, "exporting", "invoices")
	defer progress.Stop(false)
	ctx, stop := untilSignal(cmd.Context(), func() { progress.Say("stopping") })
	defer stop()
	export := documents.Export{
		Issues: store.Documents, Getter: maker, Told: func() { progress.Sent.Add(1) },
		Filter: report.IssuedFilter{From: e.from, To: e.to, Issuer: e.issuer.orAll(cmd), Series: e.series},
	}
	for _, f := range e.formats {
		if format := document.Format(f); !slices.Contains(export.Formats, format) {
			export.Formats = append(export.Formats, format)
		}
	}
	var sum documents.Exported
	if e.file == "-" {
		sum, err = export.Write(ctx, cmd.OutOrStdout())
	} else {
		export.Folder = filepath.Dir(e.file)
		err = writeWhole(e.file, func(out io.Writer) (err error) {
			sum, err = export.Write(ctx, out)
			return err
		})
	}
	progress.Stop(err == nil)
	if errors.Is(context.Cause(ctx), errSignal) && err != nil {
		return errors.New("stopped by a signal: nothing was written under the name of the file")
	}
	if err != nil {
		return err
	}
	return e.tell(cmd.ErrOrStderr(), &sum)
}

// tell prints how many invoices and files were exported. It returns an error that names the invoices that have no document.
func (e *documentExport) tell(out io.Writer, sum *documents.Exported) error {
	_, _ = fmt.Fprintf(out, "invoices: %s, files: %s, bytes: %s", term.Thousands(sum.Invoices), term.Thousands(sum.Files), term.Thousands(int(sum.Bytes)))
	if sum.Erased > 0 {
		_, _ = fmt.Fprintf(out, ", erased, so that they have no document any more: %s", term.Thousands(sum.Erased))
	}
	_, _ = fmt.Fprintln(out)
	if sum.Failures == 0 {
		return nil
	}
	named := strings.Join(sum.Failed, ", ")
	if more := sum.Failures - len(sum.Failed); more > 0 {
		named += fmt.Sprintf(" and %s more", term.Thousands(more))
	}
	return fmt.Errorf("not every document can be made; the rest is written, and index.csv says why: %s", named)
}

// writeWhole writes a file that has its name once it is whole and on the disk: a reader never finds a part of it there.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".invoicer-export-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	if err = write(file); err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
