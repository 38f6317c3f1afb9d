package postgres_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"invoicer/invoice"
)

// What decodes is never refused: each of these is spelled in a way that a careless check would take for bad.
func TestAcceptTakesWhateverDecodes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	line := func(members string) string { return strings.Replace(good, `"quantity":1`, members, 1) }
	with := func(members string) string { return strings.Replace(good, `{`, `{`+members+`,`, 1) }
	at := func(time string) string { return strings.Replace(good, "2010-12-01T08:26:00Z", time, 1) }
	const oneLine = `{"quantity":1,"unit_price":2}`
	for name, payload := range map[string]string{
		"zero with a huge exponent":        line(`"quantity":0e999999999`),
		"zero with a tiny exponent":        line(`"quantity":-0E-99999`),
		"zero with an exponent past int64": line(`"quantity":0.0e99999999999999999999`),
		"more zeros than numeric holds":    line(`"quantity":1.5` + strings.Repeat("0", 20_000)),
		"a long way to one":                line(`"quantity":1` + strings.Repeat("0", 200_000) + `e-200000`),
		"the same in a string":             line(`"quantity":"1` + strings.Repeat("0", 200_000) + `e-200000"`),
		"a huge zero beside other trouble": line(`"sku":"a\\\"\u00e9","quantity":0e999999999`),
		"minus zero percent":               line(`"quantity":1,"tax_percent":-0.0,"discount_percent":"-0"`),
		"nulls":                            with(`"version":null,"idempotency_key":null,"producer":null,"series":null,"credits_transaction_id":null,"customer_id":null,"customer_name":null,"country":null,"metadata":null`),
		"nulls in a line":                  line(`"quantity":1,"sku":null,"description":null,"discount_percent":null,"tax_percent":null`),
		"empty texts":                      with(`"customer_id":"","customer_name":"","country":"","metadata":{"":""}`),
		"versions as decimals":             with(`"version":10e-1`),
		"small letters":                    at("2010-12-01t08:26:00.5z"),
		"the widest zones":                 at("2010-12-01T08:26:00.000001000000000+23:59"),
		"the widest zones, west":           at("2010-12-01T08:26:00-23:59"),
		"unknown local offset":             at("2010-12-01T08:26:00-00:00"),
		"the last day":                     at("9999-12-31T23:59:59.999999Z"),
		"astral text":                      with(`"customer_name":"😀 \ud83d\ude00 \u2028","metadata":{"😀":"\u0001"}`),
		"5,000 lines":                      strings.Replace(good, oneLine, strings.Repeat(oneLine+",", 4999)+oneLine, 1),
		"a whole MiB":                      good + strings.Repeat(" ", (1<<20)-len(good)),
		"a MiB of text":                    with(`"country":"` + strings.Repeat("é", ((1<<20)-len(good)-13)/2) + `"`),
		"longest codes":                    with(`"idempotency_key":"` + strings.Repeat("k", 255) + `","producer":"` + strings.Repeat("p", 64) + `","series":"` + strings.Repeat("S", 32) + `"`),
	} {
		if _, err := invoice.Decode([]byte(payload)); err != nil {
			t.Errorf("%s: doesn't decode: %v", name, err)
		}
		if _, err := b.accept(t, payload); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, payload := range map[string]string{
		"nothing that is known":   `{"version":3,"transaction_id":"T2"}`,
		"fields of another type":  `{"version":3,"transaction_id":"T2","lines":7,"issued_at":null,"currency":[],"metadata":"m","series":5,"credits_transaction_id":{},"country":{}}`,
		"unknown fields":          `{"version":2147483647,"transaction_id":"T2","positions":[{"a":[1,2,{"b":null}]}]}`,
		"unknown fields, twice":   `{"version":3,"transaction_id":"T2","x":1,"x":1}`,
		"numbers out of Postgres": `{"version":3,"transaction_id":"T2","x":1e999999999}`,
	} {
		if _, err := invoice.Decode([]byte(payload)); !errors.As(err, new(*invoice.VersionError)) {
			t.Errorf("%s: %v; want a newer version", name, err)
		}
		if _, err := b.accept(t, payload); err != nil {
			t.Errorf("a newer version with %s: %v", name, err)
		}
	}
}

// A property: whatever the decoder accepts, SQL accepts, and a refusal is always the same kind of error.
func TestAcceptAgreesWithTheDecoder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.store.Ledger.TakeIdentifiers(t.Context()); err != nil { // else accept refuses what the release before does
		t.Fatal(err)
	}
	decoded := 0
	// About one draw of three is good, and a short run draws 20: so it draws again until enough were.
	for rounds := 0; decoded < 5; rounds++ {
		if rounds == 20 {
			t.Fatalf("only %d good payloads were drawn", decoded)
		}
		rapid.Check(t, func(rt *rapid.T) {
			payload := drawPayload(rt)
			_, err := invoice.Decode([]byte(payload))
			if _, refusal := b.accept(t, payload); refusal != nil {
				var pg *pgconn.PgError
				if err == nil || !errors.As(refusal, &pg) || pg.Code != "22023" {
					rt.Fatalf("refused: %v\nthe decoder says: %v\n%s", refusal, err, payload)
				}
			}
			if err == nil {
				decoded++
			}
		})
	}
}

