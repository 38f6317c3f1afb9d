package pages

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Longest texts that a person may give, in bytes.
const (
	longestName = 128
	longestNote = 1000
)

// startRun starts what a form of the failed jobs' page asks for, and leads to the page of the run.
func (p *Pages) startRun(w http.ResponseWriter, r *http.Request) {
	started, err := p.newRun(r)
	path := ""
	switch {
	case err != nil:
	case started.action == replay:
		path, err = p.beginReplay(r.Context(), started)
	default:
		work := p.forecastAll
		if started.action == dismiss {
			work = p.dismissAll
		}
		err = p.runs.start(started, work) //nolint:contextcheck // it goes on when the request has been answered
		path = "/runs/" + strconv.Itoa(started.id)
	}
	if err != nil {
		p.answer(w, r, p.failure(r, err))
		return
	}
	if started.action != forecast {
		p.o.Logger.Info("an action on failed jobs was started from the pages", "action", started.action, "by", started.by.Name)
	}
	http.Redirect(w, r, path, http.StatusSeeOther)
}

// newRun reads the form.
func (p *Pages) newRun(r *http.Request) (*run, error) {
	visitor := p.o.Visitor(r)
	if !visitor.MayAct {
		return nil, problem{http.StatusForbidden, "You may look at failed jobs, but not replay or dismiss them: that needs the role operate."}
	}
	if err := r.ParseForm(); err != nil {
		return nil, problemf("the form couldn't be read: %v", err)
	}
	now, err := p.o.DatabaseTime(r.Context())
	if err != nil {
		return nil, err
	}
	started := &run{action: action(r.PostForm.Get("do"))}
	if started.shown, started.filter, err = readFilter(visitor, r.PostForm, now, p.o.InvoiceSeries); err != nil {
		return nil, err
	}
	if started.filter.Until.IsZero() || started.filter.Until.After(now) {
		started.filter.Until = now // jobs that fail from now on weren't seen by whoever decided this
	}
	switch started.action {
	case forecast:
	case replay, dismiss:
		if started.by, err = actor(r, visitor); err != nil {
			return nil, err
		}
		if started.action == dismiss && started.by.Note == "" {
			return nil, problemf("a dismissal needs a reason: say how the jobs were dealt with")
		}
	default:
		return nil, problemf("do %.40q: must be forecast, replay or dismiss", started.action)
	}
	if text := strings.TrimSpace(r.PostForm.Get("rate")); text != "" && started.action == replay {
		started.rate, err = strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(started.rate) || started.rate <= 0 || started.rate > 1_000_000 {
			return nil, problemf("the most in a second, %.40q, must be more than 0 and at most 1000000", text)
		}
	}
	return started, nil
}

func usable(text string, longest int) bool {
	return len(text) <= longest && utf8.ValidString(text) && !strings.ContainsRune(text, 0)
}

// findRun returns the run of the request's path. One of whose jobs the visitor may not see some isn't found.
func (p *Pages) findRun(r *http.Request) (*run, error) {
	id, err := strconv.Atoi(r.PathValue("run"))
	if err == nil {
		if found := p.runs.get(id); found != nil && found.keepsTo(p.o.Visitor(r).Issuers) {
			return found, nil
		}
	}
	return nil, noRun()
}

func noRun() error {
	return problem{
		http.StatusNotFound,
		"There is no such forecast, replay or dismissal. Forecasts and dismissals are kept until their process ends, and replays for a while; what they did is under Actions.",
	}
}

func (p *Pages) run(r *http.Request) (view, error) {
	if replay, err := p.findReplay(r); err != nil {
		return view{}, err
	} else if replay != nil {
		shown := showReplay(replay)
		return view{template: "run.html", title: "Replay", live: !shown.Ended, data: shown}, nil
	}
	found, err := p.findRun(r)
	if err != nil {
		return view{}, err
	}
	titles := map[action]string{forecast: "Forecast of a replay", dismiss: "Dismissal"}
	shown := found.show()
	return view{template: "run.html", title: titles[found.action], live: !shown.Ended, data: shown}, nil
}

// stopRun stops a run, and leads back to its page once it has stopped.
func (p *Pages) stopRun(w http.ResponseWriter, r *http.Request) {
	replay, err := p.findReplay(r)
	var found *run
	if err == nil && replay == nil {
		found, err = p.findRun(r)
	}
	if err == nil && !p.o.Visitor(r).MayAct {
		err = problem{http.StatusForbidden, "You may not stop this: that needs the role operate."}
	}
	if err == nil && replay != nil {
		if err = p.cancelReplay(r, replay); err == nil {
			http.Redirect(w, r, "/runs/"+replay.ID, http.StatusSeeOther)
			return
		}
	}
	if err != nil {
		p.answer(w, r, p.failure(r, err))
		return
	}
	found.stop(errStopped)
	select {
	case <-found.stopped:
	case <-r.Context().Done():
	}
	http.Redirect(w, r, "/runs/"+strconv.Itoa(found.id), http.StatusSeeOther)
}
