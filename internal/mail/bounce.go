package mail

import (
	"bufio"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"net/textproto"
	"regexp"
	"strings"
)

// A Bounce is what a server says that came of a letter after it was taken (a delivery status notification, RFC 3464).
type Bounce struct {
	// MessageID is that of the letter, with < and >, as in its [Receipt]; "" if the notification doesn't have it.
	MessageID string
	// Recipient is the address that it is about, as the server spells it, of at most 320 characters; "" if it doesn't say. It is personal data.
	Recipient string
	Action    string // failed, delayed, delivered, relayed or expanded
	Status    string // of RFC 3463, such as 5.1.1
	// Diagnostic is what the other server said; as [Discreet] has it.
	Diagnostic string
	// Permanent says that the letter wasn't delivered and won't be. A mailbox that was full for days is permanent, too: nobody tries any more.
	Permanent bool
}

// ErrNotBounce says that a message is no delivery status notification, such as an answer of a person or of a program that is out of office.
var ErrNotBounce = errors.New("mail: this message is no notification about a delivery (RFC 3464)")

// MaxBounce is how many bytes of a notification are read. What follows doesn't count.
const MaxBounce = 1 << 20

// The bounds of what is looked at in a notification.
const (
	maxParts     = 20
	maxGroups    = 100
	maxRecipient = 320 // characters
)

// mboxMark begins the line that some programs put before a message.
const mboxMark = "From "

// ReadBounce reads a delivery status notification, as a mailbox has it (RFC 5322). Of several recipients it returns the worst that came of one.
// It returns [ErrNotBounce] for anything else, and other errors for what can't be read; they contain nothing of the message.
func ReadBounce(r io.Reader) (Bounce, error) {
	text := bufio.NewReader(io.LimitReader(r, MaxBounce))
	if begin, err := text.Peek(len(mboxMark)); err == nil && string(begin) == mboxMark {
		if _, err := text.ReadString('\n'); err != nil {
			return Bounce{}, ErrNotBounce
		}
	}
	whole, err := netmail.ReadMessage(text)
	if err != nil {
		return Bounce{}, ErrNotBounce
	}
	kind, parameters, err := mime.ParseMediaType(whole.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || !strings.EqualFold(parameters["report-type"], "delivery-status") || parameters["boundary"] == "" {
		return Bounce{}, ErrNotBounce
	}
	var found Bounce
	told := false
	parts := multipart.NewReader(whole.Body, parameters["boundary"])
	for range maxParts {
		part, err := parts.NextRawPart()
		if err != nil {
			break // the end, or the rest was cut off
		}
		kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		body := decoded(part)
		switch kind {
		case "message/delivery-status", "message/global-delivery-status":
			if worst, ok := readStatus(body); ok && !told {
				worst.MessageID = found.MessageID
				found, told = worst, true
			}
		case "message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers":
			if id := messageIDIn(body); id != "" {
				found.MessageID = id
			}
		}
	}
	if !told {
		return Bounce{}, errors.New("mail: the notification doesn't say what came of the delivery: its part message/delivery-status is missing or can't be read")
	}
	if found.MessageID == "" { // as Exchange does where it leaves the letter out
		found.MessageID = firstID(whole.Header.Get("In-Reply-To") + " " + whole.Header.Get("References"))
	}
	return found, nil
}

// decoded returns the content of a part.
func decoded(part *multipart.Part) io.Reader {
	switch strings.ToLower(strings.TrimSpace(part.Header.Get("Content-Transfer-Encoding"))) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, part)
	case "quoted-printable":
		return quotedprintable.NewReader(part)
	}
	return part
}

// readStatus reads groups of fields: the first is about the letter, and each other one about a recipient.
func readStatus(r io.Reader) (worst Bounce, ok bool) {
	lines := textproto.NewReader(bufio.NewReader(r))
	if _, err := lines.ReadMIMEHeader(); err != nil {
		return worst, false
	}
	for range maxGroups {
		fields, err := lines.ReadMIMEHeader()
		if b, isRecipient := recipientOf(fields); isRecipient && (!ok || b.badness() > worst.badness()) {
			worst, ok = b, true
		}
		if err != nil {
			break
		}
	}
	return worst, ok
}

// statusForm is a code of RFC 3463, behind which some servers write a comment.
var statusForm = regexp.MustCompile(`^[245]\.\d{1,3}\.\d{1,3}\b`)

func recipientOf(fields textproto.MIMEHeader) (b Bounce, ok bool) {
	b.Action = strings.ToLower(firstWord(fields.Get("Action")))
	switch b.Action {
	case "failed", "delayed", "delivered", "relayed", "expanded":
	default:
		return b, false
	}
	b.Status = statusForm.FindString(strings.TrimSpace(fields.Get("Status")))
	b.Recipient = typed(fields.Get("Original-Recipient"))
	if b.Recipient == "" {
		b.Recipient = typed(fields.Get("Final-Recipient"))
	}
	b.Recipient = cut(b.Recipient, maxRecipient)
	b.Diagnostic = Discreet(typed(fields.Get("Diagnostic-Code")))
	b.Permanent = b.Action == "failed"
	return b, true
}

func (b *Bounce) badness() int {
	switch b.Action {
	case "failed":
		return 2
	case "delayed":
		return 1
	}
	return 0
}

func firstWord(s string) string {
	if words := strings.Fields(s); len(words) > 0 {
		return words[0]
	}
	return ""
}

// typed returns what stands behind a type: of "rfc822; ada@example.com" the address.
func typed(field string) string {
	_, value, found := strings.Cut(field, ";")
	if !found {
		value = field
	}
	return strings.Trim(oneLine(value), "<> ")
}

// messageIDIn returns the Message-ID in the head of a letter, even if what follows was cut off.
func messageIDIn(r io.Reader) string {
	fields, err := textproto.NewReader(bufio.NewReader(r)).ReadMIMEHeader()
	if err != nil && len(fields) == 0 {
		return ""
	}
	return firstID(fields.Get("Message-Id"))
}

var idForm = regexp.MustCompile(`<[^<>\s@]{1,200}@[^<>\s@]{1,255}>`)

func firstID(text string) string { return idForm.FindString(text) }

// String says what happened, without the address.
func (b Bounce) String() string {
	said := b.Action
	if b.Status != "" {
		said += " (" + b.Status + ")"
	}
	if b.Diagnostic != "" {
		said += ": " + b.Diagnostic
	}
	return said
}
