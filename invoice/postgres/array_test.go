package postgres_test

import (
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// What is sent in an array comes back as what it was, however the connection sends its parameters.
func TestArraysKeepTheirElements(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			config, err := pgx.ParseConfig(b.URL)
			if err != nil {
				t.Fatal(err)
			}
			config.DefaultQueryExecMode = mode
			c, err := pgx.ConnectConfig(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close(t.Context())
			postgres.RegisterArrays(c)
			rapid.Check(t, func(r *rapid.T) { keepsElements(t, r, c) })
		})
	}
}

func keepsElements(t *testing.T, r *rapid.T, c *pgx.Conn) {
	same := func(kind string, array any, want []*string) {
		rows, err := c.Query(t.Context(), "SELECT unnest($1::"+kind+"[])::text", array)
		if err != nil {
			r.Fatal(err)
		}
		got, err := pgx.CollectRows(rows, pgx.RowTo[*string])
		if err != nil {
			r.Fatal(err)
		}
		if !slices.EqualFunc(got, want, func(x, y *string) bool { return x == nil && y == nil || x != nil && y != nil && *x == *y }) {
			r.Fatalf("elements of type %s came back as others", kind)
		}
	}
	texts := rapid.SliceOf(rapid.OneOf(
		rapid.SampledFrom([]string{"", " ", "NULL", "null", "{}", "{", "}", ",", `"`, `\`, `\"`, `"";`, "\n", "\t", "\u2028", "ß", `\x41`, "{{1,2},{3,4}}", "[1:2]={1,2}"}),
		rapid.StringOf(rapid.RuneFrom([]rune{'a', ' ', '"', '\\', ',', '{', '}', '\'', '\n', 'é', '😀'})),
	)).Draw(r, "texts")
	same("text", postgres.TextArray(texts), spelled(texts, func(s string) *string { return &s }))
	same("text", postgres.OptionalArray(texts), spelled(texts, func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}))

	numbers := rapid.SliceOf(rapid.Int64Range(math.MinInt64, math.MaxInt64)).Draw(r, "numbers")
	same("bigint", postgres.IntegerArray(numbers), spelled(numbers, func(n int64) *string { return new(strconv.FormatInt(n, 10)) }))

	const limit = 1_000_000_000_000_000_000
	decimals := rapid.SliceOf(rapid.Ptr(rapid.Map(rapid.Int64Range(1-limit, limit-1), func(n int64) invoice.Decimal { return invoice.NewDecimal(n, int((n&15)%13)) }), true)).Draw(r, "decimals")
	same("numeric", postgres.DecimalArray(decimals), spelled(decimals, func(d *invoice.Decimal) *string {
		if d == nil {
			return nil
		}
		return new(d.String())
	}))

	booleans := rapid.SliceOf(rapid.Bool()).Draw(r, "booleans")
	same("boolean", postgres.BooleanArray(booleans), spelled(booleans, func(b bool) *string { return new(strconv.FormatBool(b)) }))
	bytes := rapid.SliceOf(rapid.SliceOf(rapid.Byte())).Draw(r, "bytes")
	same("bytea", postgres.BytesArray(bytes), spelled(bytes, func(b []byte) *string { return new(`\x` + hex.EncodeToString(b)) }))
}

func spelled[T any](elements []T, spell func(T) *string) []*string {
	var all []*string
	for _, e := range elements {
		all = append(all, spell(e))
	}
	return all
}

// Where the statement asks for another type, the server reads the elements' text.
func TestArraysOfAnotherType(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, err := pgx.Connect(t.Context(), b.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	postgres.RegisterArrays(c)
	var sum int
	if err := c.QueryRow(t.Context(), "SELECT sum(n) FROM unnest($1::integer[]) AS n", postgres.IntegerArray([]int64{1, -3})).Scan(&sum); err != nil || sum != -2 {
		t.Errorf("the sum is %d, %v", sum, err)
	}
}
