package documents

import "golang.org/x/text/language"

// CopyMark is what a copy says that it is, in its own language, and in English where that isn't one of the page's.
func CopyMark(tag string) string {
	base, _ := language.Make(tag).Base()
	switch base.String() {
	case "de", "nl":
		return "Kopie"
	case "fr":
		return "Copie"
	case "es", "it":
		return "Copia"
	case "pl", "sv":
		return "Kopia"
	default:
		return "Copy"
	}
}
