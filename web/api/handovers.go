package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"invoicer/internal/mail"
	"invoicer/internal/report"
	"invoicer/invoice/handover"
	"invoicer/web/access"
)

// Handovers are how invoices are handed over to other systems.
type Handovers interface {
	// Page returns [report.ErrCursor] for a cursor that no page of this order has given.
	Page(ctx context.Context, f handover.Filter, after string) (report.Page[handover.Handover], error)
	List(ctx context.Context, f handover.Filter) ([]handover.Handover, error)
	// History returns each change of the hand-overs of an invoice, in their order.
	History(ctx context.Context, invoiceID int64) ([]handover.Change, error)
	// Kind returns the kind of a channel, "" if invoices aren't handed over through it any more.
	Kind(ctx context.Context, channel string) (string, error)
	// Decide returns [handover.ErrStep] if a hand-over can't get there from where it is, [handover.ErrNone] if it isn't there, and a
	// [*handover.InHandError] while a worker is handing it over, where that matters.
	Decide(ctx context.Context, id int64, o handover.Order) error
}

// A Handover is how an invoice is handed over through a channel.
type Handover struct {
	ID            int64      `json:"id"`
	Channel       string     `json:"channel"`
	Issuer        string     `json:"issuer"`
	InvoiceNumber string     `json:"invoice_number"`
	TransactionID string     `json:"transaction_id"`
	Kind          string     `json:"kind" enum:"invoice,credit_note"`
	State         string     `json:"state" enum:"queued,sent,cleared,accepted,rejected,failed,cancelled"`
	WaitsFor      string     `json:"waits_for" doc:"the number of the invoice for whose clearance it waits, and else empty"`
	Blocked       bool       `json:"blocked" doc:"the clearance won't come by itself: that invoice was accepted without one, rejected, given up or cancelled"`
	Failing       bool       `json:"failing" doc:"something went wrong at the last attempt"`
	Key           string     `json:"key" doc:"by which the other side knows a repeat"`
	Attempts      int        `json:"attempts" doc:"how often it was tried in vain in its state"`
	TheirID       string     `json:"their_id" doc:"by which the other side knows it, and else empty"`
	Clearance     string     `json:"clearance" doc:"the id with which it was cleared, and else empty"`
	Since         time.Time  `json:"since" doc:"since when it is owed"`
	ChangedAt     time.Time  `json:"changed_at" doc:"since when it has its state"`
	DueAt         *time.Time `json:"due_at" doc:"when it is tried or asked about next; while it is in hand, when another worker may do so"`
	InHand        bool       `json:"in_hand" doc:"a worker is handing it over, or asking about it, at this moment"`
	AnsweredAt    *time.Time `json:"answered_at" doc:"when the other side last said something"`
	ErasedAt      *time.Time `json:"erased_at" doc:"when its words were erased with the personal data of its invoice"`
}

// HandoverPage is a part of the hand-overs.
type HandoverPage struct {
	Handovers []Handover `json:"handovers" nullable:"false"`
	Next      string     `json:"next" doc:"to go on behind the last, for ?after=; empty at the end, and never with order=oldest"`
}

// HandoverWords are what was said of a hand-over, which may be personal data.
type HandoverWords struct {
	Address string `json:"address" doc:"to whom, if an operator has said so"`
	Error   string `json:"error" doc:"what went wrong at the last attempt"`
	Answer  string `json:"answer" doc:"what the other side said"`
}

// A HandoverChange is a change of a hand-over, as it was when it happened.
type HandoverChange struct {
	At        time.Time `json:"at"`
	State     string    `json:"state" enum:"queued,sent,cleared,accepted,rejected,failed,cancelled"`
	Key       string    `json:"key"`
	Attempts  int       `json:"attempts"`
	Failing   bool      `json:"failing"`
	TheirID   string    `json:"their_id"`
	Clearance string    `json:"clearance"`
	By        string    `json:"by" doc:"who changed it; empty for a worker"`
	Error     string    `json:"error,omitempty" doc:"with words=true"`
	Answer    string    `json:"answer,omitempty" doc:"likewise"`
	Note      string    `json:"note,omitempty" doc:"likewise: why it was changed"`
}

// A HandoverStory is a hand-over with its history.
type HandoverStory struct {
	Handover

	Words   *HandoverWords   `json:"words,omitempty" doc:"with words=true"`
	History []HandoverChange `json:"history" nullable:"false" doc:"each change, in their order"`
}

