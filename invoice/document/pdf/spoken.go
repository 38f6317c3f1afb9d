package pdf

import (
	"slices"

	"golang.org/x/text/language"

	"invoicer/invoice/document"
)

// Languages returns the languages that a page speaks.
func Languages() []string { return []string{"en", "de", "fr", "es", "it", "nl", "pl", "sv"} }

// Countries returns those of the languages of a page that one may ask for beside [Languages]: they write numbers, dates or currencies in their own way. The
// database has the same list, documents_language_check: whoever adds one adds it there, too.
func Countries() []string {
	return []string{"en-AU", "en-CA", "en-GB", "en-US", "de-AT", "de-CH", "de-LI", "fr-CA", "fr-CH", "fr-LU", "es-MX", "it-CH"}
}

// Spoken returns which of [Languages] and [Countries] a tag of BCP 47 is, however it is spelled: a country that isn't among them, a script and an extension are
// left out. So de-DE is de, and DE-at is de-AT. It returns a [*document.LanguageError] for a language that the page doesn't speak, and for no tag.
func Spoken(tag string) (string, error) {
	parsed, err := language.Parse(tag)
	base, _, region := parsed.Raw()
	if err != nil || !slices.Contains(Languages(), base.String()) {
		return "", &document.LanguageError{Language: tag, Known: append(Languages(), Countries()...)}
	}
	if country := base.String() + "-" + region.Canonicalize().String(); slices.Contains(Countries(), country) {
		return country, nil
	}
	return base.String(), nil
}
