package decimal_test

import (
	"math"
	"math/big"
	"strings"
	"testing"

	oracle "github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"invoicer/invoice/decimal"
)

// draw draws numbers of every size and with every number of decimals.
func draw(t *rapid.T, label string) decimal.Decimal {
	decimals := rapid.IntRange(0, decimal.Places).Draw(t, label+"'s decimals")
	unscaled := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-2000, 2000), rapid.SampledFrom([]int64{math.MaxInt64, math.MinInt64})).Draw(t, label)
	return decimal.New(unscaled, decimals)
}

func value(d decimal.Decimal) oracle.Decimal { return oracle.RequireFromString(d.String()) }

func TestString(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]decimal.Decimal{
		"0": {}, "0.000000000001": decimal.New(1, 12), "-0.000001": decimal.New(-1, 6), "1": decimal.New(1_000_000, 6), "-2.5": decimal.New(-25, 1),
		"100100": decimal.New(100_100, 0), "9223372036854775807": decimal.New(math.MaxInt64, 0), "-9223372036854775808": decimal.New(math.MinInt64, 0),
		"-9223372.036854775808": decimal.New(math.MinInt64, 12),
	} {
		if got := d.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestScaledAtTheLimits(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int64{
		"922337203685477580.7": math.MaxInt64, "-922337203685477580.8": math.MinInt64,
		"922337203685477580.8": 0, "-922337203685477580.9": 0, "922337203685477581": 0, "-922337203685477581": 0, "0.01": 0,
	} {
		d, err := decimal.Bounds{Digits: 18, Decimals: decimal.Places}.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := d.Scaled(1); ok != (want != 0) || ok && n != want {
			t.Errorf("%s has %d tenths, %v", in, n, ok)
		}
	}
}

// What the methods say of numbers is what another library says.
func TestAgainstOracle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		decimals := rapid.IntRange(0, decimal.Places).Draw(t, "decimals")
		unscaled := rapid.Int64().Draw(t, "unscaled")
		if got, want := value(decimal.New(unscaled, decimals)), oracle.New(unscaled, int32(-decimals)); !got.Equal(want) {
			t.Fatalf("New is %s, want %s", got, want)
		}
		a, b := draw(t, "a"), draw(t, "b")
		if rapid.Bool().Draw(t, "near") {
			b = decimal.New(1, 12)
		}
		va, vb := value(a), value(b)
		if a.Cmp(b) != va.Cmp(vb) || a.Sign() != va.Sign() || a.IsZero() != va.IsZero() || (a == b) != va.Equal(vb) || a.Equal(b) != va.Equal(vb) {
			t.Fatalf("%s and %s compare in another way", a, b)
		}
		if a != decimal.New(math.MinInt64, 0) && !value(a.Neg()).Equal(va.Neg()) {
			t.Fatalf("-%s is %s", a, a.Neg())
		}
		if places := a.Decimals(); !va.Truncate(int32(places)).Equal(va) || places > 0 && va.Truncate(int32(places-1)).Equal(va) {
			t.Fatalf("%s has %d decimals", a, places)
		}
		if got := a.Int(new(big.Int)); got.Cmp(va.Shift(decimal.Places).BigInt()) != 0 {
			t.Fatalf("%s is %s units", a, got)
		}
		shifted := va.Shift(int32(decimals))
		fits := shifted.IsInteger() && shifted.BigInt().IsInt64()
		if n, ok := a.Scaled(decimals); ok != fits || ok && !oracle.New(n, 0).Equal(shifted) {
			t.Fatalf("%s has %d units of 10^-%d, %v", a, n, decimals, ok)
		}
		shifted = va.Shift(6)
		fits = shifted.IsInteger() && shifted.Abs().LessThan(oracle.New(1, 18))
		if n, ok := a.Millionths(); ok != fits || ok && !oracle.New(n, 0).Equal(shifted) {
			t.Fatalf("%s has %d millionths, %v", a, n, ok)
		}
	})
}

