package config_test

import (
	"testing"
	"time"

	"invoicer/config"
)

func TestInvoicesOf(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, tt := range []struct {
		stated []string
		issuer string
		want   time.Duration
	}{
		{nil, "", 0},
		{nil, "ACME-DE", 0},
		{[]string{"*=40d"}, "", 40 * day},
		{[]string{"*=40d"}, "ACME-DE", 40 * day},
		{[]string{"*=40d", "ACME-DE=3650d"}, "ACME-DE", 3650 * day},
		{[]string{"ACME-DE=3650d", "*=40d"}, "ACME-DE", 3650 * day},
		{[]string{"ACME-DE=3650d"}, "", 0},
		{[]string{"ACME-DE=3650d"}, "ACME-FR", 0},
	} {
		kept := config.Retention{Invoices: tt.stated}
		if got, found := kept.InvoicesOf(tt.issuer); got != tt.want || found != (tt.want > 0) {
			t.Errorf("%v of %q: %s, %t; want %s", tt.stated, tt.issuer, got, found, tt.want)
		}
	}
}
