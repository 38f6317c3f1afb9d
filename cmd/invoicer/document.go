package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"invoicer/internal/documents"
	"invoicer/invoice/document"
	"invoicer/invoice/document/pdf"
	"invoicer/invoice/postgres"
)

func (a app) documentCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "document",
		Short:   "Hand out and check invoices as PDF, UBL, CII or Factur-X",
		GroupID: groupLook,
		Long: `Hands out invoices as customers and authorities are sent them, and draws a
made-up one, to try a template. Reads those of others, and says what is wrong.`,
	}
	cmd.AddCommand(a.documentGetCommand(), a.documentExportCommand(), a.documentCheckCommand(), a.documentPreviewCommand(), a.documentMailPreviewCommand())
	return cmd
}

func (a app) documentGetCommand() *cobra.Command {
	var wait time.Duration
	var format, language, issuer, file string
	cmd := &cobra.Command{
		Use:   "get NUMBER",
		Short: "Write the document of an invoice into a file",
		Long: `Writes the document of an invoice or a credit note into a file: as a page
(pdf), as UBL 2.1 (ubl), as CII D16B (cii), or as a page with the CII in it
(facturx). The first one that is made in a format is kept for ever: whoever asks
again gets the same bytes. The original of a page is in the language that the job
stated, or in English; one in another language says that it is a copy.

Languages: ` + strings.Join(pdf.Languages(), ", ") + `; with a country where it writes in its
own way: ` + strings.Join(pdf.Countries(), ", ") + `.

The look of a page is that of documents.template, and the rules of the others are
those of documents.profile.`,
		Example: `  invoicer document get INV-000001
  invoicer document get INV-000001 --format ubl -o invoice.xml
  invoicer document get R2026/17 --language fr -o - > facture.pdf`,
		Args: oneArg("the number of the invoice"),
	}
	cmd.Flags().StringVar(&format, "format", "pdf", "as what: pdf, ubl, cii or facturx")
	cmd.Flags().StringVar(&language, "language", "", "in this `language`, such as de; else the one that the job stated")
	_ = cmd.RegisterFlagCompletionFunc("language", cobra.FixedCompletions(append(pdf.Languages(), pdf.Countries()...), cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().StringVar(&issuer, "issuer", "", "of this issuer (its `code`), where several have the number")
	cmd.Flags().StringVarP(&file, "out", "o", "", "into this `file`, - for standard output (default the number)")
	addWaitFlag(cmd, &wait)
	addConfigFlags(cmd, "documents")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		if !slices.Contains(document.Formats(), document.Format(format)) {
			return usageErrorf("--format %s: must be pdf, ubl, cii or facturx", format)
		}
		if _, err := pdf.Spoken(language); err != nil && language != "" {
			return usageErrorf("--%w", err)
		}
		if _, err := pageTemplate(cfg); err != nil {
			return err
		}
		return withServers(cmd, cfg, wait, func(store *postgres.DB, _ redis.UniversalClient) error {
			maker, err := newMaker(cfg, store)
			if err != nil {
				return err
			}
			kept, err := handOut(cmd, store, maker, args[0], issuer, document.Format(format), language)
			if err != nil {
				return withoutTables(cfg.Database.Schema, err)
			}
			return writeKept(cmd, args[0], file, kept)
		})
	}
	return cmd
}

func handOut(cmd *cobra.Command, store *postgres.DB, maker *documents.Maker, number, issuer string, format document.Format, language string) (kept document.Kept, err error) {
	var issuers []string
	if cmd.Flags().Changed("issuer") {
		issuers = []string{issuer}
	}
	found, err := store.Reports.Numbered(cmd.Context(), issuers, number)
	if err != nil {
		return kept, err
	}
	switch len(found) {
	case 0:
		return kept, fmt.Errorf("there is no invoice %s; 'invoicer list invoices' shows what there is", number)
	case 1:
		return maker.Get(cmd.Context(), found[0].ID, format, language)
	}
	var codes []string
	for i := range found {
		codes = append(codes, found[i].Issuer)
	}
	return kept, fmt.Errorf("several issuers have an invoice %s: say which one with --issuer: %s", number, strings.Join(codes, ", "))
}

// writeKept writes a document into a file, which must not be there unless it was named.
func writeKept(cmd *cobra.Command, number, file string, kept document.Kept) error {
	if file == "-" {
		_, err := cmd.OutOrStdout().Write(kept.Content)
		return err
	}
	flags := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	if file == "" {
		file, flags = document.FileName(number, kept.Format, ""), os.O_CREATE|os.O_WRONLY|os.O_EXCL
	}
	f, err := os.OpenFile(file, flags, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("there is a file %s already: name another one, or the same to overwrite it, with -o", file)
	}
	if err != nil {
		return err
	}
	if _, err = f.Write(kept.Content); err == nil {
		err = f.Close()
	} else {
		_ = f.Close()
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%s: %d bytes, SHA-256 %x, made %s\n", file, kept.Size, kept.SHA256, instant(kept.MadeAt))
	return err
}
