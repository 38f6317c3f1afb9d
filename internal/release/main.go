package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	code := 0
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.As(err, new(usageError)):
		code = 2
	default:
		code = 1
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, "release:", err)
	}
	os.Exit(code) //nolint:forbidigo // this is main
}

// A usageError is wrong usage.
type usageError struct{ error }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 || args[0] != "release" && args[0] != "image" {
		return usageError{errors.New("say what to build: release or image")}
	}
	var root, version, out, push string
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&root, "root", "../..", "the `folder` with the product's go.mod")
	flags.StringVar(&version, "version", "", "the version, such as v1.2.3")
	flags.StringVar(&out, "out", "", "the `folder` to write to, made anew (default dist/release or dist/image in the root)")
	if args[0] == "image" {
		flags.StringVar(&push, "push", "", "also push the image to this `reference`, such as registry.example/invoicer:v1.2.3")
	}
	if err := flags.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{err}
	}
	if flags.NArg() > 0 {
		return usageError{fmt.Errorf("%q is no flag", flags.Arg(0))}
	}
	s, err := openSource(ctx, root, version)
	if err != nil {
		return err
	}
	if out == "" {
		out = s.root + "/dist/" + args[0]
	}
	if args[0] == "release" {
		if s.dirty {
			return errors.New("there are changes that aren't committed, so nobody could build the same again: commit them first")
		}
		return writeRelease(ctx, s, out, stdout, platforms)
	}
	return writeImage(ctx, s, out, push, stdout)
}
