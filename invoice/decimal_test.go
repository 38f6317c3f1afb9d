package invoice_test

import (
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"invoicer/invoice"
	exact "invoicer/invoice/decimal"
)

func TestParseDecimal(t *testing.T) {
	t.Parallel()
	million := strings.Repeat("0", 1_000_000)
	for _, tt := range []struct {
		in   string
		want string // "" for an error
	}{
		{"0", "0"},
		{"-0", "0"},
		{"-0.000", "0"},
		{"6", "6"},
		{"2.5", "2.5"},
		{"2.50", "2.5"},
		{"-0.001", "-0.001"},
		{"0.000001", "0.000001"},
		{"-1.100000", "-1.1"},
		{"10", "10"},
		{"100.010", "100.01"},
		{"999999999999.999999", "999999999999.999999"},
		{"-999999999999.999999", "-999999999999.999999"},
		{"999999999999999.99999999999900000", "999999999999999.999999999999"},
		{"1e0", "1"},
		{"1E2", "100"},
		{"1e+2", "100"},
		{"15e-1", "1.5"},
		{"1.5e1", "15"},
		{"1e-6", "0.000001"},
		{"1e11", "100000000000"},
		{"1e0000000000000000000000001", "10"},
		{"100e-8", "0.000001"},
		{"0.000001e17", "100000000000"},
		{"0e999999999999999999999999", "0"},
		{"0.0e-999999999999999999999999", "0"},
		{"1" + million + "e-1000000", "1"},
		{"0." + million + "1e1000001", "1"},
		{"1." + million, "1"},

		{"", ""},
		{"-", ""},
		{"+1", ""},
		{".5", ""},
		{"5.", ""},
		{"01", ""},
		{"-01", ""},
		{"00", ""},
		{" 1", ""},
		{"1 ", ""},
		{"1e", ""},
		{"1e+", ""},
		{"1e1.5", ""},
		{"e1", ""},
		{"-e1", ""},
		{"1x", ""},
		{"1.e1", ""},
		{"--1", ""},
		{"1,5", ""},
		{"NaN", ""},
		{"Infinity", ""},
		{"0x1", ""},
		{"1_000", ""},
		{"１", ""},
		{"1\x00", ""},
		{"1.0000000000001", ""},
		{"1e-13", ""},
		{"0.0000000000001", ""},
		{"0.0000010000001", ""},
		{"123456789012.0000000000001", ""},
		{"1e15", ""},
		{"-1e15", ""},
		{"1000000000000000", ""},
		{"1e18", ""},
		{"1e19", ""},
		{"1e64", ""},
		{"1e999999999", ""},
		{"1e-999999999", ""},
		{"1e99999999999999999999999", ""},
		{"1e18446744073709551616", ""},
		{"1e-18446744073709551617", ""},
		{"1e-9223372036854775808", ""},
		{"12345678901234567890", ""},
		{"1" + million, ""},
		{"0." + million + "1", ""},
		{"9" + million + "e-999985", ""},
	} {
		got, err := invoice.ParseDecimal(tt.in)
		switch {
		case tt.want == "" && err == nil:
			t.Errorf("ParseDecimal(%.40q) = %v, want an error", tt.in, got)
		case tt.want != "" && err != nil:
			t.Errorf("ParseDecimal(%.40q): %v, want %s", tt.in, err, tt.want)
		case tt.want != "" && got.String() != tt.want:
			t.Errorf("ParseDecimal(%.40q) = %v, want %s", tt.in, got, tt.want)
		}
	}
}

// Whatever is spelled like a number is read as the value that an independent library reads, or refused because that
// value doesn't fit.
func TestParseDecimalAgainstOracle(t *testing.T) {
	t.Parallel()
	limit := decimal.New(1, 15)
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,14}0{0,3})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "number")
		oracle, err := decimal.NewFromString(s)
		if err != nil {
			t.Fatal(err)
		}
		fits := oracle.Abs().LessThan(limit) && oracle.Truncate(12).Equal(oracle)
		got, err := invoice.ParseDecimal(s)
		if (err == nil) != fits {
			t.Fatalf("ParseDecimal(%q) = %v, %v; the value is %s", s, got, err, oracle)
		}
		if fits && !decimal.RequireFromString(got.String()).Equal(oracle) {
			t.Fatalf("ParseDecimal(%q) = %v, want %s", s, got, oracle)
		}
	})
}

func TestDecimalRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawDecimal(t, "decimal")
		got, err := invoice.ParseDecimal(d.String())
		if err != nil || got != d {
			t.Fatalf("ParseDecimal(%q) = %v, %v", d.String(), got, err)
		}
		if oracle := decimal.RequireFromString(d.String()).String(); d.String() != oracle {
			t.Fatalf("String() = %s, want %s", d, oracle)
		}
	})
}

func FuzzParseDecimal(f *testing.F) {
	for _, s := range []string{"0", "-0", "2.50", "1e-6", "1E+11", "1e999999999", "0e-99999999999999999999", "01", ".5", "999999999999.999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := invoice.ParseDecimal(s)
		if err != nil {
			return
		}
		if err := exact.Widest().Check(d); err != nil {
			t.Fatalf("ParseDecimal(%q) = %v: %v", s, d, err)
		}
		if again, err := invoice.ParseDecimal(d.String()); err != nil || again != d {
			t.Fatalf("ParseDecimal(%q) = %v, %v, coming from %q", d.String(), again, err, s)
		}
	})
}
