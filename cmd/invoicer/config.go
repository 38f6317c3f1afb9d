package main

import (
	"github.com/spf13/cobra"

	"invoicer/config"
)

func (a app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Show the configuration that applies, and where each value comes from",
		GroupID: groupSetup,
		Args:    noArgs,
		Example: `  invoicer config
  invoicer config --example > invoicer.yaml
  INVOICER_LOCK_TTL=30s invoicer config --json | jq .lock.ttl`,
	}
	addJSONFlag(cmd)
	example := cmd.Flags().Bool("example", false, "print a file with every key, its default and its meaning instead")
	addConfigFlags(cmd, "worker", "lock", "idempotency", "numbering", "retention", "documents", "http", "metrics", "allow_unsafe", "strict", "dates", "credit_notes", "zero", "replaces", "ignore")

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *example && wantsJSON(cmd) {
			return usageErrorf("--example and --json don't go together: an example is YAML; leave one of them out")
		}
		if *example {
			_, err := cmd.OutOrStdout().Write(config.Example())
			return err
		}
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		if wantsJSON(cmd) {
			return printJSON(cmd, cfg)
		}
		_, err = cmd.OutOrStdout().Write(cfg.YAML())
		return err
	}
	return cmd
}
