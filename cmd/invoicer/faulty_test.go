package main

import (
	"context"
	"fmt"
	"os"

	"invoicer/internal/chaos"
)

// faultyProgram is the name under which the test binary is the program with a fault in it.
const faultyProgram = "invoicer-faulty"

// faultyMain is main with faults.
func faultyMain() {
	orders, err := chaos.ParseOrders(os.Getenv(chaos.Variable))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitUsage)
	}
	ctx := context.Background()
	f := chaos.NewFaults(orders)
	environ, err := f.Listen(ctx, os.Environ())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitFailed)
	}
	os.Exit(app{environ: environ, fault: f.Hit}.run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
