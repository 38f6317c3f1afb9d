package worker

// Waits is told, again and again, of a job that waits in hand for an outage to end; [Event.Err] is why.
const Waits = "waits"

// Outage tells whether the event is about a job that waits, or went back to its queue, for a reason that isn't its own: a
// server doesn't answer, or refuses what every job needs. [Event.Err] names it.
func (e Event) Outage() bool {
	return (e.What == Waits || e.What == PutBack) && isOutage(e.Err)
}

// waits tells that the job waits in hand for an outage to end.
func (h *Handler) waits(a *attempt, err error) {
	e := h.event(a, Waits)
	e.Err = err
	h.options.Observe(e)
}
