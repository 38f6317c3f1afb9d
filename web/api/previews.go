package api

import (
	"context"
	"errors"
	"net/http"

	"invoicer/invoice"
	"invoicer/web/access"
)

type postPreview struct{ RawBody []byte }

// A Preview is what would become of a job, if it was asked for now.
type Preview struct {
	Outcome       string  `json:"outcome" enum:"created,duplicate,conflict,invalid" doc:"how the job would end"`
	InvoiceNumber string  `json:"invoice_number,omitempty" doc:"of the invoice that it would be a duplicate of, or in conflict with"`
	Violations    []Fault `json:"violations" nullable:"false" doc:"why it would make no invoice, in the words in which the job would be refused"`
	Totals        *Totals `json:"totals,omitempty" doc:"absent if the job can't be read"`
	Series        string  `json:"series,omitempty" doc:"in which the document would be counted"`
	Period        string  `json:"period,omitempty"`
	NumberFormat  string  `json:"number_format,omitempty" doc:"how numbers of the series are printed"`
	NumberExample string  `json:"number_example,omitempty" doc:"such a number; which one the document would get is decided when it is made"`
}

// Totals are the amounts of a document, in minor units.
type Totals struct {
	Kind          string       `json:"kind" enum:"invoice,credit_note"`
	Currency      string       `json:"currency"`
	SubtotalMinor int64        `json:"subtotal_minor"`
	TaxMinor      int64        `json:"tax_minor"`
	TotalMinor    int64        `json:"total_minor"`
	PayableMinor  int64        `json:"payable_minor"`
	LineNetsMinor []int64      `json:"line_nets_minor" nullable:"false"`
	Taxes         []PreviewTax `json:"taxes" nullable:"false"`
}

// A PreviewTax is what a document comes to at one code, category and percentage.
type PreviewTax struct {
	Code       string `json:"code"`
	Category   string `json:"category"`
	TaxPercent string `json:"tax_percent"`
	NetMinor   int64  `json:"net_minor"`
	TaxMinor   int64  `json:"tax_minor"`
}

type previewed struct{ Body Preview }

func (a *API) postPreview(ctx context.Context, in *postPreview) (*previewed, error) {
	visitor := access.In(ctx)
	p := Preview{Outcome: string(invoice.Invalid), Violations: []Fault{}}
	request, err := a.request(visitor, in.RawBody, "")
	if refused := (*ProblemError)(nil); errors.As(err, &refused) && refused.Status == http.StatusUnprocessableEntity {
		p.Violations = refused.Errors
		return &previewed{p}, nil
	}
	if err != nil {
		return nil, err
	}
	totals, err := request.job.Calculate()
	if err != nil {
		return nil, err // a job that was read has totals
	}
	p.Totals = totalsOf(request.job, &totals)
	err = a.work(ctx, func(ctx context.Context) error {
		if series, period, err := a.o.Forecaster.Place(ctx, request.job); series != nil {
			p.Series, p.Period, p.NumberFormat, p.NumberExample = series.Name, period, series.Format, series.Print(period, max(1, series.FirstNumber))
		} else if err != nil && !errors.As(err, new(*invoice.InvalidError)) {
			return err
		}
		result, err := a.o.Forecaster.Forecast(ctx, invoice.Request{Job: request.job, Fingerprint: request.job.Fingerprint(), Totals: &totals, Payload: request.Payload})
		var invalid *invoice.InvalidError
		switch {
		case errors.As(err, &invalid):
			p.Violations = faults(invalid)
			return nil
		case err != nil:
			return err
		}
		p.Outcome = string(result.Outcome)
		if result.Invoice != nil {
			p.InvoiceNumber = result.Invoice.Number
		}
		if result.Outcome == invoice.Conflict {
			for _, field := range result.Differs {
				p.Violations = append(p.Violations, Fault{Detail: "differs from what was invoiced", Field: field, Pointer: pointer(field)})
			}
			if len(result.Differs) == 0 {
				p.Violations = append(p.Violations, Fault{Detail: result.Detail})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &previewed{p}, nil
}

func totalsOf(job *invoice.Job, t *invoice.Totals) *Totals {
	all := &Totals{
		Kind: string(t.Kind), Currency: job.Currency, SubtotalMinor: t.Subtotal, TaxMinor: t.Tax, TotalMinor: t.Total, PayableMinor: t.Payable,
		LineNetsMinor: t.LineNets, Taxes: []PreviewTax{},
	}
	for i := range t.Taxes {
		one := &t.Taxes[i]
		all.Taxes = append(all.Taxes, PreviewTax{Code: one.Code, Category: one.Category, TaxPercent: one.Percent.String(), NetMinor: one.Net, TaxMinor: one.Tax})
	}
	return all
}
