package pages

import (
	"fmt"
	"net/http"
	"net/url"
)

// A route is what answers the requests of one pattern.
type route struct {
	pattern string                                   // as [http.ServeMux] takes it
	show    func(*http.Request) (view, error)        // a page; nil for what isn't one
	serve   func(http.ResponseWriter, *http.Request) // what isn't a page
	live    bool                                     // the page can be watched
	// within says that the route keeps to the issuers of the visitor. Others are refused to visitors who are limited to issuers.
	within bool
}

// elsewhere is the pattern of what there is no page for.
const elsewhere = "GET /"

func (p *Pages) allRoutes() []route {
	return []route{
		{pattern: "GET /{$}", show: p.now, live: true},
		{pattern: "GET /failed", show: p.failed, within: true},
		{pattern: "POST /failed", serve: p.startRun, within: true},
		{pattern: "GET /runs/{run}", show: p.run, live: true, within: true},
		{pattern: "POST /runs/{run}", serve: p.stopRun, within: true},
		{pattern: "GET /queues", show: p.queues, live: true},
		{pattern: "POST /queues", serve: p.control},
		{pattern: "GET /workers", show: p.workers, live: true},
		{pattern: "GET /races", show: p.races},
		{pattern: "GET /invoices", show: p.invoices, within: true},
		{pattern: "GET /invoices.csv", serve: p.export(writeCSV), within: true},
		{pattern: "GET /invoices.json", serve: p.export(writeJSON), within: true},
		{pattern: "GET /series", show: p.series, live: true, within: true},
		{pattern: "GET /events", show: p.events, live: true, within: true},
		{pattern: "POST /events", serve: p.actOnEvents, within: true},
		{pattern: "GET /events/told", show: p.told, within: true},
		{pattern: "GET /events/{event}", show: p.event, live: true, within: true},
		{pattern: "POST /events/{event}", serve: p.replayEvent, within: true},
		{pattern: "GET /handovers", show: p.handovers, within: true},
		{pattern: "GET /actions", show: p.actions},
		{pattern: "GET /search", show: p.story, live: true, within: true},
		{pattern: "POST /locks", serve: p.freeLock},
		{pattern: "POST /payload", show: p.payload, within: true},
		{pattern: "GET /document", show: p.paper, within: true},
		{pattern: "GET /document/file", serve: p.paperFile, within: true},
		{pattern: "GET /live", serve: p.watch, within: true},
		{pattern: "GET /style.css", serve: file("style.css", "text/css; charset=utf-8"), within: true},
		{pattern: "GET /live.js", serve: file("live.js", "text/javascript; charset=utf-8"), within: true},
		{pattern: elsewhere, show: nothing, within: true},
	}
}

func nothing(*http.Request) (view, error) {
	return view{}, problem{http.StatusNotFound, "There is no such page."}
}

// handler returns the handler of a route, which refuses visitors who are limited to issuers unless the route keeps to these.
func (p *Pages) handler(route route) http.HandlerFunc {
	serve := route.serve
	if route.show != nil {
		serve = p.page(route.show)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		visitor := p.o.Visitor(r)
		switch {
		case route.opensFor(visitor):
			serve(w, r)
		case r.URL.Path == "/":
			http.Redirect(w, r, p.navigation("", visitor)[0].Path, http.StatusSeeOther)
		default:
			p.answer(w, r, p.failure(r, refusal(visitor)))
		}
	}
}

func (r route) opensFor(visitor Visitor) bool { return r.within || !visitor.Issuers.Limited() }

func refusal(visitor Visitor) error {
	return problem{http.StatusForbidden, fmt.Sprintf("This is about all issuers, and you may see the data of %s alone. The pages named above show it.", visitor.Issuers)}
}

// at returns the route of the page at a path.
func (p *Pages) at(path string) route {
	_, pattern := p.mux.Handler(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}})
	return p.routes[pattern]
}

type link struct {
	Path, Text string
	Here       bool
}

// navigation returns links to the pages that the visitor may open.
func (p *Pages) navigation(path string, visitor Visitor) []link {
	var links []link
	for _, l := range []link{
		{Path: "/", Text: "Now"},
		{Path: "/failed", Text: "Failed"},
		{Path: "/queues", Text: "Queues"},
		{Path: "/workers", Text: "Workers"},
		{Path: "/races", Text: "Races"},
		{Path: "/invoices", Text: "Invoices"},
		{Path: "/series", Text: "Series"},
		{Path: "/events", Text: "Events"},
		{Path: "/handovers", Text: "Hand-overs"},
		{Path: "/actions", Text: "Actions"},
		{Path: "/monitor/", Text: "asynqmon"},
	} {
		to := p.at(l.Path)
		if ours := to.pattern != elsewhere; !visitor.Issuers.Limited() || ours && to.opensFor(visitor) {
			l.Here = l.Path == path
			links = append(links, l)
		}
	}
	return links
}
