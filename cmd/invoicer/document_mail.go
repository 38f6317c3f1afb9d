package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/mail"
	"invoicer/internal/term"
	"invoicer/invoice/document"
	"invoicer/invoice/document/pdf"
	"invoicer/invoice/document/sample"
)

func (a app) documentMailPreviewCommand() *cobra.Command {
	var texts, language, file, which string
	samples := append(sample.Names(), "long")
	cmd := &cobra.Command{
		Use:   "mail-preview",
		Short: "Write the e-mail of a made-up invoice, to try its texts",
		Args:  noArgs,
		Long: `Writes the e-mail in which a made-up invoice would be sent, without any server:
with the texts and the sender of documents.email, and its page as it is drawn
with documents.template. A file that ends in .eml is opened by programs for
e-mail. On a terminal only its head and its text are shown.

What is wrong with the texts is told with the name of each field, which are in
docs/email.md.

Languages: ` + strings.Join(pdf.Languages(), ", ") + `.
Samples: ` + strings.Join(samples, ", ") + `.`,
		Example: `  invoicer document mail-preview
  invoicer document mail-preview --language de -o preview.eml
  invoicer document mail-preview --texts mail.yaml --sample credit_note`,
	}
	flags := cmd.Flags()
	flags.StringVar(&texts, "texts", "", "the `file` with the texts; else documents.email.templates")
	flags.StringVar(&language, "language", "", "the `language`; else the sample's, else en")
	flags.StringVarP(&file, "out", "o", "", "write to this `file`; else to the standard output")
	flags.StringVar(&which, "sample", "invoice", "which `sample` to write")
	addConfigFlags(cmd, "documents")
	_ = cmd.MarkFlagFilename("texts", "yaml", "yml", "json") // can't fail: the flag is added above
	_ = cmd.RegisterFlagCompletionFunc("sample", cobra.FixedCompletions(samples, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("language", cobra.FixedCompletions(pdf.Languages(), cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !slices.Contains(samples, which) {
			return usageErrorf("--sample %q: must be one of %s", which, strings.Join(samples, ", "))
		}
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		written, err := previewMail(cfg, texts, which, language)
		if err != nil {
			return err
		}
		if err := cmd.Context().Err(); err != nil { // whoever has interrupted it wants no file
			return err
		}
		if file == "" && term.IsTerminal(cmd.OutOrStdout()) {
			return showMail(cmd, written)
		}
		return writeDocument(cmd.OutOrStdout(), file, written.message)
	}
	return cmd
}

// A writtenMail is a letter about a made-up invoice.
type writtenMail struct {
	from, subject, text string
	letter              *mail.Letter
	message             []byte
}

// previewMail writes the letter about a made-up invoice, with the texts of a file, or of the configuration where none is named. Whatever the configuration
// leaves out is made up, too.
func previewMail(cfg *config.Config, texts, which, language string) (*writtenMail, error) {
	o := emailOptions(cfg)
	o.Server, o.From = cmp.Or(o.Server, "mail.seller.example"), cmp.Or(o.From, "invoices@seller.example")
	if texts != "" {
		cfg.Documents.Email.Templates = "" // what it names isn't read
	}
	err := checkTemplates(cfg)
	if err != nil {
		return nil, err
	}
	if o.Texts, err = readTexts(cmp.Or(texts, cfg.Documents.Email.Templates)); err != nil {
		return nil, err
	}
	mailer, err := mail.New(o)
	if err != nil {
		return nil, err
	}
	d, err := sampleDocument(which)
	if err != nil {
		return nil, err
	}
	template, err := pageTemplate(cfg)
	if err != nil {
		return nil, err
	}
	page, err := pdf.Render(d, pdf.Options{Template: template, Language: language, ReplaceMissing: true})
	if err != nil {
		return nil, err
	}
	attached := []mail.Attachment{{Name: d.Number + "." + document.AsPDF.Extension(), MediaType: document.AsPDF.MediaType(), Content: page.PDF}}
	w := &writtenMail{from: o.From, letter: mail.LetterOf(d, cmp.Or(mail.AddressOf(d), "buyer@buyer.example"), language, "preview", attached)}
	if w.subject, w.text, err = o.Texts.Write(w.letter.Language, w.letter.Facts); err != nil {
		return nil, err
	}
	w.message, err = mailer.Message(w.letter)
	return w, err
}

// showMail shows a letter as a person reads it.
func showMail(cmd *cobra.Command, w *writtenMail) error {
	out := cmd.OutOrStdout()
	_, err := fmt.Fprintf(out, "From:     %s\nTo:       %s\nSubject:  %s\n\n%s\n", term.Clean(w.from), w.letter.To, term.Clean(w.subject), w.text)
	for _, a := range w.letter.Attachments {
		fmt.Fprintf(out, "Attached: %s (%s, %s)\n", mail.FileName(a.Name), a.MediaType, memory(int64(len(a.Content))))
	}
	return err
}
