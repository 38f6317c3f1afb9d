package invoice_test

import (
	"math"
	"testing"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"invoicer/invoice"
)

func TestFormatMinor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		minor    int64
		currency string
		want     string
	}{
		{5863556, "GBP", "58635.56"},
		{0, "GBP", "0.00"},
		{5, "GBP", "0.05"},
		{-5, "GBP", "-0.05"},
		{-91893661, "GBP", "-918936.61"},
		{0, "JPY", "0"},
		{500, "JPY", "500"},
		{-500, "JPY", "-500"},
		{1, "BHD", "0.001"},
		{-12345, "BHD", "-12.345"},
		{12345, "CLF", "1.2345"},
		{math.MaxInt64, "GBP", "92233720368547758.07"},
		{math.MinInt64, "GBP", "-92233720368547758.08"},
		{math.MinInt64, "JPY", "-9223372036854775808"},
		{123, "???", "123"},
	} {
		if got := invoice.FormatMinor(tt.minor, tt.currency); got != tt.want {
			t.Errorf("FormatMinor(%d, %s) = %s, want %s", tt.minor, tt.currency, got, tt.want)
		}
	}
}

func TestFormatMinorAgainstOracle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		minor := rapid.Int64().Draw(t, "minor")
		currency := rapid.SampledFrom([]string{"GBP", "JPY", "BHD", "CLF"}).Draw(t, "currency")
		exponent, _ := invoice.MinorUnits(currency)
		want := decimal.New(minor, -int32(exponent)).StringFixed(int32(exponent))
		if got := invoice.FormatMinor(minor, currency); got != want {
			t.Fatalf("FormatMinor(%d, %s) = %s, want %s", minor, currency, got, want)
		}
	})
}