func shownHandover(h *handover.Handover) Handover {
	return Handover{
		ID: h.ID, Channel: h.Channel, Issuer: h.Issuer, InvoiceNumber: h.Number, TransactionID: h.Transaction, Kind: h.Kind, State: string(h.State), WaitsFor: h.WaitsFor,
		Blocked: h.Blocked, Failing: h.Error != "", Key: h.Key, Attempts: h.Attempts, TheirID: h.TheirID, Clearance: h.Clearance,
		Since: h.Since.UTC(), ChangedAt: h.ChangedAt.UTC(), DueAt: inUTC(h.DueAt), InHand: h.InHand, AnsweredAt: inUTC(h.AnsweredAt), ErasedAt: inUTC(h.ErasedAt),
	}
}

func inUTC(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	utc := t.UTC()
	return &utc
}

type listHandovers struct {
	Conditional
	OfIssuer
	State   string    `query:"state" enum:"queued,sent,cleared,accepted,rejected,failed,cancelled"`
	Channel string    `query:"channel" maxLength:"64"`
	Number  string    `query:"invoice_number" maxLength:"512"`
	Since   time.Time `query:"since" doc:"leaves out what has had its state for longer"`
	Order   string    `query:"order" enum:"newest,oldest" default:"newest" doc:"those of which invoices come first. With oldest, next is always given, and whoever goes on after it misses nothing that is recorded later"`
	After   string    `query:"after" maxLength:"2000" doc:"the next of the page before, to go on behind it"`
	Limit   int       `query:"limit" default:"50" minimum:"1" maximum:"1000" doc:"the most hand-overs of a page"`
}

func (a *API) listHandovers(ctx context.Context, in *listHandovers) (*told[HandoverPage], error) {
	issuers, err := scope(access.In(ctx), in.Issuer)
	if err != nil {
		return nil, err
	}
	f := handover.Filter{
		State: handover.State(in.State), Channel: storableText(in.Channel), Number: storableText(in.Number), Issuers: issuers, Since: in.Since, Oldest: in.Order == "oldest", Limit: in.Limit,
	}
	var page report.Page[handover.Handover]
	if err := a.work(ctx, func(ctx context.Context) (err error) {
		page, err = a.o.Handovers.Page(ctx, f, in.After)
		if errors.Is(err, report.ErrCursor) {
			return problemOf(http.StatusUnprocessableEntity, "after isn't the next of a page", Fault{Detail: "must be the next of a page of this list, in this order", Parameter: "after"})
		}
		return err
	}); err != nil {
		return nil, err
	}
	shown := HandoverPage{Handovers: []Handover{}, Next: page.Next}
	for i := range page.Rows {
		shown.Handovers = append(shown.Handovers, shownHandover(&page.Rows[i]))
	}
	return tell(in.Conditional, shown)
}

