package pages

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// shownPayload is a job as it was asked for, with whatever personal data it holds.
type shownPayload struct {
	JobID   string
	Payload string
}

// payload shows a job as it was asked for, to visitors who may see personal data. That they look goes on record first.
func (p *Pages) payload(r *http.Request) (view, error) {
	visitor := p.o.Visitor(r)
	if !visitor.MaySeePersonalData {
		return view{}, problem{http.StatusForbidden, "You may not see personal data: that needs http.personal_data, and the role that it names."}
	}
	if err := r.ParseForm(); err != nil {
		return view{}, problemf("the form couldn't be read: %v", err)
	}
	jobID := r.PostForm.Get("job")
	if !usable(jobID, longestID) || jobID == "" {
		return view{}, problemf("job must be the id of a job")
	}
	by, err := actor(r, visitor)
	if err != nil {
		return view{}, err
	}
	payload, err := p.o.Reports.Payload(r.Context(), visitor.Issuers, jobID)
	if err != nil {
		return view{}, err
	}
	if job, _ := invoice.Decode(payload); job != nil && job.Issuer != "" && !visitor.Issuers.Has(job.Issuer) {
		payload = nil // a release that knew no issuers has recorded it as of none
	}
	if payload == nil {
		return view{}, problem{http.StatusNotFound, "The ledger doesn't have this job, or its payload isn't kept any more, or isn't text."}
	}
	if err := p.o.Actions.RecordAction(r.Context(), "see personal data", jobID, "", by); err != nil {
		return view{}, err
	}
	return view{template: "payload.html", title: "As it was asked for", data: shownPayload{jobID, indented(payload)}}, nil
}

// actor returns who does what a form asks for: the visitor's name, or the one that the form gives if nothing is known of the visitor.
func actor(r *http.Request, visitor Visitor) (ledger.Actor, error) {
	by := ledger.Actor{Name: visitor.Name, Note: strings.TrimSpace(r.PostForm.Get("note"))}
	if by.Name == "" {
		by.Name = strings.TrimSpace(r.PostForm.Get("by"))
	}
	if !usable(by.Name, longestName) || by.Name == "" {
		return by, problemf("your name must be given, as 1 to %d bytes of text: it goes on record", longestName)
	}
	if !usable(by.Note, longestNote) {
		return by, problemf("the note must be at most %d bytes of text", longestNote)
	}
	return by, nil
}

// indented returns a payload with a line for each of its values, and as it is if it isn't JSON.
func indented(payload []byte) string {
	var lines bytes.Buffer
	if err := json.Indent(&lines, payload, "", "  "); err != nil {
		return string(payload)
	}
	return lines.String()
}
