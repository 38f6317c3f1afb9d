package worker

// Waits is the [Event].What of a job that waits in hand for an outage to end. It is reported repeatedly; [Event.Err]
// is the reason.
const Waits = "waits"

// Outage reports whether the event is about a job that waits, or went back to its queue, because of an outage: a
// server doesn't answer, or refuses what every job needs. [Event.Err] is the reason.
func (e Event) Outage() bool {
	return (e.What == Waits || e.What == PutBack) && isOutage(e.Err)
}

// waits reports that the job waits in hand for an outage to end.
func (h *Handler) waits(a *attempt, err error) {
	e := h.event(a, Waits)
	e.Err = err
	h.options.Observe(e)
}
