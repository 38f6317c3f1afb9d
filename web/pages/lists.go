package pages

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"invoicer/internal/report"
	"invoicer/invoice"
)

const (
	racesShown     = 24 * time.Hour // unless the visitor asks for another time
	longestRaces   = 14 * 24 * time.Hour
	invoicesOnPage = 50
	exportedAtOnce = 1000
	mostExported   = 100_000
)

// shownRaces is what the page of the races shows.
type shownRaces struct {
	Since string
	*report.Races
}

func (p *Pages) races(r *http.Request) (view, error) {
	shown := shownRaces{Since: strings.TrimSpace(r.URL.Query().Get("since"))}
	last := racesShown
	if shown.Since == "" {
		shown.Since = "24h"
	} else {
		now := time.Now()
		since, err := moment("since", shown.Since, now)
		if err != nil {
			return view{}, err
		}
		if last = now.Sub(since); last <= 0 || last > longestRaces {
			return view{}, problemf("since %.40q: must be within the last 14 days", shown.Since)
		}
	}
	var err error
	if shown.Races, err = p.o.Lists.Races(r.Context(), last, nil); err != nil {
		return view{}, err
	}
	return view{template: "races.html", title: "Producers and races", data: shown}, nil
}

// shownInvoices is what the page of the invoices shows.
type shownInvoices struct {
	invoiceFilter
	Issuers []string // none if no issuer was opened
	Rows    []report.Invoice
	Next    string // the address of older invoices; "" if there are none
	Export  string // the parameters for the files
}

// An invoiceFilter is the filter of the invoices as the visitor wrote it.
type invoiceFilter struct{ Series, Issuer, Since, Until string }

func readInvoiceFilter(visitor Visitor, values url.Values) (invoiceFilter, report.Filter, error) {
	get := func(name string) string { return strings.TrimSpace(values.Get(name)) }
	f := invoiceFilter{get("series"), get("issuer"), get("since"), get("until")}
	if !usable(f.Series, longestField) || !utf8.ValidString(values.Get("after")) {
		return f, report.Filter{}, problemf("series must be a text of at most %d bytes", longestField)
	}
	selected := report.Filter{Series: f.Series, Issuers: visitor.Issuers}
	now := time.Now()
	var err error
	if selected.Issuer, err = ofIssuer(visitor, f.Issuer); err != nil {
		return f, selected, err
	}
	if selected.Since, err = moment("since", f.Since, now); err != nil {
		return f, selected, err
	}
	if selected.Until, err = moment("until", f.Until, now); err != nil {
		return f, selected, err
	}
	return f, selected, nil
}

func (f invoiceFilter) query() url.Values {
	values := url.Values{}
	for name, value := range map[string]string{"series": f.Series, "issuer": f.Issuer, "since": f.Since, "until": f.Until} {
		if value != "" {
			values.Set(name, value)
		}
	}
	return values
}

func (p *Pages) invoices(r *http.Request) (view, error) {
	visitor := p.o.Visitor(r)
	f, selected, err := readInvoiceFilter(visitor, r.URL.Query())
	if err != nil {
		return view{}, err
	}
	page, err := p.o.Lists.Invoices(r.Context(), selected, r.URL.Query().Get("after"), invoicesOnPage)
	if errors.Is(err, report.ErrCursor) {
		return view{}, problemf("after %.60q: follow the link to older invoices", r.URL.Query().Get("after"))
	}
	if err != nil {
		return view{}, err
	}
	issuers, err := p.issuerOptions(r.Context(), visitor)
	if err != nil {
		return view{}, err
	}
	shown := shownInvoices{invoiceFilter: f, Issuers: issuers, Rows: page.Rows, Export: f.query().Encode()}
	if page.Next != "" {
		query := f.query()
		query.Set("after", page.Next)
		shown.Next = "/invoices?" + query.Encode()
	}
	return view{template: "invoices.html", title: "Invoices and credit notes", data: shown}, nil
}

// export returns a handler of a file with the invoices that match the filter, the newest 100,000 at most.
func (p *Pages) export(write func(http.ResponseWriter) (row func(*report.Invoice) error, end func() error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, selected, err := readInvoiceFilter(p.o.Visitor(r), r.URL.Query())
		if err != nil {
			p.answer(w, r, p.failure(r, err))
			return
		}
		row, end := write(w)
		control := http.NewResponseController(w)
		for after, n := "", 0; n < mostExported; {
			page, err := p.o.Lists.Invoices(r.Context(), selected, after, exportedAtOnce)
			if err != nil {
				p.o.Logger.Warn("an export ended early", "error", err)
				panic(http.ErrAbortHandler) //nolint:forbidigo // the client must not take what it has for all
			}
			_ = control.SetWriteDeadline(time.Now().Add(30 * time.Second))
			for i := range page.Rows {
				if row(&page.Rows[i]) != nil {
					return // the client is gone
				}
				n++
			}
			if after = page.Next; after == "" {
				break
			}
		}
		_ = end()
	}
}

func writeCSV(w http.ResponseWriter) (row func(*report.Invoice) error, end func() error) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="invoices.csv"`)
	out := csv.NewWriter(w)
	_ = out.Write([]string{
		"invoice_number", "kind", "series", "period", "number", "transaction_id", "currency", "subtotal", "tax", "total", "issued_at", "created_at", "job_id",
		"payable", "withheld", "prepaid", "rounding", "taxes", "issuer",
	})
	return func(i *report.Invoice) error {
			amount := func(minor int64) string { return invoice.FormatMinor(minor, i.Currency) }
			stated := func(minor *int64) string {
				if minor == nil {
					return ""
				}
				return amount(*minor)
			}
			_ = out.Write([]string{ // its error comes back at the next call, or from Error
				cell(i.InvoiceNumber), i.Kind, cell(i.Series), cell(i.Period), strconv.FormatInt(i.Number, 10), cell(i.TransactionID), i.Currency,
				amount(i.SubtotalMinor), amount(i.TaxMinor), amount(i.TotalMinor), i.IssuedAt.UTC().Format(time.RFC3339Nano),
				i.CreatedAt.UTC().Format(time.RFC3339Nano), cell(i.JobID),
				amount(i.PayableMinor), stated(i.WithheldMinor), stated(i.PrepaidMinor), stated(i.RoundingMinor), i.Taxes.String(), cell(i.Issuer),
			})
			return out.Error()
		}, func() error {
			out.Flush()
			return out.Error()
		}
}

// cell returns a text for a spreadsheet, which would take one that begins like this for a formula.
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

// writeJSON writes one invoice per line.
func writeJSON(w http.ResponseWriter) (row func(*report.Invoice) error, end func() error) {
	w.Header().Set("Content-Type", "application/x-ndjson; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="invoices.jsonl"`)
	out := bufio.NewWriter(io.Writer(w))
	encoder := json.NewEncoder(out)
	return func(i *report.Invoice) error {
		one := *i
		one.Metadata = nil // it may hold what isn't for everybody
		return encoder.Encode(one)
	}, out.Flush
}
