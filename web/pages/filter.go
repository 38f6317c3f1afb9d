package pages

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/web/access"
)

// A filter is the filter of the failed jobs as the visitor wrote it.
type filter struct {
	Outcome, Reason, Cause, Producer, Queue, Series, Issuer, Since, Until string
}

// fields returns the filter's parameters, in the order in which they are shown.
func (f *filter) fields() []field {
	return []field{
		{"outcome", &f.Outcome},
		{"reason", &f.Reason},
		{"cause", &f.Cause},
		{"producer", &f.Producer},
		{"queue", &f.Queue},
		{"series", &f.Series},
		{"issuer", &f.Issuer},
		{"since", &f.Since},
		{"until", &f.Until},
	}
}

type field struct {
	name  string
	value *string
}

// longestField bounds a parameter, in bytes.
const longestField = 1000

// readFilter reads a visitor's filter from a request's parameters. Jobs that state no series ask for the one given. The error says which
// parameter is wrong.
func readFilter(visitor Visitor, values url.Values, now time.Time, series string) (filter, ledger.FailedFilter, error) {
	var f filter
	for _, field := range f.fields() {
		value := strings.TrimSpace(values.Get(field.name))
		if !utf8.ValidString(value) || strings.ContainsRune(value, 0) || len(value) > longestField {
			return f, ledger.FailedFilter{}, problemf("%s must be a text of at most %d bytes", field.name, longestField)
		}
		*field.value = value
	}
	selected := ledger.FailedFilter{Reason: f.Reason, Cause: f.Cause, Producer: f.Producer, Queue: f.Queue, Series: f.Series, DefaultSeries: series, Issuers: visitor.Issuers}
	var err error
	if selected.Issuer, err = ofIssuer(visitor, f.Issuer); err != nil {
		return f, selected, err
	}
	switch outcome := invoice.Outcome(f.Outcome); outcome {
	case "":
	case invoice.Conflict, invoice.Invalid, invoice.Failed:
		selected.Outcomes = []invoice.Outcome{outcome}
	default:
		return f, selected, problemf("outcome %.40q: must be conflict, invalid or failed", f.Outcome)
	}
	if selected.Since, err = moment("since", f.Since, now); err != nil {
		return f, selected, err
	}
	if selected.Until, err = moment("until", f.Until, now); err != nil {
		return f, selected, err
	}
	if !selected.Since.IsZero() && !selected.Until.IsZero() && selected.Since.After(selected.Until) {
		return f, selected, problemf("since is later than until: no job can match")
	}
	return f, selected, nil
}

// ofIssuer returns the issuer that a visitor's filter names, nil if it names none.
func ofIssuer(visitor Visitor, text string) (*string, error) {
	code := text
	switch {
	case text == "":
		return nil, nil
	case text == access.NamelessIssuer:
		code = ""
	case !invoice.IsIssuer(text):
		return nil, problemf("issuer %.40q: must be the code of an issuer, or %s for those of the one without a name", text, access.NamelessIssuer)
	}
	return &code, mustSee(visitor, code)
}

// mustSee returns an error if the visitor may not see the data of an issuer. It doesn't say whether there is such an issuer.
func mustSee(visitor Visitor, code string) error {
	if visitor.Issuers.Has(code) {
		return nil
	}
	return problem{http.StatusForbidden, fmt.Sprintf("You may see the data of %s alone. Name one of these as the issuer, or none at all.", visitor.Issuers)}
}

// issuerOptions returns what the issuer of a visitor's filter may be, none if no issuer was opened.
func (p *Pages) issuerOptions(ctx context.Context, visitor Visitor) ([]string, error) {
	if visitor.Issuers.Limited() {
		return visitor.Issuers.Names(), nil
	}
	codes, err := p.o.Issuers.Codes(ctx)
	if err != nil || len(codes) < 2 {
		return nil, err
	}
	codes[0] = access.NamelessIssuer
	return codes, nil
}

// moment reads a time, or a duration before now.
func moment(name, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	days, inDays := strings.CutSuffix(text, "d")
	if n, err := strconv.Atoi(days); inDays && err == nil && n > 0 && n < 100_000 {
		return now.Add(-time.Duration(n) * 24 * time.Hour), nil
	}
	ago, err := time.ParseDuration(text)
	if err != nil || ago <= 0 {
		return time.Time{}, problemf("%s %.40q: must be a time such as 2026-01-31T12:00:00Z, or how long ago it was, such as 90m, 24h or 7d", name, text)
	}
	return now.Add(-ago), nil
}

// query returns the filter's parameters that are set.
func (f *filter) query() url.Values {
	values := url.Values{}
	for _, field := range f.fields() {
		if *field.value != "" {
			values.Set(field.name, *field.value)
		}
	}
	return values
}

// path returns the address of the failed jobs that match the filter.
func (f *filter) path() string {
	if query := f.query().Encode(); query != "" {
		return "/failed?" + query
	}
	return "/failed"
}

// readAfter reads where a page of failed jobs begins.
func readAfter(values url.Values) (report.FailedJob, error) {
	text := values.Get("after")
	if text == "" {
		return report.FailedJob{}, nil
	}
	at, id, ok := strings.Cut(text, ",")
	var after report.FailedJob
	var err error
	if after.FailedAt, err = time.Parse(time.RFC3339Nano, at); err == nil {
		after.ID, err = strconv.ParseInt(id, 10, 64)
	}
	if !ok || err != nil || after.ID <= 0 {
		return after, problemf("after %.60q: follow the link to older jobs", text)
	}
	return after, nil
}

func afterText(last report.FailedJob) string {
	return fmt.Sprintf("%s,%d", last.FailedAt.UTC().Format(time.RFC3339Nano), last.ID)
}
