package mail

import (
	"errors"
	"fmt"
	"net/textproto"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Stage is how far a conversation with a server had come.
type Stage string

// The stages.
const (
	AtGreeting  Stage = "greeting"  // the server's first words, and EHLO
	AtTLS       Stage = "STARTTLS"  // before anything is said that others mustn't hear
	AtAuth      Stage = "AUTH"      // who we are
	AtSender    Stage = "MAIL FROM" // the sender
	AtRecipient Stage = "RCPT TO"   // the recipient
	AtData      Stage = "DATA"      // before the message
	AtEnd       Stage = "message"   // after it
)

// A RefusedError says that the server has refused a letter, so nothing was delivered. Its text names no address.
type RefusedError struct {
	Stage    Stage
	Code     int    // of RFC 5321, such as 550
	Enhanced string // of RFC 3463, such as 5.1.1; "" if the server said none
	// Text is what the server said, on one line of at most 500 characters, with "<address>" in place of addresses.
	Text string
	// Permanent says that this letter to this address won't be taken another time either: a code of 5xx to the recipient or to the message. What
	// the server has against us, such as a wrong password, the sender or relaying, isn't permanent: an operator can mend it. What it says of the
	// recipient's address or mailbox (5.1.x, 5.2.x) is, whatever its text.
	Permanent bool
}

func (e *RefusedError) Error() string {
	code := fmt.Sprint(e.Code)
	if e.Enhanced != "" {
		code += " " + e.Enhanced
	}
	if reason := e.reason(); reason != "" {
		code += ": " + reason
	}
	return fmt.Sprintf("mail: the server refused the %s with %s", e.Stage.object(), code)
}

func (s Stage) object() string {
	switch s {
	case AtGreeting:
		return "connection"
	case AtTLS:
		return "encryption"
	case AtAuth:
		return "user or the password"
	case AtSender:
		return "sender"
	case AtRecipient:
		return "address"
	case AtData, AtEnd:
		return "message"
	}
	return string(s)
}

// reason says in words what an enhanced code of RFC 3463 means.
func (e *RefusedError) reason() string {
	if e.isRelaying() {
		return "the server doesn't relay for us: it wants a user and a password, or to know this machine"
	}
	_, subject, _ := strings.Cut(e.Enhanced, ".")
	switch subject {
	case "1.1", "1.10", "1.6":
		return "there is no such mailbox"
	case "1.2":
		return "there is no such domain"
	case "1.3":
		return "it is no address"
	case "2.1":
		return "the mailbox is closed"
	case "2.2":
		return "the mailbox is full"
	case "2.3", "3.4":
		return "the message is too large"
	case "7.1":
		return "it isn't allowed"
	case "7.8":
		return "they are wrong"
	}
	return ""
}

// An UncertainError says that the connection was lost after the whole letter was sent, and before the server answered: it may have been
// delivered. Sent again with the same Key it has the same Message-ID.
type UncertainError struct {
	MessageID string
	Err       error
}

func (e *UncertainError) Error() string {
	return fmt.Sprintf("mail: the server didn't answer after it had the whole message, so nobody knows whether it took it: %v", e.Err)
}

// Unwrap returns what ended the connection.
func (e *UncertainError) Unwrap() error { return e.Err }

// A LetterError says that a letter can't be sent as it is, by this server. Nothing was sent.
type LetterError struct {
	Field   string // of [Letter], such as To
	Message string
}

func (e *LetterError) Error() string { return "mail: " + e.Field + ": " + e.Message }

// IsPermanent reports whether it is no use to send the letter once more: its error is a [*LetterError], or a [*RefusedError] that is permanent.
func IsPermanent(err error) bool {
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return refused.Permanent
	}
	_, unfit := errors.AsType[*LetterError](err)
	return unfit
}

var enhancedForm = regexp.MustCompile(`^[245]\.\d{1,3}\.\d{1,3}\b`)

// answered makes of what came of a command the error that it is: a *RefusedError, if the server has answered with a code.
func answered(stage Stage, err error) error {
	said, ok := errors.AsType[*textproto.Error](err)
	if !ok || said.Code < 400 || said.Code > 599 {
		return fmt.Errorf("mail: %s: %w", stage, err)
	}
	e := &RefusedError{Stage: stage, Code: said.Code, Enhanced: enhancedForm.FindString(said.Msg), Text: Discreet(said.Msg)}
	e.Text = strings.TrimSpace(strings.TrimPrefix(e.Text, e.Enhanced))
	switch stage {
	case AtRecipient, AtData, AtEnd:
		e.Permanent = e.Code >= 500 && !e.isOurs()
	case AtGreeting, AtTLS, AtAuth, AtSender:
	}
	return e
}

// isOurs reports whether the server objects to this machine, its user or the sender, and not to the letter or its address.
func (e *RefusedError) isOurs() bool {
	switch {
	case e.Enhanced == "5.1.7", e.Enhanced == "5.1.8": // the sender's address, which some servers judge with the recipient
		return true
	case e.isAbout("5.1."), e.isAbout("5.2."): // the recipient's address and mailbox, whatever else the answer says
		return false
	}
	switch e.Code {
	case 500, 501, 502, 503, 530, 534, 535, 538: // the order of commands, and signing in
		return true
	}
	return e.isRelaying()
}

func (e *RefusedError) isAbout(class string) bool { return strings.HasPrefix(e.Enhanced, class) }

// relayingForm matches sentences by which servers refuse to relay. The word alone isn't enough: it is in names of machines and of tables, too.
var relayingForm = regexp.MustCompile(`(?i)\brelay(?:ing)?(?: access| mail)?(?: (?:to|for|from) \S+)?(?: is| was)?(?: temporarily)? ` +
	`(?:denied|refused|rejected|prohibited|disallowed|forbidden|disabled|not (?:allowed|permitted|authori[sz]ed|supported))\b` +
	`|(?:\b(?:unable|cannot|not|no|refuse[sd]?|denied|permission|credentials|required|needed|allowed|permitted|authori[sz]ed|authenticated|configured)|n't)` +
	`(?: to| for)? relay(?:ing)?(?:$|[^.\w-]|\.(?:\s|$))`)

// isRelaying reports whether the server refuses to relay for this machine.
func (e *RefusedError) isRelaying() bool {
	return (e.Enhanced == "" || e.isAbout("5.7.") || e.isAbout("4.7.")) && relayingForm.MatchString(e.Text)
}

var addressForm = regexp.MustCompile(`[^\s<>"'(),;:\[\]]+@[^\s<>"'(),;:\[\]]+`)

// Discreet returns what a server said on one line of at most 500 characters, with "<address>" in place of each address.
func Discreet(text string) string {
	const longest = 500
	text = oneLine(text)
	text = addressForm.ReplaceAllString(text, "<address>")
	text = strings.ReplaceAll(text, "<<address>>", "<address>")
	return cut(text, longest)
}

// oneLine returns a text without control characters and the marks that turn the direction of what follows, and with a blank where there were
// some, or several.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Bidi_Control, r):
			return -1
		case unicode.IsControl(r):
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	return strings.Join(strings.Fields(text), " ")
}

// cut returns at most so many characters of a text.
func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}
