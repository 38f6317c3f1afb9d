package postgres_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// What goes to the server as an array's text comes back as what it was.
func TestArraysKeepTheirElements(t *testing.T) {
	t.Parallel()
	b := setup(t)
	back := func(t *rapid.T, statement, literal string) (all []*string) {
		rows, err := b.DB.Query(statement, literal)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var one *string
			if err := rows.Scan(&one); err != nil {
				t.Fatal(err)
			}
			all = append(all, one)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return all
	}
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOf(rapid.OneOf(
			rapid.SampledFrom([]string{"", " ", "NULL", "null", "{}", "{", "}", ",", `"`, `\`, `\"`, `"";`, "\n", "\t", "\u2028", "ß", `\x41`, "{{1,2},{3,4}}", "[1:2]={1,2}"}),
			rapid.StringOf(rapid.RuneFrom([]rune{'a', ' ', '"', '\\', ',', '{', '}', '\'', '\n', 'é', '😀'})),
		)).Draw(t, "texts")
		var want []*string
		for i := range texts {
			want = append(want, &texts[i])
		}
		same := func(x, y *string) bool { return x == nil && y == nil || x != nil && y != nil && *x == *y }
		if got := back(t, "SELECT unnest($1::text[])", postgres.TextArray(texts)); !slices.EqualFunc(got, want, same) {
			t.Fatalf("texts %q came back as %d others", texts, len(got))
		}
		for i, s := range texts {
			if s == "" {
				want[i] = nil
			}
		}
		if got := back(t, "SELECT unnest($1::text[])", postgres.OptionalArray(texts)); !slices.EqualFunc(got, want, same) {
			t.Fatalf("optional texts %q came back as %d others", texts, len(got))
		}

		numbers := rapid.SliceOf(rapid.Int64Range(math.MinInt64, math.MaxInt64)).Draw(t, "numbers")
		const limit = 1_000_000_000_000_000_000
		decimals := rapid.SliceOf(rapid.Ptr(rapid.Map(rapid.Int64Range(1-limit, limit-1), func(n int64) invoice.Decimal { return invoice.NewDecimal(n, 6+int(n&6)) }), true)).Draw(t, "decimals")
		want = nil
		for _, d := range decimals {
			var text *string
			if d != nil {
				s := d.String()
				text = &s
			}
			want = append(want, text)
		}
		if got := back(t, "SELECT unnest($1::numeric[])::text", postgres.DecimalArray(decimals)); !slices.EqualFunc(got, want, same) {
			t.Fatalf("decimals %v came back as others", decimals)
		}
		var sum, stored int64
		for _, n := range numbers {
			sum ^= n
		}
		if err := b.DB.QueryRow("SELECT coalesce(bit_xor(n), 0) FROM unnest($1::bigint[]) AS n", postgres.IntegerArray(numbers)).Scan(&stored); err != nil || stored != sum {
			t.Fatalf("numbers %v: %v", numbers, err)
		}
	})
}
