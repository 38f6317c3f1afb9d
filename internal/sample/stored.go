package sample

import "invoicer/invoice"

// Stored returns the invoice that a job becomes under a number, as a database would hold it. It fails if the job is invalid.
func Stored(j *invoice.Job, number string) (*invoice.Invoice, error) {
	payload, err := j.Encode()
	if err != nil {
		return nil, err
	}
	job, err := invoice.Decode(payload)
	if err != nil {
		return nil, err
	}
	totals, err := job.Calculate()
	if err != nil {
		return nil, err
	}
	i := &invoice.Invoice{
		Ref:  invoice.Ref{Number: number, TransactionID: job.TransactionID, Fingerprint: job.Fingerprint()},
		Slot: invoice.Slot{Series: "INV", Kind: totals.Kind}, Details: job.Details, IssuedAt: job.IssuedAt, Currency: job.Currency,
		Subtotal: totals.Subtotal, Tax: totals.Tax, Total: totals.Total, Payable: totals.Payable, Taxes: totals.Taxes, Terms: job.Terms, Metadata: job.Metadata,
	}
	for n, line := range job.Lines {
		i.Lines = append(i.Lines, invoice.InvoicedLine{Line: line, Net: totals.LineNets[n]})
	}
	return i, nil
}
