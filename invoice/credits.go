package invoice

import (
	"context"
	"fmt"
	"time"
)

// A CreditBook knows what documents are credited, and by how much.
type CreditBook interface {
	// Credit says whether the job's document could credit the one that it names, and what that one waits for. The totals are those that
	// [Job.Calculate] returns. It only reads: [Store.Insert] checks again.
	Credit(ctx context.Context, j *Job, totals *Totals) (Credit, error)
	// Replaced says how the document stands that the job's one replaces. It only reads: [Store.Insert] checks again.
	Replaced(ctx context.Context, j *Job) (Replaced, error)
}

// A Credit says whether a document could credit the one that it names. Of a document that isn't here, and whose job the ledger doesn't
// have either, nothing is known, and the zero value says that nothing is in the way.
type Credit struct {
	Problem *CreditProblem // why not, nil if nothing is in the way
	Waits   string         // the job that is to make the document, while it is under way
	Failed  string         // that job, if it has failed
	Circle  bool           // that job waits for this one, at the end
}

// Why a document can't credit another one, in [CreditProblem].Why.
const (
	creditsItself   = "circle"   // it would credit itself, at the end
	creditsDepth    = "depth"    // it would credit that one by way of too many others
	creditsCurrency = "currency" // that one is in another currency
	creditsDate     = "date"     // that one is of a later date
	creditsTotal    = "total"    // too little of that one is left
	creditsRate     = "rate"     // too little of that one is left at a tax rate
)

// A CreditProblem says why a document can't credit another one, or one that this one credits in turn. Amounts are in minor units of the
// document's currency, tax included.
type CreditProblem struct {
	Why      string    `json:"why"`
	Number   string    `json:"number"`    // of the document that can't be credited
	Currency string    `json:"currency"`  // currency: that one's
	IssuedAt time.Time `json:"issued_at"` // date: that one's
	Rate     *string   `json:"rate"`      // rate: the percentage, nil for lines that state none
	Full     int64     `json:"full"`      // total, rate: what that one comes to
	Left     int64     `json:"left"`      // what is left of it, with all that was credited of it and given back to it
	Asked    int64     `json:"asked"`     // what the document comes to
}

// TooDeepCredit returns the problem of a document that credits another one by way of too many others.
func TooDeepCredit() *CreditProblem { return &CreditProblem{Why: creditsDepth} }

// Invalid returns the [*InvalidError] of a job in that currency.
func (p *CreditProblem) Invalid(currency string) error {
	var message string
	at := ""
	switch p.Why {
	case creditsItself:
		message = "names a document that credits this one: state what this one credits, or leave it out"
	case creditsDepth:
		message = "names a document that credits an invoice by way of more than 50 others: credit the invoice itself"
	case creditsCurrency:
		message = fmt.Sprintf("names %s, which is in %s, and this is in %s: credit it in its own currency", p.Number, p.Currency, currency)
	case creditsDate:
		message = fmt.Sprintf("names %s, which is of %s: issued_at must not be before that", p.Number, p.IssuedAt.UTC().Format(time.RFC3339))
	case creditsRate:
		at = " without a tax rate"
		if p.Rate != nil {
			at = " at " + *p.Rate + " %"
		}
		fallthrough
	case creditsTotal:
		amount := func(minor int64) string { return FormatMinor(minor, currency) }
		message = fmt.Sprintf("credits %s by more than is left of it%s: %s %s of %s, and this comes to %s%s", p.Number, at, amount(p.Left), currency, amount(p.Full), amount(p.Asked), at)
		if p.Asked > 0 == (p.Full >= 0) {
			message = fmt.Sprintf("gives back to %s more than was credited of it%s: %s %s of %s are left, and this comes to %s%s; invoice it as a document of its own", p.Number, at, amount(p.Left), currency, amount(p.Full), amount(p.Asked), at)
		}
	}
	return &InvalidError{Replayable: true, Problems: []Problem{{Field: creditsField, Message: message}}}
}

const creditsField = "credits_transaction_id"

// A CreditWaitsError says that a document can't be made yet, because another one isn't: the one that it credits or replaces, or the one
// that is to credit what it replaces.
type CreditWaitsError struct {
	TransactionID string // whose document isn't made yet
	JobID         string // that is to make it
	Why           string // it is waited for, such as "which it credits"
}

func (e *CreditWaitsError) Error() string {
	return fmt.Sprintf(WaitsForInvoice+" transaction_id %s, %s: job %s is under way", e.TransactionID, e.Why, e.JobID)
}

// WaitsForInvoice is how the text of a [CreditWaitsError] begins.
const WaitsForInvoice = "waits for the invoice of"

// checkCredit returns an [*InvalidError] if the job's document must not be made because of what it credits or doesn't, and a
// [*CreditWaitsError] while that isn't made, unless dry.
func (g *Generator) checkCredit(ctx context.Context, j *Job, totals *Totals, settings *Settings, dry bool) error {
	if totals.Kind == KindCreditNote && settings.MustCredit && j.CreditsTransactionID == "" {
		return &InvalidError{Replayable: true, Problems: []Problem{{
			Field: creditsField, Message: "is required: by the setting credit_notes, a credit note has to name what it credits",
		}}}
	}
	if j.CreditsTransactionID == "" {
		return nil
	}
	credit, err := g.store.Credit(ctx, j, totals)
	switch {
	case err != nil:
		return err
	case credit.Problem != nil:
		return credit.Problem.Invalid(j.Currency)
	case credit.Circle:
		return (&CreditProblem{Why: creditsItself}).Invalid(j.Currency)
	case credit.Waits != "" && dry:
		return nil // it is made by then
	case credit.Waits != "":
		return &CreditWaitsError{TransactionID: j.CreditsTransactionID, JobID: credit.Waits, Why: "which it credits"}
	case credit.Failed != "":
		return &InvalidError{Replayable: true, Problems: []Problem{{
			Field:   creditsField,
			Message: fmt.Sprintf("names transaction_id %s, which isn't invoiced: its job %s has failed; replay both, or dismiss that one if it was invoiced elsewhere", j.CreditsTransactionID, credit.Failed),
		}}}
	}
	return nil
}

// checkZero returns an [*InvalidError] if the document is made of nothing but zeros, and the settings refuse that.
func checkZero(totals *Totals, settings *Settings) error {
	if !settings.RefuseZero || totals.Subtotal != 0 || totals.Tax != 0 {
		return nil
	}
	for _, net := range totals.LineNets {
		if net != 0 {
			return nil
		}
	}
	return &InvalidError{Replayable: true, Problems: []Problem{{
		Field: "lines", Message: "come to nothing but zeros, which the setting zero refuses: send the transaction once it has an amount, or `invoicer settings set zero number`",
	}}}
}
