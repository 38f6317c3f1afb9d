package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"invoicer/invoice/document/pdfa"
)

// A Template is how pages look. Its file is YAML or JSON, and every field may be absent.
type Template struct {
	// Paper is A4 or Letter. Default: A4.
	Paper string `yaml:"paper"`
	// FontSize is that of the text in points, from 7 to 12. Default: 9.
	FontSize float64 `yaml:"font_size"`
	// Margins are in millimetres, each from 8 to 50.
	Margins Margins `yaml:"margins"`
	Colors  Colors  `yaml:"colors"`
	// Logo is drawn at the top of the first page. Default: the seller's name.
	Logo Logo `yaml:"logo"`
	// Fonts are TrueType files that are asked in this order for the characters that the built-in font doesn't have.
	Fonts []string `yaml:"fonts"`
	Texts Texts    `yaml:"texts"`
	Table Table    `yaml:"table"`
	// PaymentCode draws a code that banks' programs scan, where the payment is a SEPA transfer in euro. Default: true.
	PaymentCode *bool `yaml:"payment_code"`
	// FoldMarks draws the marks of DIN 5008 at which a letter is folded. Default: false.
	FoldMarks bool `yaml:"fold_marks"`

	logo  *pdfa.Image
	fonts []*pdfa.Font
}

// Margins are what is left free at the edges.
type Margins struct {
	Top    float64 `yaml:"top"`    // Default: 14.
	Right  float64 `yaml:"right"`  // Default: 18.
	Bottom float64 `yaml:"bottom"` // Default: 12.
	Left   float64 `yaml:"left"`   // Default: 22.
}

// Colors are written as #rrggbb.
type Colors struct {
	Text   string `yaml:"text"`   // Default: #1c2430.
	Muted  string `yaml:"muted"`  // what is less important. Default: #5f6b7a.
	Accent string `yaml:"accent"` // title, and what is to pay. Default: #1f4e79.
	Line   string `yaml:"line"`   // Default: #c9d1da.
	Shade  string `yaml:"shade"`  // behind the sums. Default: #f1f4f8.
}

// A Logo is a PNG or a JPEG.
type Logo struct {
	File string `yaml:"file"`
	// Height is in millimetres, from 4 to 40. A logo that would be wider than 90 mm becomes lower. Default: 16.
	Height float64 `yaml:"height"`
	// Position is left or right. Default: left.
	Position string `yaml:"position"`
}

// Texts are printed on each document. Each is a text, or a text for each language: {en: Thank you, de: Danke}.
type Texts struct {
	Above  Text `yaml:"above"`  // the table
	Below  Text `yaml:"below"`  // all else
	Footer Text `yaml:"footer"` // on each page
}

// A Text is what is said in each language. What is said in "" is said in all others.
type Text map[string]string

// Table is what the table of lines shows.
type Table struct {
	// Columns are those of [Columns] that are shown, in this order. Default: position, description, quantity, unit, price, tax, amount.
	Columns []string `yaml:"columns"`
	// Carry shows at the end of a page the sum so far. Default: true.
	Carry *bool `yaml:"carry"`
	// Stripes shades every other line. Default: false.
	Stripes bool `yaml:"stripes"`
}

// Columns returns the columns that a table may have.
func Columns() []string {
	return []string{"position", "item", "description", "quantity", "unit", "price", "discount", "tax", "amount"}
}

// Papers returns the papers that a page may be of.
func Papers() []string { return []string{"A4", "Letter"} }

// DefaultTemplate returns the template that is used where there is no other.
func DefaultTemplate() *Template {
	yes, also := true, true
	return &Template{
		Paper: "A4", FontSize: 9, Margins: Margins{Top: 14, Right: 18, Bottom: 12, Left: 22},
		Colors: Colors{Text: "#1c2430", Muted: "#5f6b7a", Accent: "#1f4e79", Line: "#c9d1da", Shade: "#f1f4f8"},
		Logo:   Logo{Height: 16, Position: "left"}, PaymentCode: &yes,
		Table: Table{Columns: []string{"position", "description", "quantity", "unit", "price", "tax", "amount"}, Carry: &also},
	}
}

// MaxTemplate is how many bytes a template may have.
const MaxTemplate = 64 << 10

