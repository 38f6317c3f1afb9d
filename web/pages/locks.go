package pages

import (
	"context"
	"errors"
	"net/http"

	"invoicer/internal/report"
	"invoicer/invoice"
)

// freeLock frees a transaction's lock as a form asks for, and leads back to the transaction's story.
func (p *Pages) freeLock(w http.ResponseWriter, r *http.Request) {
	lock, err := p.free(r)
	if err != nil {
		p.answer(w, r, p.failure(r, err))
		return
	}
	http.Redirect(w, r, storyPath(lock.Issuer, lock.TransactionID), http.StatusSeeOther)
}

// free frees the lock of the holder that the visitor saw. Of somebody who has it by now, they know nothing.
func (p *Pages) free(r *http.Request) (held report.Lock, err error) {
	visitor := p.o.Visitor(r)
	if !visitor.MayAct {
		return held, problem{http.StatusForbidden, "You may look at locks, but not free them: that needs a token with the role operate."}
	}
	if err := r.ParseForm(); err != nil {
		return held, problemf("the form couldn't be read: %v", err)
	}
	by, err := actor(r, visitor)
	if err != nil {
		return held, err
	}
	transactionID := r.PostForm.Get("transaction")
	if transactionID == "" || !usable(transactionID, longestID) {
		return held, problemf("transaction must be the id of a transaction")
	}
	issuer := r.PostForm.Get("issuer")
	if issuer != "" && !invoice.IsIssuer(issuer) {
		return held, problemf("issuer must be the code of an issuer")
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	held, err = p.o.Controller.Lock(ctx, &issuer, transactionID)
	if err == nil && (held.JobID != r.PostForm.Get("job") || held.Worker != r.PostForm.Get("worker")) {
		err = report.ErrNotHeld
	}
	if err == nil {
		err = p.o.Controller.Free(ctx, held, by)
	}
	switch {
	case errors.Is(err, report.ErrNotHeld):
		return held, problem{http.StatusConflict, "Nothing was freed: by now nobody, or somebody else, has the lock."}
	case err != nil && r.Context().Err() == nil:
		p.o.Logger.Warn("a lock couldn't be freed", "issuer", issuer, "transaction_id", transactionID, "error", err)
		return held, problem{http.StatusServiceUnavailable, "The lock couldn't be freed: Redis or the database didn't answer, and the log of this process says more. Try again."}
	}
	return held, err
}