// storableText returns a text as a database can compare it: what it can't hold, no row has.
func storableText(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// handover returns a hand-over that the visitor may see: that of another issuer isn't found.
func (a *API) handover(ctx context.Context, id int64) (*handover.Handover, error) {
	if id < 1 {
		return nil, noHandover()
	}
	list, err := a.o.Handovers.List(ctx, handover.Filter{ID: id, Issuers: access.In(ctx).Issuers, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, noHandover()
	}
	return &list[0], nil
}

func noHandover() *ProblemError {
	return problemOf(http.StatusNotFound, "there is no such hand-over")
}

type getHandover struct {
	Conditional
	ID    int64  `path:"handover_id"`
	Words bool   `query:"words" doc:"with what was said, which may be personal data: for those whom http.personal_data names, and it goes on record"`
	By    string `query:"by" maxLength:"128" doc:"with words, who looks: required on the same machine without a token, and else the token's name, which goes on record"`
}

func (a *API) getHandover(ctx context.Context, in *getHandover) (*told[HandoverStory], error) {
	visitor := access.In(ctx)
	by, err := looker(visitor, in.By)
	switch {
	case !in.Words:
	case a.o.PersonalData == "" || !visitor.May(a.o.PersonalData):
		return nil, problemOf(http.StatusForbidden, "what was said may be personal data, and you may not see any: that needs http.personal_data, and the role that it names")
	case err != nil:
		return nil, err
	}
	var answer *told[HandoverStory]
	if err := a.work(ctx, func(ctx context.Context) error {
		h, err := a.handover(ctx, in.ID)
		if err != nil {
			return err
		}
		changes, err := a.o.Handovers.History(ctx, h.InvoiceID)
		if err != nil {
			return err
		}
		if answer, err = tell(in.Conditional, handoverStory(h, changes, in.Words)); err != nil || !in.Words {
			return err // 304: nothing is shown
		}
		return a.o.Ledger.RecordAction(ctx, "see personal data", h.Number, "hand-over through "+h.Channel, by)
	}); err != nil {
		return nil, err
	}
	return answer, nil
}

func handoverStory(h *handover.Handover, changes []handover.Change, words bool) HandoverStory {
	story := HandoverStory{Handover: shownHandover(h), History: []HandoverChange{}}
	if words {
		story.Words = &HandoverWords{h.Address, h.Error, h.Answer}
	}
	for i := range changes {
		c := &changes[i]
		if c.Channel != h.Channel {
			continue // of the same invoice
		}
		one := HandoverChange{
			At: c.At.UTC(), State: string(c.State), Key: c.Key, Attempts: c.Attempts, Failing: c.Error != "", TheirID: c.TheirID, Clearance: c.Clearance, By: c.ChangedBy,
		}
		if words {
			one.Error, one.Answer, one.Note = c.Error, c.Answer, c.Reason
		}
		story.History = append(story.History, one)
	}
	return story
}

// A HandoverAct says who decides about a hand-over, and why.
type HandoverAct struct {
	By   string `json:"by,omitempty" maxLength:"128" doc:"who decides: required on the same machine without a token, and else the token's name, which goes on record"`
	Note string `json:"note,omitempty" maxLength:"1000" doc:"why: it is kept in the history"`
}

type cancelHandover struct {
	ID   int64 `path:"handover_id"`
	Body *HandoverAct
}

// HandoverResend asks for an invoice to be handed over again.
type HandoverResend struct {
	HandoverAct

	To     string `json:"to,omitempty" maxLength:"320" doc:"by e-mail to this address, and not to the one that the invoice has"`
	Anyway bool   `json:"anyway,omitempty" doc:"don't wait for a clearance any more"`
}

type resendHandover struct {
	ID   int64 `path:"handover_id"`
	Body *HandoverResend
}

// HandoverAnswer is what the other side said by other ways.
type HandoverAnswer struct {
	HandoverAct

	State string `json:"state" enum:"cleared,accepted,rejected"`
	ID    string `json:"id,omitempty" maxLength:"200" doc:"the id that the other side gave: required with cleared, since credit notes quote it"`
	Text  string `json:"text,omitempty" maxLength:"4000" doc:"what it said in words"`
}

type answerHandover struct {
	ID   int64 `path:"handover_id"`
	Body HandoverAnswer
}

type handoverDecided struct{ Body Handover }

func (a *API) cancelHandover(ctx context.Context, in *cancelHandover) (*handoverDecided, error) {
	act := in.Body
	if act == nil {
		act = &HandoverAct{}
	}
	return a.decide(ctx, in.ID, act, handover.Order{To: handover.Cancelled})
}

func (a *API) resendHandover(ctx context.Context, in *resendHandover) (*handoverDecided, error) {
	body := in.Body
	if body == nil {
		body = &HandoverResend{}
	}
	to := strings.TrimSpace(body.To)
	if to != "" && (a.o.PersonalData == "" || !access.In(ctx).May(a.o.PersonalData)) {
		return nil, problemOf(http.StatusForbidden, "whoever names another address can have the document sent to themselves: that needs http.personal_data, and the role that it names")
	}
	return a.decide(ctx, in.ID, &body.HandoverAct, handover.Order{To: handover.Queued, Address: to, Anyway: body.Anyway}, textFault("to", to, handover.MostAddress))
}

func (a *API) answerHandover(ctx context.Context, in *answerHandover) (*handoverDecided, error) {
	o := handover.Order{To: handover.State(in.Body.State), Answer: in.Body.Text}
	faults := []*Fault{textFault("id", in.Body.ID, handover.MostID), textFault("text", in.Body.Text, handover.MostAnswer)}
	if o.To == handover.Rejected {
		o.TheirID = in.Body.ID
	} else if o.Clearance = in.Body.ID; o.To == handover.Cleared && o.Clearance == "" {
		faults = append(faults, &Fault{Detail: "is required with cleared: credit notes quote it", Field: "id", Pointer: "/id"})
	}
	return a.decide(ctx, in.ID, &in.Body.HandoverAct, o, faults...)
}

// textFault returns what is wrong with a text of so many bytes at most, nil if nothing is.
func textFault(field, value string, most int) *Fault {
	switch {
	case !utf8.ValidString(value) || strings.ContainsRune(value, 0):
		return &Fault{Detail: "must be text without U+0000", Field: field, Pointer: "/" + field}
	case len(value) > most:
		return &Fault{Detail: "must have " + strconv.Itoa(most) + " bytes at most", Field: field, Pointer: "/" + field}
	}
	return nil
}

// decide does what an operator decides about a hand-over, and returns it as it is then.
func (a *API) decide(ctx context.Context, id int64, act *HandoverAct, o handover.Order, faults ...*Fault) (*handoverDecided, error) {
	by, err := actor(access.In(ctx), &Act{By: act.By, Note: act.Note}, false)
	if err == nil {
		faults = append(faults, textFault("note", act.Note, handover.MostReason))
	}
	if by, err = withFaults(by, err, faults...); err != nil {
		return nil, err
	}
	o.By, o.Reason = by.Name, by.Note
	var now *handover.Handover
	if err := a.work(ctx, func(ctx context.Context) error {
		before, err := a.handover(ctx, id)
		if err != nil {
			return err
		}
		if o.Address != "" {
			if err := a.sendable(ctx, before.Channel, o.Address); err != nil {
				return err
			}
		}
		err = a.o.Handovers.Decide(ctx, id, o)
		inHand, isInHand := errors.AsType[*handover.InHandError](err)
		switch {
		case isInHand:
			p := problemOf(http.StatusConflict, inHand.Error())
			p.State = string(handover.Queued)
			return later(p, max(1, int(time.Until(inHand.Until)/time.Second)+1))
		case errors.Is(err, handover.ErrNone):
			return noHandover()
		case errors.Is(err, handover.ErrStep):
			if before, err = a.handover(ctx, id); err != nil {
				return err
			}
			p := problemOf(http.StatusConflict, "the hand-over is "+string(before.State)+": "+o.WhyNot(before))
			p.State = string(before.State)
			return p
		case err != nil:
			return err
		}
		now, err = a.handover(ctx, id)
		return err
	}); err != nil {
		return nil, err
	}
	return &handoverDecided{shownHandover(now)}, nil
}

// sendable returns a problem if no e-mail can be sent to the address through the channel. Other kinds have addresses of their own.
func (a *API) sendable(ctx context.Context, channel, address string) error {
	kind, err := a.o.Handovers.Kind(ctx, channel)
	if err != nil || kind != "email" {
		return err
	}
	if _, err := mail.ParseAddress(address); err != nil {
		return problemOf(http.StatusUnprocessableEntity, "the request isn't valid: correct it and send it again", Fault{Detail: err.Error(), Field: "to", Pointer: "/to"})
	}
	return nil
}

// handoverOperations registers what concerns how invoices are handed over.
func (a *API) handoverOperations() {
	const tag, path = "hand-overs", "/v1/handovers/{handover_id}"
	bad, notFound, conflict, invalid := http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity
	tooLong, notJSON, same := http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusNotModified
	act := func(id, verb, summary, text string) operation {
		return operation{
			id: id, method: http.MethodPost, path: path + "/" + verb, tag: tag, role: access.Operate, status: http.StatusOK,
			errors: []int{bad, notFound, conflict, tooLong, notJSON, invalid}, most: 32 << 10, json: true, summary: summary, text: text,
		}
	}
	huma.Register(a.huma, a.describe(operation{
		id: "listHandovers", method: http.MethodGet, path: "/v1/handovers", tag: tag, role: access.Read, status: http.StatusOK, errors: []int{same, invalid},
		summary: "How invoices are handed over to other systems", text: "Those of the newest invoices first, unless order says otherwise. A page may have fewer hand-overs than its " +
			"limit, or none, and yet a next. With order=oldest, whoever goes on after each next, again and again, gets each once, whenever its invoice is committed.",
	}), a.listHandovers)
	one := a.describe(operation{
		id: "getHandover", method: http.MethodGet, path: path, tag: tag, role: access.Read, status: http.StatusOK, errors: []int{same, notFound, invalid},
		summary: "A hand-over with its history", text: "Without what the other side said in words, unless words=true.",
	})
	one.Middlewares = append(one.Middlewares, a.sameSite)
	huma.Register(a.huma, one, a.getHandover)
	huma.Register(a.huma, a.describe(act("resendHandover", "resend", "Hand an invoice over again", "What was rejected, failed or cancelled, or was sent and never answered; at once what failed at its last attempt. "+
		"What was rejected gets a new key, and so does an e-mail that was sent. 409 while a worker is handing it over. The token's name and the note are in the history.")), a.resendHandover)
	huma.Register(a.huma, a.describe(act("answerHandover", "answer", "Write down what the other side said by other ways", "Such as by telephone. 409 for rejected while a worker is handing it over. The token's name and the note are in the history.")), a.answerHandover)
	huma.Register(a.huma, a.describe(act("cancelHandover", "cancel", "Give up to hand an invoice over", "Of what is queued; or what was rejected or failed is dealt with otherwise. The invoice stays as it is. 409 while a worker is handing it over. "+
		"The token's name and the note are in the history.")), a.cancelHandover)
}
