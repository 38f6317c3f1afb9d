package pdf_test

import (
	"errors"
	"slices"
	"testing"

	"invoicer/invoice/document"
	"invoicer/invoice/document/pdf"
)

func TestSpoken(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{
		"de": "de", "DE": "de", "de-DE": "de", "deu": "de", "de-at": "de-AT", "de-Latn-AT": "de-AT", "de-AT-x-a": "de-AT", "de_CH": "de-CH", "en-UK": "en-GB", "es-419": "es", "nl-BE": "nl",
		"fr-u-nu-arab": "fr",
	} {
		if got, err := pdf.Spoken(tag); got != want || err != nil {
			t.Errorf("%s is %q, %v", tag, got, err)
		}
	}
	for _, tag := range []string{"", "tlh", "pt-BR", "xx", "xx-zzzzzzzz", "en-aaaaa", "en-", "und", "x-de", "german"} {
		unknown := (*document.LanguageError)(nil)
		if got, err := pdf.Spoken(tag); got != "" || !errors.As(err, &unknown) || unknown.Language != tag || !slices.Contains(unknown.Known, "sv") || !slices.Contains(unknown.Known, "de-CH") {
			t.Errorf("%q is %q, %v", tag, got, err)
		}
	}
	for _, tag := range append(pdf.Languages(), pdf.Countries()...) {
		if got, err := pdf.Spoken(tag); got != tag || err != nil {
			t.Errorf("%s is %q, %v", tag, got, err)
		}
	}
}
