// Package handovers hands invoices over to other systems, such as a Peppol provider or an authority's gateway, and asks them what became of them: at least
// once each, by a key that stays the same, and never before their documents are there.
package handovers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"invoicer/invoice/document"
	"invoicer/invoice/handover"
)

// A Parcel is what is handed over of an invoice.
type Parcel struct {
	ID        int64
	InvoiceID int64
	Key       string // the same at each attempt: by it the other side knows a repeat
	Channel   string
	Issuer    string
	Number    string
	Kind      string // invoice or credit_note
	Since     time.Time
	To        string // an address that an operator has named, "" for the invoice's own
	Clearance string // of the invoice that a credit note credits, "" if there is none
	Documents []Document
}

// A Document is one of an invoice.
type Document struct {
	Format    document.Format
	Name      string // of a file
	MediaType string
	SHA256    [sha256.Size]byte
	Content   []byte
}

// An Answer is what the other side says.
type Answer struct {
	State     handover.State // sent, cleared, accepted or rejected
	ID        string         // by which it knows the invoice from now on; with cleared the id of the clearance, unless that is stated
	Clearance string         // of cleared and accepted: the id of the clearance, "" for none or for ID
	Text      string         // in words
}

// A Channel hands parcels over. Both methods return an error for what is to be tried again; a refusal is an answer. They may be called several times
// for one parcel, and by several processes.
type Channel interface {
	// Hand hands a parcel over.
	Hand(ctx context.Context, p *Parcel) (Answer, error)
	// Ask asks what became of a parcel, which has no documents here, by the other side's id. An answer of sent says that there is nothing new.
	Ask(ctx context.Context, p *Parcel, id string) (Answer, error)
}

// A LaterError says when the other side wants to be tried again.
type LaterError struct {
	After time.Duration
	Err   error
}

func (e *LaterError) Error() string { return e.Err.Error() }
func (e *LaterError) Unwrap() error { return e.Err }

// An UncertainError says that nobody knows whether the other side took a parcel, and that it may not know a repeat by its key.
type UncertainError struct {
	ID  string // by which it knows the parcel if it took it
	Err error
}

func (e *UncertainError) Error() string { return e.Err.Error() }
func (e *UncertainError) Unwrap() error { return e.Err }

// A SaidError is one with words of the other side, which may be personal data: they are kept with the hand-over, and in no log.
type SaidError struct{ What, Text string }

func (e *SaidError) Error() string { return e.What }

// whole returns what is kept of an error.
func whole(err error) string {
	var said *SaidError
	if errors.As(err, &said) && said.Text != "" {
		return said.What + ": " + said.Text
	}
	return err.Error()
}

// check returns what is wrong with an answer.
func (a *Answer) check() error {
	switch a.State {
	case handover.Sent, handover.Accepted, handover.Rejected:
	case handover.Cleared:
		if a.ID == "" && a.Clearance == "" {
			return errors.New("it says cleared, without an id or a clearance")
		}
	default:
		return errors.New("its answer has no state: sent, cleared, accepted or rejected")
	}
	if len(a.ID) > handover.MostID || a.ID == "." || a.ID == ".." || !printable(a.ID) {
		return fmt.Errorf("its answer has an id that isn't one: up to %d printable characters", handover.MostID)
	}
	if len(a.Clearance) > handover.MostID || !printable(a.Clearance) {
		return fmt.Errorf("its answer has a clearance that isn't an id: up to %d printable characters", handover.MostID)
	}
	return nil
}

func printable(text string) bool {
	for _, r := range text {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return false
		}
	}
	return true
}
