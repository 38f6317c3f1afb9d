package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"invoicer/internal/fault"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2  // also if the configuration is invalid
	exitAudit  = 3  // a promise is broken
	exitLater  = 75 // EX_TEMPFAIL: by which a mail server hands a message over again later
)

// An exitError ends the program with its code. Every error that a command returns without one ends it with exitFailed.
// If err is nil, nothing is printed, because the command has printed its result already.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// usageErrorf returns an error about arguments or flags, which ends the program with exitUsage.
func usageErrorf(format string, args ...any) error {
	return exitError{exitUsage, fmt.Errorf(format, args...)}
}

// app holds the environment that all commands share.
type app struct {
	environ []string
	fault   fault.Hook // nil except in tests
}

// run runs the program, and returns its exit code.
func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return app{environ: environ}.run(ctx, args, stdin, stdout, stderr)
}

func (a app) run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := a.rootCommand()                   //nolint:contextcheck // the commands get ctx when they run
	root.SetArgs(append([]string{}, args...)) // nil would mean os.Args
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)

	return printError(root.ExecuteContext(ctx), stderr)
}

// printError prints an error, each line with the program's name before it, and returns the exit code.
func printError(err error, stderr io.Writer) int {
	if err == nil {
		return exitOK
	}
	exit := exitError{code: exitUsage, err: err} // an error without a code is cobra's: a flag, an argument or a command is wrong
	errors.As(err, &exit)
	if exit.err != nil {
		for line := range strings.SplitSeq(exit.err.Error(), "\n") {
			_, _ = fmt.Fprintln(stderr, "invoicer:", line)
		}
	}
	return exit.code
}
