package mail

import (
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"invoicer/invoice/document"
)

// The bounds of RFC 5321, in bytes.
const (
	maxLocal  = 64
	maxDomain = 255
	maxPath   = 254 // 256 with < and >
)

// An Address is that of a mailbox, as it goes over the wire.
type Address struct {
	Name   string // of the person; "" if nobody said
	Local  string // what is before the @, as it is spelled
	Domain string // ASCII: of an internationalised name, the form of IDNA
}

// String returns the address without the name.
func (a Address) String() string {
	if a == (Address{}) {
		return ""
	}
	return strings.Trim(a.path(), "<>")
}

// path returns the address as SMTP's commands have it: <ada@example.com>.
func (a Address) path() string { return (&netmail.Address{Address: a.Local + "@" + a.Domain}).String() }

// isPlain reports whether any server can write to it: the part before the @ is ASCII. Others need SMTPUTF8.
func (a Address) isPlain() bool { return isASCII(a.Local) }

func (a Address) header() *netmail.Address {
	return &netmail.Address{Name: a.Name, Address: a.Local + "@" + a.Domain}
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// ParseAddress reads one address, with or without a name: ada@example.com, Ada <ada@example.com>. It errs on more than one, on what no server takes
// (RFC 5321), on addresses of machines ([192.0.2.1]), and on characters that aren't seen. The error contains nothing of the address.
func ParseAddress(text string) (a Address, err error) {
	if strings.IndexFunc(text, isUnseen) >= 0 || !utf8.ValidString(text) {
		return a, errors.New("it has characters that can't be seen, such as a line's end")
	}
	if strings.TrimSpace(text) == "" {
		return a, errors.New("it is empty")
	}
	const longest = 1000 // with a name
	if len(text) > longest {
		return a, fmt.Errorf("it has more than %d bytes", longest)
	}
	parsed, err := netmail.ParseAddress(text)
	if err != nil {
		if several, listErr := netmail.ParseAddressList(strings.ReplaceAll(text, ";", ",")); listErr == nil && len(several) > 1 {
			return a, errors.New("there is more than one address; one letter goes to one")
		}
		return a, errors.New("it is no address such as ada@example.com")
	}
	at := strings.LastIndexByte(parsed.Address, '@')
	a = Address{Name: oneLine(parsed.Name), Local: parsed.Address[:at]}
	if strings.IndexFunc(parsed.Address, isUnseen) >= 0 {
		return Address{}, errors.New("it has characters that can't be seen, such as a line's end")
	}
	a.Domain, err = idna.Lookup.ToASCII(parsed.Address[at+1:])
	switch {
	case err != nil || a.Domain == "":
		return Address{}, errors.New("what follows the @ is no name of a domain, such as example.com")
	case len(a.Local) > maxLocal:
		return Address{}, fmt.Errorf("what stands before the @ has more than %d bytes", maxLocal)
	case len(a.Domain) > maxDomain, len(a.String()) > maxPath:
		return Address{}, fmt.Errorf("it has more than %d bytes", maxPath)
	}
	return a, nil
}

func isUnseen(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }

// AddressOf returns where the buyer of an invoice is written to, "" if the invoice doesn't say: buyer.contact.email; else buyer.email (both are
// BT-58); else buyer.electronic_address, if it is an address of e-mail (scheme EM, BT-49).
func AddressOf(d *document.Document) string {
	if c := d.Buyer.Contact; c != nil && strings.TrimSpace(c.Email) != "" {
		return strings.TrimSpace(c.Email)
	}
	if e := d.Buyer.Endpoint; e != nil && e.Scheme == "EM" {
		return strings.TrimSpace(e.ID)
	}
	return ""
}
