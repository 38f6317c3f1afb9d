package pages

import (
	"context"
	"net/http"
	"slices"

	"invoicer/internal/report"
	"invoicer/invoice/ledger"
)

// control pauses or resumes a queue as a form asks for, and leads back to the queues.
func (p *Pages) control(w http.ResponseWriter, r *http.Request) {
	if err := p.controlQueue(r); err != nil {
		p.answer(w, r, p.failure(r, err))
		return
	}
	http.Redirect(w, r, "/queues", http.StatusSeeOther)
}

func (p *Pages) controlQueue(r *http.Request) error {
	visitor := p.o.Visitor(r)
	if !visitor.MayAct {
		return problem{http.StatusForbidden, "You may look at queues, but not pause or resume them: that needs the role operate."}
	}
	if err := r.ParseForm(); err != nil {
		return problemf("the form couldn't be read: %v", err)
	}
	by, err := actor(r, visitor)
	if err != nil {
		return err
	}
	do := map[string]func(context.Context, string, ledger.Actor) (bool, error){"pause": p.o.Controller.Pause, "resume": p.o.Controller.Resume}[r.PostForm.Get("do")]
	if do == nil {
		return problemf("do %.40q: must be pause or resume", r.PostForm.Get("do"))
	}
	queues, err := p.o.Inquiry.Queues(r.Context())
	if err != nil {
		return err
	}
	name := r.PostForm.Get("queue")
	if !slices.ContainsFunc(queues.Queues, func(q report.Queue) bool { return q.Queue == name && mayControl(&q) }) {
		return problem{http.StatusNotFound, "This installation has no such queue, or Redis can't be asked."}
	}
	_, err = do(r.Context(), name, by)
	return err
}

// mayControl reports whether the queue is in Redis, and isn't another installation's.
func mayControl(q *report.Queue) bool { return q.Pending != nil && (q.Owner == nil || q.Ours) }
