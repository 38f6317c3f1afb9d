package document

import (
	_ "embed"
	"strings"
	"sync"
)

//go:embed codes.txt
var codesText string

// codes returns the lists of codes by their names.
//
//nolint:gochecknoglobals // read once, never changed
var codes = sync.OnceValue(func() map[string]map[string]bool {
	lists := make(map[string]map[string]bool)
	var list map[string]bool
	for line := range strings.Lines(codesText) {
		line = strings.TrimSpace(line)
		switch name, isName := strings.CutSuffix(line, ":"); {
		case strings.HasPrefix(line, "# "):
		case isName:
			list = make(map[string]bool)
			lists[name] = list
		default:
			for _, code := range strings.Fields(line) {
				list[code] = true
			}
		}
	}
	return lists
})

// isCode reports whether a list has a code.
func isCode(list, code string) bool { return codes()[list][code] }
