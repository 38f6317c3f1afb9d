package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"invoicer/internal/await"
)

// oneArg returns the Args of a command that takes one argument, which what describes.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return fmt.Errorf("'%s' lacks its argument: %s; '%[1]s --help' shows an example", cmd.CommandPath(), what)
		case 1:
			return nil
		}
		return fmt.Errorf("'%s' takes one argument, %s, but there is also %q", cmd.CommandPath(), what, args[1])
	}
}

// addWaitFlag adds --wait, the limit of an [await.Waiter].
func addWaitFlag(cmd *cobra.Command, wait *time.Duration) {
	cmd.Flags().DurationVar(wait, "wait", await.DefaultTimeout, "how long to wait for a server that doesn't answer")
}
