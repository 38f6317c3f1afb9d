package main

import (
	"github.com/spf13/cobra"

	"invoicer/invoice"
)

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the format of a job as a JSON Schema",
		GroupID: groupSetup,
		Args:    noArgs,
		Long: `Prints the format of a job as a JSON Schema (draft 2020-12), for editors, tests
and code generators. A job that it refuses is invalid. Not all invalid jobs
are refused: a schema doesn't see members that are given twice, doesn't
compute amounts, and knows neither series nor settings.`,
		Example: `  invoicer schema > job.schema.json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			schema, err := invoice.Schema()
			if err == nil {
				_, err = cmd.OutOrStdout().Write(append(schema, '\n'))
			}
			return err
		},
	}
}
