package api

import (
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"invoicer/invoice/outbox"
)

// webhooks describes what is posted to the endpoints of events.
func webhooks() map[string]*huma.PathItem {
	text := func(description string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Description: description}
	}
	or := func(s *huma.Schema) *huma.Schema {
		s.Nullable = true
		return s
	}
	whole := func(description string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeInteger, Format: "int64", Description: description}
	}
	minor := func() *huma.Schema { return whole("in the currency's minor units") }
	document := map[string]*huma.Schema{
		"issuer": text(""), "transaction_id": text(""), "invoice_number": text(""), "kind": text("invoice or credit_note"), "series": text(""), "period": text(""), "number": whole(""),
		"job_id": text(""), "producer": or(text("")), "currency": text(""), "subtotal_minor": minor(), "tax_minor": minor(), "total_minor": minor(), "payable_minor": minor(),
		"credits_transaction_id": or(text("")), "document_date": or(text("")), "issued_at": text(""), "created_at": text(""),
	}
	document["document_url"] = text("where the document is handed out without a token until document_url_expires_at: to endpoints of the configuration with documents: true")
	document["document_url_expires_at"] = text("")
	failed := map[string]*huma.Schema{
		"issuer": text(""), "transaction_id": or(text("")), "job_id": text(""), "producer": or(text("")), "queue": text(""), "outcome": text(""), "reason": text(""), "attempts": whole(""), "failed_at": text(""),
	}
	list := make(map[string]*huma.PathItem)
	for _, one := range []struct {
		kind, summary string
		data          map[string]*huma.Schema
	}{
		{outbox.InvoiceCreated, "An invoice was made", document},
		{outbox.CreditNoteCreated, "A credit note was made", document},
		{outbox.JobDuplicate, "A job asked for what is invoiced already", map[string]*huma.Schema{
			"issuer": text(""), "transaction_id": text(""), "job_id": text(""), "producer": or(text("")), "reason": text("already_invoiced or lost_race"),
			"differs": {Type: huma.TypeArray, Nullable: true, Items: text("")}, "invoice_number": text(""), "attempted_at": text(""),
		}},
		{outbox.JobConflict, "A job asked for something else than its transaction was invoiced with", failed},
		{outbox.JobFailed, "A job has failed, and a person has to look at it", failed},
		{outbox.EndpointDisabled, "An endpoint is told nothing any more", map[string]*huma.Schema{"endpoint": text(""), "reason": text(""), "failing_since": or(text(""))}},
	} {
		body := &huma.Schema{Type: huma.TypeObject, Required: []string{"type", "timestamp", "data"}, Properties: map[string]*huma.Schema{
			"type":      {Type: huma.TypeString, Enum: []any{one.kind}},
			"timestamp": {Type: huma.TypeString, Format: "date-time", Description: "when it happened", Examples: []any{time.Date(2026, 12, 5, 12, 0, 0, 0, time.UTC).Format(time.RFC3339)}},
			"data":      {Type: huma.TypeObject, Properties: one.data},
		}}
		list[one.kind] = &huma.PathItem{Post: &huma.Operation{
			OperationID: "on " + one.kind, Summary: one.summary, Security: []map[string][]string{{}},
			Description: "Posted to each endpoint that wants it, at least once, and in order for a transaction, in the form of Standard Webhooks.",
			Parameters: []*huma.Param{
				{Name: "webhook-id", In: "header", Required: true, Description: "the same at each attempt: repeats are told by it", Schema: text("")},
				{Name: "webhook-timestamp", In: "header", Required: true, Description: "when it was posted, in seconds since 1970", Schema: text("")},
				{Name: "webhook-signature", In: "header", Required: true, Description: "v1, and HMAC-SHA256 in base64, for each secret, with blanks between", Schema: text("")},
			},
			RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: body}}},
			Responses: map[string]*huma.Response{
				"2XX":     {Description: "It was taken"},
				"410":     {Description: "Nothing more is to be posted: " + http.StatusText(http.StatusGone)},
				"default": {Description: "It is posted again"},
			},
		}}
	}
	return list
}
