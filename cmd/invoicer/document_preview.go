package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"invoicer/internal/term"
	"invoicer/invoice/document"
	"invoicer/invoice/document/pdf"
	"invoicer/invoice/document/sample"
)

func (a app) documentPreviewCommand() *cobra.Command {
	var template, language, file, which string
	samples := append(sample.Names(), "long")
	cmd := &cobra.Command{
		Use:   "preview",
		Short: "Draw a made-up invoice as a PDF, to try a template",
		Args:  noArgs,
		Long: `Draws a made-up invoice as a PDF, as a template has it, without any server.
What is wrong with the template is told with the name of each field. The files
that it names (logo, fonts) are looked for beside it. A character that no font
has is drawn as a question mark, and told; of a real invoice it is an error.
The template's fields are in docs/documents.md.

Languages: ` + strings.Join(pdf.Languages(), ", ") + `.
Samples: ` + strings.Join(samples, ", ") + `.`,
		Example: `  invoicer document preview -o preview.pdf
  invoicer document preview --template invoice.yaml --language de -o preview.pdf
  invoicer document preview --sample long | pdftotext - -`,
	}
	flags := cmd.Flags()
	flags.StringVar(&template, "template", "", "the template's `file`; else the built-in one")
	flags.StringVar(&language, "language", "", "the `language`; else the sample's, else en")
	flags.StringVarP(&file, "out", "o", "", "write to this `file`; else to the standard output")
	flags.StringVar(&which, "sample", "invoice", "which `sample` to draw")
	_ = cmd.MarkFlagFilename("template", "yaml", "yml", "json") // can't fail: the flag is added above
	_ = cmd.RegisterFlagCompletionFunc("sample", cobra.FixedCompletions(samples, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("language", cobra.FixedCompletions(pdf.Languages(), cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !slices.Contains(samples, which) {
			return usageErrorf("--sample %q: must be one of %s", which, strings.Join(samples, ", "))
		}
		if base, _, _ := strings.Cut(language, "-"); language != "" && !slices.Contains(pdf.Languages(), base) {
			return usageErrorf("--language %q: must be one of %s, with or without a country (de-AT)", language, strings.Join(pdf.Languages(), ", "))
		}
		if file == "" && term.IsTerminal(cmd.OutOrStdout()) {
			return usageErrorf("a PDF is nothing for a terminal: give a file with -o")
		}
		t, err := readTemplate(template)
		if err != nil {
			return err
		}
		d, err := sampleDocument(which)
		if err != nil {
			return err
		}
		drawn, err := pdf.Render(d, pdf.Options{Template: t, Language: language, ReplaceMissing: true})
		if err != nil {
			return err
		}
		if err := cmd.Context().Err(); err != nil { // whoever has interrupted it wants no file
			return err
		}
		if len(drawn.Missing) > 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "warning: %v\n", &pdf.MissingCharactersError{Characters: drawn.Missing})
		}
		return writeDocument(cmd.OutOrStdout(), file, drawn.PDF)
	}
	return cmd
}

func sampleDocument(name string) (*document.Document, error) {
	const lines = 60
	if name == "long" {
		return sample.Long(lines)
	}
	return sample.Document(name)
}

// writeDocument writes to a file, or to out where none is named. A file that is there already is replaced.
func writeDocument(out io.Writer, path string, data []byte) error {
	if path == "" {
		_, err := out.Write(data)
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}
