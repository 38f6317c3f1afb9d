package mail

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"net/textproto"
	"regexp"
	"strings"
	"unicode"

	gomail "github.com/wneessen/go-mail"

	"invoicer/invoice/document"
)

// A Letter is one message to one address.
type Letter struct {
	// To is one address, with or without a name, see [ParseAddress].
	To string
	// Language is that of the texts, of BCP 47. Default: English.
	Language string
	// Facts are what the texts may say.
	Facts Facts
	// Attachments are sent with it, in this order.
	Attachments []Attachment
	// Key names the letter. The same key gives the same Message-ID, so a repeat after an [*UncertainError] has the same key, and a letter that
	// somebody asks for once more has another one. At most 500 bytes; required.
	Key string
}

// LetterOf returns the letter with which an invoice is sent: in a language, else in the invoice's, else in English.
func LetterOf(d *document.Document, to, language, key string, attachments []Attachment) *Letter {
	language = cmp.Or(language, d.Language, "en")
	return &Letter{To: to, Language: language, Facts: FactsOf(d, language, attachments), Attachments: attachments, Key: key}
}

// An Attachment is a file.
type Attachment struct {
	Name      string // what can't be in a file's name becomes -
	MediaType string // such as application/pdf
	Content   []byte
}

// A message is a letter as it is sent.
type message struct {
	id    string // with < and >
	to    Address
	bytes []byte
}

// MessageID returns the Message-ID of the letters with a key, with < and >.
func (m *Mailer) MessageID(key string) string {
	const length = 16 // bytes of the hash
	sum := sha256.Sum256([]byte("invoicer letter\x00" + key))
	return "<" + hex.EncodeToString(sum[:length]) + ".invoice@" + m.from.Domain + ">"
}

var ourForm = regexp.MustCompile(`^<[0-9a-f]{32}\.invoice@`)

// IsOurs reports whether a Message-ID has the form of [Mailer.MessageID], of whatever sender.
func IsOurs(messageID string) bool { return ourForm.MatchString(messageID) }

// Message returns the letter as it would be sent (RFC 5322, with CRLF): with a server that has no bound of its own. Its error is a [*LetterError], or
// one of the texts.
func (m *Mailer) Message(l *Letter) ([]byte, error) {
	made, err := m.compose(l)
	if err != nil {
		return nil, err
	}
	return made.bytes, nil
}

func (m *Mailer) compose(l *Letter) (*message, error) {
	const longestKey = 500
	if l.Key == "" || len(l.Key) > longestKey {
		return nil, &LetterError{"Key", fmt.Sprintf("it must have 1 to %d bytes", longestKey)}
	}
	to, err := ParseAddress(l.To)
	if err != nil {
		return nil, &LetterError{"To", err.Error()}
	}
	subject, body, err := m.o.Texts.Write(l.Language, l.Facts)
	if err != nil {
		return nil, err
	}
	made := &message{id: m.MessageID(l.Key), to: to}
	msg := gomail.NewMsg(gomail.WithEncoding(gomail.EncodingQP), gomail.WithCharset(gomail.CharsetUTF8), gomail.WithNoDefaultUserAgent())
	from := m.from
	if from.Name == "" {
		from.Name = oneLine(l.Facts.Seller)
	}
	msg.FromMailAddress(from.header())
	msg.SetAddrHeaderFromMailAddress(gomail.HeaderTo, to.header())
	if m.replyTo != (Address{}) {
		msg.ReplyToMailAddress(m.replyTo.header())
	}
	msg.Subject(subject)
	msg.SetDateWithValue(m.o.Now())
	msg.SetMessageIDWithValue(strings.Trim(made.id, "<>"))
	// Programs that are out of office aren't to answer (RFC 3834, and as Exchange has it). Refusals are still welcome.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("X-Auto-Response-Suppress", "OOF, AutoReply")
	msg.SetBodyString(gomail.TypeTextPlain, body)
	files := make([]*gomail.File, len(l.Attachments))
	for n := range l.Attachments {
		if files[n], err = l.Attachments[n].file(); err != nil {
			return nil, err
		}
	}
	msg.SetAttachments(files)
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	if b.Len() > m.o.MaxSize {
		return nil, tooLarge(b.Len(), m.o.MaxSize, "are allowed (MaxSize)")
	}
	made.bytes = b.Bytes()
	return made, nil
}

func tooLarge(size, most int, whose string) error {
	return &LetterError{"Attachments", fmt.Sprintf("with them the letter has %d bytes, and %d %s", size, most, whose)}
}

// file returns the attachment with headers of its own: the library writes names in the form of RFC 2047, which RFC 2231 replaced for them.
func (a *Attachment) file() (*gomail.File, error) {
	name := FileName(a.Name)
	if name == "" {
		return nil, &LetterError{"Attachments", "one has no name"}
	}
	kind, parameters, err := mime.ParseMediaType(a.MediaType)
	if err != nil || len(parameters) > 0 || !strings.Contains(kind, "/") {
		return nil, &LetterError{"Attachments", fmt.Sprintf("%q is no media type such as application/pdf", a.MediaType)}
	}
	header := make(textproto.MIMEHeader)
	header.Set("Content-Type", mime.FormatMediaType(kind, map[string]string{"name": name}))
	header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	content := a.Content
	return &gomail.File{Name: name, Header: header, Enc: gomail.EncodingB64, Writer: func(w io.Writer) (int64, error) {
		n, err := w.Write(content)
		return int64(n), err
	}}, nil
}

// FileName returns a name without what a file's name can't have: R2026/17.pdf becomes R2026-17.pdf. It has at most 100 characters.
func FileName(name string) string {
	const longest = 100
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '-'
		}
		return r
	}, oneLine(name))
	return cut(strings.TrimLeft(name, ". "), longest)
}
