package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"invoicer/internal/term"
	"invoicer/invoice"
	"invoicer/invoice/document"
	"invoicer/invoice/document/check"
	"invoicer/invoice/document/node"
)

func (a app) documentCheckCommand() *cobra.Command {
	var profile string
	var profiles []string
	for _, p := range document.Profiles() {
		profiles = append(profiles, string(p))
	}
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Read an invoice of anybody's, and say what is wrong with it",
		Long: `Reads invoices and credit notes, ours and others', adds them up again, and says
what is wrong: each sum that is off, with what it is stated as and what it comes
to, and what the rules of EN 16931 and of its profile ask for, as far as they are
known here. It needs neither a server nor a configuration.

FILE is UBL (Invoice, CreditNote) or CII as XML, also in an envelope of Peppol
(SBDH) or in an AttachedDocument, or a PDF that has CII in it (Factur-X, ZUGFeRD
from 2.0 on). - is standard input.

Exit code: 0 if nothing is wrong, 1 if something is, and 2 if a file isn't an
invoice that can be read. Of several files the highest counts.`,
		Example: `  invoicer document check invoice.xml
  invoicer document check --profile xrechnung rechnung.pdf
  invoicer document check --json *.xml | jq '.[] | select(.ok | not) | .file'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageErrorf("name the files, or - for standard input")
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&profile, "profile", "", "by the rules of this `profile`: "+strings.Join(profiles, ", ")+"; else of the one that the invoice says it is of")
	_ = cmd.RegisterFlagCompletionFunc("profile", cobra.FixedCompletions(profiles, cobra.ShellCompDirectiveNoFileComp)) // can't fail: the flag is there
	addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		by := document.Profile(profile)
		if profile != "" {
			if _, err := document.ParseProfile(profile); err != nil {
				return usageErrorf("--profile %w", err)
			}
		}
		return checkFiles(cmd, args, by)
	}
	return cmd
}

// checkFiles checks all files, and returns an error with the highest exit code.
func checkFiles(cmd *cobra.Command, files []string, by document.Profile) error {
	end := exitError{code: exitOK}
	answers := []checkedFile{}
	for n, file := range files {
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		report, err := checkFile(cmd, file, by)
		answer := checkedFile{File: file, Findings: []checkedFinding{}, Notes: []checkedFinding{}, Ignored: []checkedIgnored{}}
		switch {
		case err != nil:
			end.code = exitUsage
			end.err = errors.Join(end.err, fmt.Errorf("%s: %w", file, err))
			answer.Error = err.Error()
		case !report.Well():
			end.code = max(end.code, exitFailed)
			fallthrough
		default:
			answer.fill(report)
		}
		if wantsJSON(cmd) {
			answers = append(answers, answer)
		} else if err == nil {
			if n > 0 {
				_, _ = fmt.Fprintln(cmd.OutOrStdout())
			}
			answer.print(cmd.OutOrStdout())
		}
	}
	if wantsJSON(cmd) {
		if err := printJSON(cmd, answers); err != nil {
			return err
		}
	}
	if end.code == exitOK {
		return nil
	}
	return end
}

func checkFile(cmd *cobra.Command, file string, by document.Profile) (*check.Report, error) {
	if file == "-" {
		return check.ReadAs(cmd.InOrStdin(), by)
	}
	f, err := os.Open(file)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return nil, err
	}
	defer f.Close()
	return check.ReadAs(f, by)
}

// A checkedFile is what is said of a file. Its keys are stable.
type checkedFile struct {
	File  string `json:"file"`
	Error string `json:"error,omitempty"` // why it can't be read; all that follows is empty then
	OK    bool   `json:"ok"`

	Syntax        string `json:"syntax"`
	Envelope      string `json:"envelope,omitempty"`
	Attachment    string `json:"attachment,omitempty"`
	Specification string `json:"specification"`
	Name          string `json:"specification_name"`
	Profile       string `json:"profile"` // by whose rules it was judged
	Rules         string `json:"rules"`

	Kind      string `json:"kind"`
	Number    string `json:"number"`
	Type      string `json:"type_code"`
	Date      string `json:"issue_date"`
	Seller    string `json:"seller"`
	SellerVAT string `json:"seller_vat_id"`
	Buyer     string `json:"buyer"`
	BuyerVAT  string `json:"buyer_vat_id"`
	Currency  string `json:"currency"`
	Lines     int    `json:"lines"`
	Net       string `json:"total_without_vat"`
	Tax       string `json:"vat"`
	Gross     string `json:"total_with_vat"`
	Prepaid   string `json:"paid"`
	Rounding  string `json:"rounding"`
	Payable   string `json:"payable"`

	Findings []checkedFinding `json:"findings"`
	Notes    []checkedFinding `json:"notes"`
	Ignored  []checkedIgnored `json:"ignored"`
	More     int              `json:"more"` // findings, notes and ignored elements that aren't listed
}

type checkedFinding struct {
	Rule     string `json:"rule"`
	Term     string `json:"term"`
	Where    string `json:"where"`
	Message  string `json:"message"`
	Stated   string `json:"stated,omitempty"`
	Computed string `json:"computed,omitempty"`
	isLack   bool   // whether the message is to be read after where
}

type checkedIgnored struct {
	Path  string `json:"path"`
	Count int    `json:"count"`
}

func (c *checkedFile) fill(r *check.Report) {
	d := r.Document
	decimals := 2
	if most, ok := invoice.MinorUnits(d.Currency); ok {
		decimals = most
	}
	amount := func(a document.Decimal) string { return node.Fixed(a, decimals) }
	c.OK, c.Syntax, c.Envelope, c.Attachment = r.Well(), string(r.Syntax), r.Envelope, r.Attachment
	c.Specification, c.Name, c.Profile, c.Rules = r.Claim.Specification, r.Claim.Name, string(r.Profile), r.Profile.Rules(d.IssueDate)
	c.Kind, c.Number, c.Type, c.Date, c.Currency, c.Lines = string(d.Kind), d.Number, d.TypeCode, d.IssueDate, d.Currency, len(d.Lines)
	c.Seller, c.SellerVAT, c.Buyer, c.BuyerVAT = d.Seller.Name, d.Seller.VATID, d.Buyer.Name, d.Buyer.VATID
	c.Net, c.Tax, c.Gross, c.Prepaid, c.Payable = amount(d.Totals.Net), amount(d.Totals.Tax), amount(d.Totals.Gross), amount(d.Totals.Prepaid), amount(d.Totals.Payable)
	c.Rounding, c.More = amount(d.Totals.Rounding), r.More
	for _, f := range r.Findings {
		c.Findings = append(c.Findings, findingOf(f))
	}
	for _, l := range r.Lacks {
		c.Findings = append(c.Findings, checkedFinding{Rule: l.Rule, Term: l.Term, Where: l.Field, Message: l.Message, isLack: true})
	}
	for _, f := range r.Notes {
		c.Notes = append(c.Notes, findingOf(f))
	}
	for _, i := range r.Ignored {
		c.Ignored = append(c.Ignored, checkedIgnored(i))
	}
}

func findingOf(f check.Finding) checkedFinding {
	return checkedFinding{f.Rule, f.Term, f.Where, f.Message, f.Stated, f.Computed, false}
}

// print writes the answer for people.
func (c *checkedFile) print(out io.Writer) {
	width := term.Width(out)
	line := func(indent, text string) { term.WriteWrapped(out, width, indent, text) }
	said := func(name string, values ...string) {
		stated := slices.DeleteFunc(values, func(v string) bool { return v == "" })
		line("  ", fmt.Sprintf("%-11s  %s", name, strings.Join(stated, ", ")))
	}
	from := c.Syntax
	if c.Attachment != "" {
		from += ", " + c.Attachment + " in a PDF"
	}
	if c.Envelope != "" {
		from += ", in an envelope (" + c.Envelope + ")"
	}
	line("", fmt.Sprintf("%s: %s (%s)", c.File, cmp.Or(c.Name, "an unknown specification"), from))
	lines, paid := fmt.Sprintf("%d lines", c.Lines), ""
	if c.Lines == 1 {
		lines = "1 line"
	}
	if strings.Trim(c.Prepaid, "0.") != "" {
		paid = ", less " + c.Prepaid + " that is paid"
	}
	if strings.Trim(c.Rounding, "0.") != "" {
		paid += ", rounded by " + c.Rounding
	}
	said(strings.ReplaceAll(c.Kind, "_", " "), strings.TrimSpace(c.Number+" of "+c.Date), "type "+c.Type, lines)
	said("seller", c.Seller, c.SellerVAT)
	said("buyer", c.Buyer, c.BuyerVAT)
	said("payable", fmt.Sprintf("%s %s: %s + %s VAT = %s%s", c.Payable, c.Currency, c.Net, c.Tax, c.Gross, paid))
	said("judged by", cmp.Or(c.Rules, "the rules of sums alone"))
	if c.OK {
		line("  ", "nothing is wrong")
	}
	printChecked(line, "wrong:", c.Findings)
	printChecked(line, "to note:", c.Notes)
	const most = 12
	var ignored []string
	for n, i := range c.Ignored {
		if n == most {
			ignored = append(ignored, fmt.Sprintf("and %d more", len(c.Ignored)-most))
			break
		}
		ignored = append(ignored, fmt.Sprintf("%s (%d)", strings.TrimPrefix(i.Path, "SupplyChainTradeTransaction/"), i.Count))
	}
	if len(ignored) > 0 {
		line("  ", "not looked at:")
		line("    ", strings.Join(ignored, ", "))
	}
}

// printChecked prints a list, unless it is empty, each with its rule in front.
func printChecked(line func(indent, text string), head string, list []checkedFinding) {
	if len(list) == 0 {
		return
	}
	line("  ", head)
	const most = 50
	rules := 0
	for n := range list {
		rules = max(rules, len(list[n].Rule))
	}
	for n := range list {
		if n == most {
			line("    ", fmt.Sprintf("and %d more, which --json shows", len(list)-most))
			return
		}
		rule := ""
		if rules > 0 {
			rule = fmt.Sprintf("%-*s  ", rules, list[n].Rule)
		}
		line("    ", rule+list[n].text())
	}
}

// text is the finding without its rule.
func (f *checkedFinding) text() string {
	text := f.Message
	if f.Where != "document" {
		text = f.Where + ": " + text
	}
	if f.isLack {
		text = f.Where + " " + f.Message
	}
	if f.Computed != "" {
		text += fmt.Sprintf(" is stated as %s and comes to %s", f.Stated, f.Computed)
	}
	if f.Term != "" && !strings.Contains(f.Message, f.Term) {
		text += " (" + f.Term + ")"
	}
	return text
}
