package handovers

import (
	"context"
	"errors"

	"invoicer/internal/mail"
	"invoicer/invoice/document"
	"invoicer/invoice/handover"
)

// Email sends invoices to their buyers by e-mail: to the address that the invoice has ([mail.AddressOf]), or that an operator has named. The id of
// the answer is the Message-ID, by which what comes back names the letter.
type Email struct {
	Mailer *mail.Mailer
	// Say returns what the documents of an invoice say.
	Say func(ctx context.Context, invoiceID int64) (*document.Document, error)
}

// Hand sends the letter of a parcel. A repeat has the same Message-ID. It returns an [*UncertainError] if the server may have taken it.
func (e *Email) Hand(ctx context.Context, p *Parcel) (Answer, error) {
	said, err := e.Say(ctx, p.InvoiceID)
	if err != nil {
		return Answer{}, err
	}
	to := p.To
	if to == "" {
		to = mail.AddressOf(said)
	}
	if to == "" {
		return Answer{State: handover.Rejected, Text: "the invoice has no e-mail address: its job states none in buyer.contact.email, buyer.email or buyer.electronic_address of scheme EM"}, nil
	}
	files := make([]mail.Attachment, len(p.Documents))
	for i := range p.Documents {
		files[i] = mail.Attachment{Name: p.Documents[i].Name, MediaType: p.Documents[i].MediaType, Content: p.Documents[i].Content}
	}
	receipt, err := e.Mailer.Send(ctx, mail.LetterOf(said, to, "", p.Key, files))
	if mail.IsPermanent(err) {
		text := err.Error()
		if refused := (*mail.RefusedError)(nil); errors.As(err, &refused) {
			text = refused.Text
		}
		return Answer{State: handover.Rejected, ID: e.Mailer.MessageID(p.Key), Text: text}, nil
	}
	if uncertain, ok := errors.AsType[*mail.UncertainError](err); ok {
		return Answer{}, &UncertainError{uncertain.MessageID, err}
	}
	if err != nil {
		return Answer{}, err
	}
	return Answer{State: handover.Sent, ID: receipt.MessageID, Text: receipt.Answer}, nil
}

// Ask has nothing new to say: what becomes of a letter, SMTP doesn't tell.
func (e *Email) Ask(context.Context, *Parcel, string) (Answer, error) {
	return Answer{State: handover.Sent}, nil
}
