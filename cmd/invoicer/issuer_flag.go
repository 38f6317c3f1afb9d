package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/web/access"
)

// An issuerFlag is the flag --issuer. Without it, the issuer that has no name is meant, or all.
type issuerFlag struct{ code string }

func (f *issuerFlag) add(cmd *cobra.Command, usage string) {
	cmd.Flags().Var(f, "issuer", usage+" (its `code`)")
}

// String implements [pflag.Value].
func (f *issuerFlag) String() string { return f.code }

// Type implements [pflag.Value].
func (f *issuerFlag) Type() string { return "code" }

// Set implements [pflag.Value].
func (f *issuerFlag) Set(code string) error {
	if code != "" && !invoice.IsIssuer(code) {
		return errors.New(issuerForm)
	}
	f.code = code
	return nil
}

// orAll returns the issuer that the command names, nil if it names none.
func (f *issuerFlag) orAll(cmd *cobra.Command) *string {
	if !cmd.Flags().Changed("issuer") {
		return nil
	}
	return &f.code
}

// orNil returns the issuer that the command names as a list, nil if it names none.
func (f *issuerFlag) orNil(cmd *cobra.Command) []string {
	if !cmd.Flags().Changed("issuer") {
		return nil
	}
	return []string{f.code}
}

// of continues a sentence about something of the issuer.
func (f *issuerFlag) of() string {
	if f.code == "" {
		return ""
	}
	return " of issuer " + f.code
}

// An issuersFlag is a flag that names issuers, which may be repeated.
type issuersFlag []string

// String implements [pflag.Value].
func (f *issuersFlag) String() string { return strings.Join(access.Issuers(*f).Names(), ",") }

// Type implements [pflag.Value].
func (f *issuersFlag) Type() string { return "code" }

// Set implements [pflag.Value].
func (f *issuersFlag) Set(codes string) error {
	for code := range strings.SplitSeq(codes, ",") {
		switch {
		case code == access.NamelessIssuer, codes == "": // as everywhere else
			code = ""
		case !invoice.IsIssuer(code):
			return errors.New(issuerForm + ", or " + access.NamelessIssuer)
		}
		*f = append(*f, code)
	}
	slices.Sort(*f)
	*f = slices.Compact(*f)
	return nil
}

// opened returns the issuers that the flag names, nil if it wasn't given. The error names one that wasn't opened.
func (f *issuersFlag) opened(ctx context.Context, issuers *postgres.Issuers) ([]string, error) {
	if *f == nil {
		return nil, nil
	}
	known, err := issuers.List(ctx, *f, len(*f))
	if err != nil {
		return nil, err
	}
	for _, code := range *f {
		if code != "" && !slices.ContainsFunc(known, func(is report.Issuer) bool { return is.Issuer == code }) {
			return nil, noIssuer(code)
		}
	}
	return *f, nil
}

const issuerForm = "must be 1 to 32 characters of A-Z 0-9 -"
