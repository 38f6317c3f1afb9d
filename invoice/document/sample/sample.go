// Package sample has made-up documents, for previews, pictures and tests.
package sample

import (
	"embed"
	"encoding/json"
	"fmt"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/document"
)

//go:embed *.json
var jobs embed.FS

// Names returns the names of the documents that there are.
func Names() []string { return []string{"invoice", "credit_note", "gross", "foreign", "debit"} }

// Document returns a made-up document: an ordinary invoice, a credit note over some of it, an invoice with prices that contain the taxes,
// one to another country with several taxes on a line, and one that is paid by direct debit.
func Document(name string) (*document.Document, error) {
	data, err := jobs.ReadFile(name + ".json")
	if err != nil {
		return nil, fmt.Errorf("there is no sample %q", name)
	}
	return made(name, data)
}

// Long returns an invoice with that many lines.
func Long(lines int) (*document.Document, error) {
	data, err := jobs.ReadFile("invoice.json")
	if err != nil {
		return nil, err
	}
	var job map[string]any
	if err := json.Unmarshal(data, &job); err != nil {
		return nil, err
	}
	few, _ := job["lines"].([]any)
	many := make([]any, lines)
	for n := range many {
		many[n] = few[n%len(few)]
	}
	job["lines"] = many
	delete(job, "allowances")
	if data, err = json.Marshal(job); err != nil {
		return nil, err
	}
	return made("invoice", data)
}

func made(name string, data []byte) (*document.Document, error) {
	job, err := invoice.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("sample %s: %w", name, err)
	}
	totals, err := job.Calculate()
	if err != nil {
		return nil, fmt.Errorf("sample %s: %w", name, err)
	}
	number := "2026-000187"
	facts := document.Facts{Zone: time.UTC}
	if totals.Kind == invoice.KindCreditNote {
		number = "CN-2026-000012"
		facts.Preceding = []document.Preceding{{Number: "2026-000187", Date: "2026-11-30"}}
	}
	stored := &invoice.Invoice{
		Ref:  invoice.Ref{Number: number, TransactionID: job.TransactionID, Fingerprint: job.Fingerprint()},
		Slot: invoice.Slot{Series: "INV", Kind: totals.Kind}, Details: job.Details, IssuedAt: job.IssuedAt, Currency: job.Currency,
		Subtotal: totals.Subtotal, Tax: totals.Tax, Total: totals.Total, Payable: totals.Payable, Taxes: totals.Taxes, Terms: job.Terms,
		Metadata: job.Metadata,
	}
	for n, line := range job.Lines {
		stored.Lines = append(stored.Lines, invoice.InvoicedLine{Line: line, Net: totals.LineNets[n]})
	}
	return document.Of(stored, facts)
}