// ParseTemplate reads a template of YAML or JSON. Its error names each field that is unknown or wrong. Files that it names are read by
// [Template.Open].
func ParseTemplate(data []byte) (*Template, error) {
	if len(data) > MaxTemplate {
		return nil, fmt.Errorf("template: it has %d bytes; %d are allowed", len(data), MaxTemplate)
	}
	t := DefaultTemplate()
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var node yaml.Node
	if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
		return t, nil // an empty file is the default
	} else if err != nil {
		return nil, fmt.Errorf("template: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("template: there is more than one document in the file")
	}
	if problems := unknown(node.Content[0], "", templateFields()); len(problems) > 0 {
		return nil, fmt.Errorf("template: %s", strings.Join(problems, "; "))
	}
	if err := node.Decode(t); err != nil {
		return nil, fmt.Errorf("template: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return t, t.Check()
}

// UnmarshalYAML takes a text, or one for each language.
func (t *Text) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*t = Text{"": node.Value}
		return nil
	}
	return node.Decode((*map[string]string)(t))
}

// in returns what is said in a language.
func (t Text) in(l *locale) string {
	base, _ := l.tag.Base()
	for _, tag := range []string{l.tag.String(), base.String(), ""} {
		if s, said := t[tag]; said {
			return s
		}
	}
	return ""
}

var colorForm = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// Check returns an error that names each field that is wrong.
func (t *Template) Check() error {
	var problems []string
	wrong := func(field, format string, values ...any) {
		problems = append(problems, field+": "+fmt.Sprintf(format, values...))
	}
	between := func(field string, value, least, most float64) {
		if !(value >= least && value <= most) { // NaN, too
			wrong(field, "%v must be from %v to %v", value, least, most)
		}
	}
	oneOf := func(field, value string, of []string) {
		if !slices.Contains(of, value) {
			wrong(field, "%q must be one of %s", value, strings.Join(of, ", "))
		}
	}
	oneOf("paper", t.Paper, Papers())
	between("font_size", t.FontSize, 7, 12)
	between("margins.top", t.Margins.Top, 8, 50)
	between("margins.right", t.Margins.Right, 8, 50)
	between("margins.bottom", t.Margins.Bottom, 8, 50)
	between("margins.left", t.Margins.Left, 8, 50)
	for _, c := range []struct{ field, value string }{
		{"text", t.Colors.Text}, {"muted", t.Colors.Muted}, {"accent", t.Colors.Accent}, {"line", t.Colors.Line}, {"shade", t.Colors.Shade},
	} {
		if !colorForm.MatchString(c.value) {
			wrong("colors."+c.field, "%q must be a colour such as #1f4e79 (in quotes: # begins a comment)", c.value)
		}
	}
	between("logo.height", t.Logo.Height, 4, 40)
	oneOf("logo.position", t.Logo.Position, []string{"left", "right"})
	for n, column := range t.Table.Columns {
		field := fmt.Sprintf("table.columns[%d]", n)
		if oneOf(field, column, Columns()); slices.Index(t.Table.Columns, column) < n {
			wrong(field, "%q is there twice", column)
		}
	}
	for _, needed := range []string{"description", "amount"} {
		if !slices.Contains(t.Table.Columns, needed) {
			wrong("table.columns", "%s must be one of them", needed)
		}
	}
	if len(problems) > 0 {
		return errors.New("template: " + strings.Join(problems, "; "))
	}
	return nil
}

// Open reads the files that the template names, by a function that returns the content of one.
func (t *Template) Open(read func(name string) ([]byte, error)) error {
	if t.Logo.File != "" {
		data, err := read(t.Logo.File)
		if err == nil {
			err = t.SetLogo(data)
		}
		if err != nil {
			return fmt.Errorf("template: logo.file: %w", err)
		}
	}
	t.fonts = nil
	for n, file := range t.Fonts {
		data, err := read(file)
		var font *pdfa.Font
		if err == nil {
			font, err = pdfa.ParseFont(data)
		}
		if err != nil {
			return fmt.Errorf("template: fonts[%d] (%s): %w", n, file, err)
		}
		t.fonts = append(t.fonts, font)
	}
	return nil
}

// SetLogo sets the picture of the logo.
func (t *Template) SetLogo(data []byte) (err error) {
	t.logo, err = pdfa.ParseImage(data)
	return err
}

// shown reports whether what is shown by default is.
func shown(setting *bool) bool { return setting == nil || *setting }
