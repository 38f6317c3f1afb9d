package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/worker/dispatch"
)

// addOrderFlag adds --order; checkOrder returns an error if its value is unusable.
func (r *replayRun) addOrderFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar((*string)(&r.options.Order), "order", "", "number them in the order of this `time`, issued_at or accepted_at: send each after the one before it has ended")
}

func (r *replayRun) checkOrder(cmd *cobra.Command) error {
	if order := r.options.Order; cmd.Flags().Changed("order") && order != dispatch.ByIssuedAt && order != dispatch.ByAcceptedAt {
		return fmt.Errorf("--order %q: must be issued_at or accepted_at", order)
	}
	return nil
}

// await has the replayer await each job, if there is an order.
func (r *replayRun) await(store *postgres.DB, numbering *invoice.Numbering, say func(string)) {
	if r.options.Order != "" {
		o := &orderly{store: store, numbering: numbering, say: say, named: true, behind: "those behind it aren't replayed: mend it or dismiss it, and replay the rest"}
		r.options.Await = func(ctx context.Context, jobID string, payload []byte) error {
			err := o.await(ctx, jobID, payload)
			if ctx.Err() != nil {
				say(fmt.Sprintf("job %s was sent and hasn't ended: replay the rest after it has", jobID))
			}
			return err
		}
	}
}
