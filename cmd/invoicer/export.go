package main

import (
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"invoicer/invoice"
)

// An exported is what `invoicer export` prints: all that is kept of a customer.
type exported struct {
	CustomerID string            `json:"customer_id"`
	ExportedAt time.Time         `json:"exported_at"`
	Invoices   []exportedInvoice `json:"invoices"`
	Jobs       []exportedJob     `json:"jobs"` // whose payloads the ledger keeps
}

type exportedInvoice struct {
	InvoiceNumber string          `json:"invoice_number"`
	Kind          invoice.Kind    `json:"kind"`
	CreatedAt     time.Time       `json:"created_at"`
	SubtotalMinor int64           `json:"subtotal_minor"`
	TaxMinor      int64           `json:"tax_minor"`
	TotalMinor    int64           `json:"total_minor"`
	PayableMinor  int64           `json:"payable_minor"`
	Content       json.RawMessage `json:"content"` // as a job that asks for it
}

type exportedJob struct {
	JobID   string          `json:"job_id"`
	State   string          `json:"state"`
	Payload json.RawMessage `json:"payload"`
}

func (a app) exportCommand() *cobra.Command {
	var wait time.Duration
	var customer string
	var issuer issuerFlag
	cmd := &cobra.Command{
		Use:     "export --customer ID",
		Short:   "Print all that is kept of a customer, for a request of access",
		GroupID: groupLook,
		Args:    noArgs,
		Long: `Prints, as JSON, all that is kept of a customer: each invoice with its whole
content, and the payloads of jobs, as far as the ledger keeps them. Customers
are told apart by the field customer_id. It holds personal data: keep it
as such. Of what was erased, and of jobs that are still in Redis alone, it has
nothing.`,
		Example: "  invoicer export --customer 17850 > 17850.json",
	}
	cmd.Flags().StringVar(&customer, "customer", "", "the customer's `id`; required")
	issuer.add(cmd, "only what is of this issuer")
	addWaitFlag(cmd, &wait)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if customer == "" || !utf8.ValidString(customer) {
			return usageErrorf("--customer is missing, or no valid UTF-8: give the customer's id")
		}
		cfg, store, err := a.configuredStore(cmd, wait)
		if err != nil {
			return err
		}
		defer store.Close()
		of := issuer.orAll(cmd)
		all := exported{CustomerID: customer, ExportedAt: time.Now().UTC(), Invoices: []exportedInvoice{}, Jobs: []exportedJob{}}
		err = store.Erasures.Export(cmd.Context(), of, customer, func(i *invoice.Invoice) error {
			content, err := i.Content().Encode()
			all.Invoices = append(all.Invoices, exportedInvoice{
				InvoiceNumber: i.Number, Kind: i.Slot.Kind, CreatedAt: i.CreatedAt,
				SubtotalMinor: i.Subtotal, TaxMinor: i.Tax, TotalMinor: i.Total, PayableMinor: i.Payable, Content: content,
			})
			return err
		})
		if err == nil {
			err = store.Erasures.Asked(cmd.Context(), of, customer, func(jobID, state string, payload []byte) error {
				if !json.Valid(payload) {
					return errors.New("the payload of job " + jobID + " is no JSON")
				}
				all.Jobs = append(all.Jobs, exportedJob{jobID, state, payload})
				return nil
			})
		}
		if err != nil {
			return inBrief(cfg, err)
		}
		return printJSON(cmd, all)
	}
	return cmd
}