// Whatever is spelled like a number is read as the value that an independent library reads, or refused because that value isn't
// within the bounds; Check says the same of a number that wasn't parsed.
func TestParseAgainstOracle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,14}0{0,3})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "number")
		bounds := decimal.Bounds{Digits: rapid.IntRange(1, 18).Draw(t, "digits"), Decimals: rapid.IntRange(0, decimal.Places).Draw(t, "decimals")}
		want, err := oracle.NewFromString(s)
		if err != nil {
			t.Fatal(err)
		}
		small, coarse := want.Abs().LessThan(oracle.New(1, int32(bounds.Digits))), want.Truncate(int32(bounds.Decimals)).Equal(want)
		got, err := bounds.Parse(s)
		if (err == nil) != (small && coarse) {
			t.Fatalf("%q is %v, %v; the value is %s", s, got, err, want)
		}
		if err == nil && (!value(got).Equal(want) || bounds.Check(got) != nil) {
			t.Fatalf("%q is %v, %v; want %s", s, got, bounds.Check(got), want)
		}
		wide, wideErr := decimal.Bounds{Digits: 18, Decimals: decimal.Places}.Parse(s)
		if err != nil && wideErr == nil {
			if checked := bounds.Check(wide); checked == nil || checked.Error() != err.Error() {
				t.Fatalf("Check says %v of %s, and Parse %v", checked, s, err)
			}
		}
	})
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t, "decimal")
		got, err := decimal.Bounds{Digits: 18, Decimals: decimal.Places}.Parse(d.String())
		if len(d.String()) < 18 && (err != nil || got != d) {
			t.Fatalf("%q is read as %v, %v", d.String(), got, err)
		}
	})
}

func TestErrorsNameTheBounds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		bounds   decimal.Bounds
		in, want string
	}{
		{decimal.Widest(), "1e15", "must be smaller than 1,000,000,000,000,000 in size"},
		{decimal.Widest(), "999999999999999.0000000000001", "must not have more than 12 decimals"},
		{decimal.Bounds{Digits: 12, Decimals: 6}, "-1000000000000", "must be smaller than 1,000,000,000,000 in size"},
		{decimal.Bounds{Digits: 12, Decimals: 6}, "0.0000001", "must not have more than 6 decimals"},
		{decimal.Bounds{Digits: 2, Decimals: 6}, "100", "must be smaller than 100 in size"},
		{decimal.Bounds{Digits: 4, Decimals: 6}, "10000", "must be smaller than 10,000 in size"},
		{decimal.Widest(), "1,5", "must be a decimal number such as 2.50"},
		{decimal.Widest(), "1" + strings.Repeat("0", 100_000), "must be smaller than 1,000,000,000,000,000 in size"},
	} {
		if _, err := tt.bounds.Parse(tt.in); err == nil || err.Error() != tt.want {
			t.Errorf("%.40s: %v, want %s", tt.in, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0", "-0", "2.50", "1e-6", "1E+11", "1e999999999", "0e-99999999999999999999", "01", ".5", "999999999999999.999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := decimal.Widest().Parse(s)
		if err != nil {
			return
		}
		if err := decimal.Widest().Check(d); err != nil {
			t.Fatalf("%q is read as %s, which %v", s, d, err)
		}
		if again, err := decimal.Widest().Parse(d.String()); err != nil || again != d {
			t.Fatalf("%q is read as %v, %v, coming from %q", d.String(), again, err, s)
		}
	})
}

// A number that went through a float is refused with that word.
func TestBinaryNoise(t *testing.T) {
	t.Parallel()
	for text, noise := range map[string]bool{
		"111.2999999999998": true, "0.30000000000000004": true, "37.190082644628099": false, "0.0000001": false, "1.123456789012345": false, "2.0000000": false,
	} {
		_, err := decimal.Bounds{Digits: 12, Decimals: 6}.Parse(text)
		if got := err != nil && strings.Contains(err.Error(), "must not have more than 6 decimals, and looks like the binary noise"); got != noise {
			t.Errorf("%s: %v", text, err)
		}
	}
}
