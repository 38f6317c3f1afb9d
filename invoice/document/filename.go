package document

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// longestFileName is the longest name in bytes, without the extension, that any usual file system takes.
const longestFileName = 200

// device matches what Windows takes for a device, whatever the extension.
var device = regexp.MustCompile(`(?i)^(con|prn|aux|nul|com[0-9]|lpt[0-9])$`)

// FileName returns a name for a document's file: the number and the format's extension, without what a file's name can't have on any usual system.
// Two numbers may get the same name. A language is part of it if it isn't "".
func FileName(number string, format Format, language string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Cf, r): // such as one that has the rest of the name read backwards
			return -1
		case r < ' ' || r == utf8.RuneError || unicode.IsControl(r) || strings.ContainsRune(`/\:*?"<>|`, r):
			return '-'
		}
		return r
	}, number)
	if len(name) > longestFileName {
		name = strings.ToValidUTF8(name[:longestFileName], "")
	}
	if name = strings.TrimRight(strings.TrimLeft(name, ". "), ". "); name == "" {
		name = "document"
	}
	if device.MatchString(name) {
		name = "_" + name
	}
	if language != "" {
		name += "." + strings.Trim(FileName(language, "", ""), ".")
	}
	if format == "" {
		return name
	}
	return name + "." + format.Extension()
}

// Disposition returns a Content-Disposition (RFC 6266) for a file of that name, of [FileName]: inline, or as an attachment.
func Disposition(kind, fileName string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '%' {
			return '_'
		}
		return r
	}, fileName)
	value := kind + `; filename="` + plain + `"`
	if plain != fileName {
		value += "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(fileName), "+", "%20")
	}
	return value
}
