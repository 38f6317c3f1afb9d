package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"net/http"

	"invoicer/invoice/ledger"
	"invoicer/web/access"
)

// bind gives a request its key: that of the header, or the job's own. The two kinds share none, since a header's has no U+0000. Under a key of
// the header's, the request must be the same in all that it states. Under its own, a job must be the same as its fingerprint has it, as at any
// other door.
func (r *asked) bind(visitor access.Visitor, header string) {
	r.Token = visitor.Name
	key, content := header, r.Queue+"\n"+string(r.Payload)
	if header == "" {
		r.OwnKey = true
		key, content = "\x00"+r.job.Issuer+"\x00"+r.job.IdempotencyKey, r.job.Fingerprint()
	}
	r.Key, r.Content = hashes(key, content)
}

// hashes returns what is kept of a key, and of a request under it.
func hashes(key, content string) (ofKey, ofContent []byte) {
	hash := sha256.Sum256([]byte(key))
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(content))
	return hash[:], mac.Sum(nil)
}

// accept adds a job to the ledger.
func (a *API) accept(ctx context.Context, r asked) (ledger.Acceptance, error) {
	settings, err := a.check(ctx, r)
	if err != nil {
		return ledger.Acceptance{}, refusalOf(err)
	}
	accepted, err := a.o.Ledger.AcceptRequest(ctx, r.Request)
	if !r.OwnKey {
		return accepted, refusalOf(err)
	}
	field := "idempotency_key"
	if r.job.IdempotencyKey == r.job.TransactionID { // as it is by default
		field = "transaction_id"
	}
	switch {
	case errors.Is(err, ledger.ErrInProgress):
		return accepted, later(problemOf(http.StatusConflict, "a job with this key is being accepted: send it again in a moment",
			Fault{Detail: "is that of a job that is being accepted", Field: field, Pointer: "/" + field}), 1)
	case errors.Is(err, ledger.ErrOtherContent) && (settings.IgnoreIssuedAt || settings.IgnorePresentation):
		// What differs may be what the issuer's settings ignore: the worker, who sees both, decides whether it is a duplicate or a conflict.
		r.Key, r.Content, r.OwnKey = nil, nil, false
		accepted, err = a.o.Ledger.AcceptRequest(ctx, r.Request)
	case errors.Is(err, ledger.ErrOtherContent):
		p := problemOf(http.StatusUnprocessableEntity, "a job with this key was accepted already, with other content: what is to be invoiced besides needs a key of its own",
			Fault{Detail: "is that of another job, with other content", Field: field, Pointer: "/" + field})
		p.JobID = accepted.JobID
		return accepted, p
	}
	return accepted, refusalOf(err)
}
