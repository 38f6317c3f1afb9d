//go:build !man

// Command invoicer turns billing jobs into exactly one invoice for each transaction.
package main

import (
	"context"
	"os"
	_ "time/tzdata" // numbering.timezone works in an image that has no time zones
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}
