package mail

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"
	"golang.org/x/text/language"
)

//go:embed texts.yaml
var builtIn []byte

// MaxTexts is how many bytes a file of texts may have.
const MaxTexts = 64 << 10

// Texts are what letters say, in each language. They are templates of text/template that know the fields of [Facts], {{if}}, {{else}}, {{with}} and
// the words and, or, not, eq, ne, and no other.
type Texts struct {
	subject, body map[string]*template.Template // by language, such as de, de-AT; "" in all that have none of their own
	below         *Texts                        // asked for what isn't here; nil: none
}

// DefaultTexts returns the texts of letters in en, de, fr, es, it, nl, pl and sv.
func DefaultTexts() *Texts {
	t, err := parseTexts(builtIn)
	if err != nil { // a test reads them
		return &Texts{}
	}
	return t
}

// ParseTexts reads a file of YAML or JSON: subject and body, each a text, or one for each language. Languages that it doesn't have are those of
// [DefaultTexts]. Its error names each field that is unknown or wrong.
func ParseTexts(data []byte) (*Texts, error) {
	t, err := parseTexts(data)
	if err != nil {
		return nil, err
	}
	t.below = DefaultTexts()
	return t, nil
}

type textsFile struct {
	Subject spoken `yaml:"subject"`
	Body    spoken `yaml:"body"`
}

// spoken is what is said in each language; in "" in all others.
type spoken map[string]string

// UnmarshalYAML takes a text, or one for each language.
func (s *spoken) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode && node.Tag != "!!null" {
		*s = spoken{"": node.Value}
		return nil
	}
	return node.Decode((*map[string]string)(s))
}

func parseTexts(data []byte) (*Texts, error) {
	if len(data) > MaxTexts {
		return nil, fmt.Errorf("texts: there are %d bytes; %d are allowed", len(data), MaxTexts)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	var file textsFile
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("texts: %s", readable(err))
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("texts: there is more than one document in the file")
	}
	var problems []string
	compiled := func(field string, texts spoken, most int) map[string]*template.Template {
		made := make(map[string]*template.Template)
		for _, tag := range slices.Sorted(maps.Keys(texts)) {
			name := field
			if tag != "" {
				name += "." + tag
				if _, err := language.Parse(tag); err != nil {
					problems = append(problems, fmt.Sprintf("%s: %q is no language such as de or de-AT", field, tag))
					continue
				}
			}
			t, err := compile(name, texts[tag], most)
			if err != nil {
				problems = append(problems, err.Error())
				continue
			}
			made[tag] = t
		}
		return made
	}
	t := &Texts{subject: compiled("subject", file.Subject, maxSubject), body: compiled("body", file.Body, maxBody)}
	if len(problems) > 0 {
		return nil, errors.New("texts: " + strings.Join(problems, "; "))
	}
	return t, nil
}

// readable turns the errors of YAML, which name types of Go, into ones of fields.
func readable(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.ReplaceAll(text, "unmarshal errors:\n  ", "")
	text = strings.ReplaceAll(text, "\n  ", "; ")
	text = strings.ReplaceAll(text, "field ", "there is no field ")
	return strings.ReplaceAll(text, " not found in type mail.textsFile", "; there are subject and body")
}

const (
	maxSubject = 200       // characters
	maxBody    = 16 * 1024 // bytes of the template; what it becomes is as much, and the facts
)

// compile reads a template, and tries it.
func compile(name, text string, most int) (*template.Template, error) {
	if most == maxSubject && strings.ContainsAny(strings.TrimSpace(text), "\r\n") {
		return nil, fmt.Errorf("%s: it must be one line", name)
	}
	if len(text) > maxBody {
		return nil, fmt.Errorf("%s: it has %d bytes; %d are allowed", name, len(text), maxBody)
	}
	t, err := template.New(name).Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "template: "))
	}
	if len(t.Templates()) > 1 {
		return nil, fmt.Errorf("%s: {{define}} and {{block}} aren't for texts", name)
	}
	if t.Tree != nil {
		if err := allowed(t.Root, factNames()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, facts := range examples() {
		written, err := execute(t, facts)
		if err != nil {
			return nil, errors.New(strings.TrimPrefix(err.Error(), "template: "))
		}
		if strings.TrimSpace(written) == "" {
			return nil, fmt.Errorf("%s: it can become empty", name)
		}
	}
	return t, nil
}

// factNames returns the fields that a template may name.
func factNames() []string {
	var names []string
	facts := reflect.TypeFor[Facts]()
	for n := range facts.NumField() {
		names = append(names, facts.Field(n).Name)
	}
	return names
}

func execute(t *template.Template, f Facts) (string, error) {
	var b strings.Builder
	err := t.Execute(&b, f)
	return b.String(), err
}

// Write returns the subject, on one line of at most 200 characters, and the body, with lines that end in \n. Each is in the language, else in the one
// without its country, else what is said in all languages, else as in [DefaultTexts], in the end in English.
func (t *Texts) Write(wanted string, f Facts) (subject, body string, err error) {
	f.clean()
	if subject, err = write(t.find(wanted, func(t *Texts) map[string]*template.Template { return t.subject }), f); err != nil {
		return "", "", err
	}
	if body, err = write(t.find(wanted, func(t *Texts) map[string]*template.Template { return t.body }), f); err != nil {
		return "", "", err
	}
	var lines []string
	for line := range strings.SplitSeq(strings.ReplaceAll(body, "\r\n", "\n"), "\n") {
		line = strings.TrimRight(line, " \t")
		if line == "" && (len(lines) == 0 || lines[len(lines)-1] == "") {
			continue // what a condition left out
		}
		lines = append(lines, line)
	}
	return cut(oneLine(subject), maxSubject), strings.TrimRight(strings.Join(lines, "\n"), "\n") + "\n", nil
}

func write(t *template.Template, f Facts) (string, error) {
	if t == nil {
		return "", errors.New("mail: there is no text in English")
	}
	written, err := execute(t, f)
	if err != nil {
		return "", fmt.Errorf("mail: %w", err)
	}
	return written, nil
}

// clean makes each fact one line of bounded length: names come from whoever asked for the invoice.
func (f *Facts) clean() {
	const longest = 200
	v := reflect.ValueOf(f).Elem()
	for n := range v.NumField() {
		if field := v.Field(n); field.Kind() == reflect.String {
			field.SetString(cut(oneLine(field.String()), longest))
		}
	}
}

// find looks in a file's texts first, and English last.
func (t *Texts) find(wanted string, of func(*Texts) map[string]*template.Template) *template.Template {
	names := []string{wanted}
	if tag, err := language.Parse(wanted); err == nil {
		base, _ := tag.Base()
		names = append(names, tag.String(), base.String())
	}
	for _, names := range [][]string{append(names, ""), {"en"}} {
		for at := t; at != nil; at = at.below {
			for _, name := range names {
				if found := of(at)[name]; found != nil {
					return found
				}
			}
		}
	}
	return nil
}
