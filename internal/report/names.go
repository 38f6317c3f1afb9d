package report

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
)

// Names are an array of texts in the database.
type Names []string

// Scan implements [database/sql.Scanner]: it reads the text form of an array of one dimension without NULLs. NULL is no names.
func (n *Names) Scan(value any) error {
	var text string
	switch v := value.(type) {
	case nil:
		*n = nil
		return nil
	case string:
		text = v
	case []byte:
		text = string(v)
	default:
		return fmt.Errorf("an array of texts as %T", value)
	}
	text, ok := strings.CutPrefix(text, "{")
	if !ok || !strings.HasSuffix(text, "}") {
		return errors.New("no array of texts")
	}
	*n = Names{}
	text = strings.TrimSuffix(text, "}")
	for text != "" {
		var one strings.Builder
		quoted := text[0] == '"'
		if quoted {
			text = text[1:]
		}
		for ; text != "" && (quoted && text[0] != '"' || !quoted && text[0] != ','); text = text[1:] {
			if text[0] == '\\' && len(text) > 1 {
				text = text[1:]
			}
			one.WriteByte(text[0])
		}
		*n = append(*n, one.String())
		if quoted {
			text = strings.TrimPrefix(text, `"`)
		}
		text = strings.TrimPrefix(text, ",")
	}
	return nil
}

// GormDataType says that the column is no relation.
func (Names) GormDataType() string { return "text[]" }

// Value implements [driver.Valuer].
func (n Names) Value() (driver.Value, error) { return nil, errors.New("names are only read") }
