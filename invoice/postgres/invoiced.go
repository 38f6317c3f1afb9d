package postgres

import (
	"context"
	"errors"

	"invoicer/internal/report"
	"invoicer/invoice"
)

// invoicedColumns are the columns of a [report.Invoice], from a row of invoices under that name.
func invoicedColumns(row string) string {
	return row + `.*, document_date::text AS dated, coalesce(payable_minor, total_minor) AS payable, erasure_id IS NOT NULL AS erased,
    (SELECT count(*) FROM invoicer.invoice_lines WHERE invoice_id = ` + row + `.id) AS lines,
    (SELECT coalesce(json_agg(json_build_object('code', t.code, 'category', t.category, 'tax_percent', trim_scale(t.tax_percent)::text,
        'net_minor', t.net_minor, 'added_minor', t.added_minor, 'tax_minor', t.tax_minor) ORDER BY ` + InOrderOfTaxes + `), '[]')::text
        FROM invoicer.invoice_taxes t WHERE t.invoice_id = ` + row + `.id) AS taxes`
}

// addStated adds the amounts that the document's terms state, and returns the terms, nil for none. What is withheld is what else makes the
// payable amount of the total. Terms that can't be read are of a later release, or somebody has changed them, which the audit says.
func addStated(i *report.Invoice) *invoice.Terms {
	terms, err := invoice.ReadTerms(string(i.Terms), "")
	if err != nil || terms == nil {
		return nil
	}
	exponent, _ := invoice.MinorUnits(i.Currency)
	prepaid, _ := terms.Prepaid.Scaled(exponent) // they fit, or the job would have been invalid
	rounding, _ := terms.Rounding.Scaled(exponent)
	if !terms.Prepaid.IsZero() {
		i.PrepaidMinor = &prepaid
	}
	if !terms.Rounding.IsZero() {
		i.RoundingMinor = &rounding
	}
	if len(terms.Withholdings) > 0 {
		withheld := i.TotalMinor - i.PayableMinor - prepaid + rounding
		i.WithheldMinor = &withheld
	}
	return terms
}

// addAdjustments adds what each allowance, charge and withholding comes to. It isn't stored, so it is computed again from the content.
func (s *core) addAdjustments(ctx context.Context, i *report.Invoice) error {
	if i == nil {
		return nil
	}
	terms := addStated(i)
	if terms == nil || len(terms.Allowances)+len(terms.Charges)+len(terms.Withholdings) == 0 {
		return nil
	}
	whole, err := s.read(ctx, i.ID)
	if err != nil {
		return err
	}
	totals, err := whole.Content().Calculate()
	if errors.As(err, new(*invoice.InvalidError)) {
		return nil // somebody has changed it: the audit says so
	}
	if err != nil {
		return err
	}
	i.Allowances, i.Charges, i.Withholdings = adjusted(totals.Allowances), adjusted(totals.Charges), totals.Withholdings
	return nil
}

func adjusted(of []invoice.Adjusted) []report.Adjusted {
	var all []report.Adjusted
	for _, a := range of {
		all = append(all, report.Adjusted{AmountMinor: a.Amount, NetMinor: a.Net})
	}
	return all
}