// drawPayload spells a job that is mostly good, in every way that JSON has.
func drawPayload(t *rapid.T) string {
	mostly := func(label, usual string, odd ...string) string {
		if rapid.IntRange(0, 39).Draw(t, label+" is odd") == 0 {
			return rapid.SampledFrom(odd).Draw(t, label)
		}
		return usual
	}
	var members []string
	add := func(name, value string) {
		members = append(members, mostly(name, strconv.Quote(name), `"x"`)+drawBlank(t)+":"+drawBlank(t)+value)
	}
	maybe := func(name string, value func() string) {
		if rapid.Bool().Draw(t, "has "+name) {
			add(name, value())
		}
	}
	text := func() string { return drawJSONText(t) }
	code := func() string {
		return mostly("code", strconv.Quote(rapid.StringMatching(`[A-Z0-9-]{1,32}`).Draw(t, "code")), `"a b"`, "null", `""`, "1", `"\u0041"`)
	}
	maybe("version", func() string { return mostly("version", "1", "null", "1.0", "2", "0", "10e-1", `"1"`) })
	add("transaction_id", code())
	for _, name := range []string{"idempotency_key", "producer", "series", "credits_transaction_id"} {
		maybe(name, code)
	}
	for _, name := range []string{"customer_id", "customer_name", "country"} {
		maybe(name, text)
	}
	add("issued_at", drawSpelledTime(t))
	add("currency", mostly("currency", `"GBP"`, `"\u0047BP"`, `"gbp"`, "null", `"XXX"`))
	var lines []string
	for range rapid.IntRange(1, 3).Draw(t, "lines") {
		line := []string{`"quantity":` + drawSpelledNumber(t, 3), `"unit_price":` + drawSpelledNumber(t, 3)}
		for _, name := range []string{"sku", "description"} {
			if rapid.Bool().Draw(t, "has "+name) {
				line = append(line, `"`+name+`":`+text())
			}
		}
		for _, name := range []string{"discount_percent", "tax_percent"} {
			if rapid.Bool().Draw(t, "has "+name) {
				line = append(line, `"`+name+`":`+mostly(name, drawSpelledNumber(t, 1), "null", "100", "-1", "1e2", "101"))
			}
		}
		lines = append(lines, "{"+strings.Join(line, ",")+"}")
	}
	add("lines", "["+strings.Join(lines, drawBlank(t)+",")+"]")
	maybe("metadata", func() string {
		return mostly("metadata", "{"+text()+":"+text()+"}", "null", "{}", "[]", `{"a":1}`, `{"a":null}`)
	})
	return drawBlank(t) + "{" + strings.Join(rapid.Permutation(members).Draw(t, "order"), ",") + "}" + drawBlank(t)
}

func drawBlank(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "", "", " ", "\n\t", "\r"}).Draw(t, "blank")
}

// drawJSONText draws any text but U+0000, and escapes some of it.
func drawJSONText(t *rapid.T) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range rapid.SliceOfN(rapid.Rune().Filter(func(r rune) bool { return r != 0 }), 0, 8).Draw(t, "text") {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < ' ' || r < 0x10000 && rapid.Bool().Draw(t, "escaped"):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// drawSpelledNumber draws a decimal with up to so many digits before the point, with zeros and an exponent that change nothing,
// or nearly nothing.
func drawSpelledNumber(t *rapid.T, digits int) string {
	number := rapid.StringMatching(fmt.Sprintf(`-?(0|[1-9][0-9]{0,%d})(\.[0-9]{1,6}0{0,40})?`, digits-1)).Draw(t, "number")
	if digits == 1 {
		number = strings.TrimPrefix(number, "-")
	}
	number += rapid.SampledFrom([]string{"", "", "", "", "e0", "E+0", "e-0", "e1", "e-1", "e-6", "E3"}).Draw(t, "exponent")
	if rapid.Bool().Draw(t, "in a string") {
		return strconv.Quote(number)
	}
	return number
}

func drawSpelledTime(t *rapid.T) string {
	at := time.Unix(rapid.Int64Range(0, 4_000_000_000).Draw(t, "time"), 0).UTC().Format("2006-01-02T15:04:05")
	fraction := rapid.StringMatching(`(\.[0-9]{1,6}0{0,6})?`).Draw(t, "fraction")
	zone := rapid.StringMatching(`Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]`).Draw(t, "zone")
	if rapid.Bool().Draw(t, "small letters") {
		at, zone = strings.ToLower(at), strings.ToLower(zone)
	}
	return strconv.Quote(at + fraction + zone)
}
