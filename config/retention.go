package config

import (
	"errors"
	"strings"
	"time"

	"invoicer/invoice"
)

// anyIssuer stands for every issuer that retention.invoices doesn't name, and for the one without a name.
const anyIssuer = "*"

// shortestInvoices is the shortest time that retention.invoices may state: a slip of the pen must not erase what was just issued.
const shortestInvoices = 30 * day

// InvoicesOf returns how long the personal data of an issuer's invoices is kept, and false if for ever.
func (r *Retention) InvoicesOf(issuer string) (time.Duration, bool) {
	kept, found := time.Duration(0), false
	for _, element := range r.Invoices {
		of, age, err := parseInvoices(element)
		if err == nil && (of == issuer && issuer != "" || of == anyIssuer && !found) {
			kept, found = age, true
		}
		if of == issuer && issuer != "" {
			break
		}
	}
	return kept, found
}

func parseInvoices(element string) (issuer string, age time.Duration, err error) {
	issuer, text, ok := strings.Cut(element, "=")
	if issuer = strings.TrimSpace(issuer); !ok || issuer != anyIssuer && !invoice.IsIssuer(issuer) {
		return "", 0, errors.New("is no issuer and age; write ACME-DE=3650d, and *=3650d for all others")
	}
	if age, err = ParseDuration(strings.TrimSpace(text)); err != nil {
		return issuer, 0, errors.New("is no issuer and age: the age " + err.Error())
	}
	if age < shortestInvoices {
		return issuer, 0, errors.New("is too short; the least is " + FormatDuration(shortestInvoices))
	}
	return issuer, age, nil
}

func invoicesKept(p *[]string) value {
	return list{p, "issuers", "ISSUER=AGE, and *=AGE for all others; at least " + FormatDuration(shortestInvoices), func(element string) error {
		_, _, err := parseInvoices(element)
		return err
	}}
}
