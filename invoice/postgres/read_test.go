package postgres_test

import (
	"strings"
	"testing"

	"invoicer/invoice/postgres"
)

// A stored line is read with as many decimals as a job of any version can have, and not with more.
func TestLineTextIsReadExactly(t *testing.T) {
	t.Parallel()
	const number = "999999999999999.000000000001"
	percent := "9.975000000001"
	line, err := postgres.LineText{Quantity: number, UnitPrice: "-" + number, DiscountPercent: percent, TaxPercent: &percent}.Line()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ got, want string }{
		{line.Quantity.String(), number},
		{line.UnitPrice.String(), "-" + number},
		{line.DiscountPercent.String(), percent},
		{line.TaxPercent.String(), percent},
	} {
		if tt.got != tt.want {
			t.Errorf("%s, want %s", tt.got, tt.want)
		}
	}
	_, err = postgres.LineText{Quantity: number + "1", UnitPrice: "1", DiscountPercent: "0"}.Line()
	if err == nil || !strings.Contains(err.Error(), "stored quantity") {
		t.Errorf("an unreadable quantity: %v", err)
	}
}
