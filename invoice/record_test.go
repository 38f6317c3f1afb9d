package invoice_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"invoicer/invoice"
)

func aRecord() *invoice.Record {
	rate := invoice.MustDecimal("20")
	return &invoice.Record{
		Slot: invoice.Slot{Series: "INV", Period: "2010", Kind: invoice.KindInvoice, Version: 3}, Number: 17, Printed: "INV-2010-000017",
		Job: &invoice.Job{
			Version: 1, TransactionID: "536365", IdempotencyKey: "K-1", Producer: "checkout", Series: "INV",
			Details:  invoice.Details{CreditsTransactionID: "536001", CustomerID: "17850", CustomerName: "Zoë", Country: "United Kingdom"},
			IssuedAt: time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC), Currency: "GBP",
			Lines: []invoice.Line{
				{SKU: "85123A", Description: "WHITE HEART", Quantity: invoice.MustDecimal("6"), UnitPrice: invoice.MustDecimal("2.55"), DiscountPercent: invoice.MustDecimal("5"), TaxPercent: &rate},
				{Quantity: invoice.MustDecimal("1"), UnitPrice: invoice.MustDecimal("-0.45")},
			},
			Metadata: map[string]string{"order": "A-17", "note": ""},
		},
		JobID: "job-1", Fingerprint: "v1:" + strings.Repeat("0", 64),
		Totals: &invoice.Totals{
			Subtotal: 1409, Tax: 291, Total: 1700, Payable: 1700, LineNets: []int64{1454, -45}, Taxes: []invoice.Tax{{Percent: rate, Net: 1454, Tax: 291}},
		},
		CreatedAt: "2010-12-01T08:26:07.000123Z", AcceptedAt: "2010-12-01T08:26:06.500000Z", WorkerVersion: "v1.2.3", ContentHash: 42,
	}
}

// TestRecordForm pins the form in which invoices are hashed. What is stored and sealed was hashed in it: the file is never changed.
// A field of a later release adds to it only where it is present.
func TestRecordForm(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	say := func(name string, r *invoice.Record, salt []byte, before invoice.Hash) invoice.Hash {
		var h invoice.Hasher
		texts := h.Texts(r, salt)
		textForm := fmt.Sprintf("%q", h.Hashed())
		digest := h.Digest(r, texts)
		link := invoice.Link(before, digest)
		fmt.Fprintf(&got, "%s\ntexts  %s\n       %s\ndigest %q\n       %s\nlink   %s\n", name, textForm, hex.EncodeToString(texts[:]),
			h.Hashed(), hex.EncodeToString(digest[:]), invoice.FormatLink(link))
		return link
	}
	first := say("all that there is", aRecord(), []byte("sixteen letters."), invoice.Hash{})
	bare := &invoice.Record{
		Slot: invoice.Slot{Series: "INV", Kind: invoice.KindInvoice}, Number: 1, Printed: "INV-000001",
		Job:   &invoice.Job{TransactionID: "T", IdempotencyKey: "T", IssuedAt: time.Date(2010, 12, 1, 0, 0, 0, 0, time.UTC), Currency: "JPY"},
		JobID: "job-2", Totals: &invoice.Totals{}, CreatedAt: "2010-12-01T08:26:08.000000Z",
	}
	say("as little as there can be", bare, make([]byte, 16), first)
	const file = "testdata/record.golden"
	want, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		t.Fatalf("%s isn't there; it would be\n%s", file, got.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the form has changed, in which links are stored and sealed:\n%s\nwant\n%s", got.String(), want)
	}
}

// A record's texts are in one hash and everything else in the other, and no two records have the same.
func TestRecordSeesEveryChange(t *testing.T) {
	t.Parallel()
	const texts, plain = "texts", "plain"
	other := invoice.MustDecimal("7")
	for _, c := range []struct {
		name, in string
		change   func(*invoice.Record)
	}{
		{"printed", plain, func(r *invoice.Record) { r.Printed = "INV-17" }},
		{"series", plain, func(r *invoice.Record) { r.Slot.Series = "FR" }},
		{"period", plain, func(r *invoice.Record) { r.Slot.Period = "" }},
		{"number", plain, func(r *invoice.Record) { r.Number++ }},
		{"version", plain, func(r *invoice.Record) { r.Slot.Version = 0 }},
		{"kind", plain, func(r *invoice.Record) { r.Slot.Kind = invoice.KindCreditNote }},
		{"transaction", plain, func(r *invoice.Record) { r.Job.TransactionID = "536366" }},
		{"key", plain, func(r *invoice.Record) { r.Job.IdempotencyKey = "K-2" }},
		{"job", plain, func(r *invoice.Record) { r.JobID = "job-2" }},
		{"requested series", plain, func(r *invoice.Record) { r.Job.Series = "" }},
		{"credits", plain, func(r *invoice.Record) { r.Job.CreditsTransactionID = "" }},
		{"issued", plain, func(r *invoice.Record) { r.Job.IssuedAt = r.Job.IssuedAt.Add(time.Microsecond) }},
		{"created", plain, func(r *invoice.Record) { r.CreatedAt = "2010-12-01T08:26:07.000124Z" }},
		{"accepted", plain, func(r *invoice.Record) { r.AcceptedAt = "" }},
		{"settings", plain, func(r *invoice.Record) { r.SettingsVersion = 2 }},
		{"issuer version", plain, func(r *invoice.Record) { r.IssuerVersion = 2 }},
		{"document date", plain, func(r *invoice.Record) { r.DocumentDate = "2010-12-02" }},
		{"worker version", plain, func(r *invoice.Record) { r.WorkerVersion = "v1.2.4" }},
		{"currency", plain, func(r *invoice.Record) { r.Job.Currency = "EUR" }},
		{"subtotal", plain, func(r *invoice.Record) { r.Totals.Subtotal++ }},
		{"tax", plain, func(r *invoice.Record) { r.Totals.Tax++ }},
		{"total", plain, func(r *invoice.Record) { r.Totals.Total++; r.Totals.Payable++ }},
		{"position", plain, func(r *invoice.Record) { r.Positions = []int64{1, 3} }},
		{"quantity", plain, func(r *invoice.Record) { r.Job.Lines[0].Quantity = plus(r.Job.Lines[0].Quantity, 1) }},
		{"price", plain, func(r *invoice.Record) { r.Job.Lines[1].UnitPrice = plus(r.Job.Lines[1].UnitPrice, 1) }},
		{"discount", plain, func(r *invoice.Record) { r.Job.Lines[0].DiscountPercent = invoice.Decimal{} }},
		{"rate", plain, func(r *invoice.Record) { r.Job.Lines[0].TaxPercent = &other }},
		{"rate of 0", plain, func(r *invoice.Record) { r.Job.Lines[1].TaxPercent = new(invoice.Decimal) }},
		{"net", plain, func(r *invoice.Record) { r.Totals.LineNets[1]-- }},
		{"tax's rate", plain, func(r *invoice.Record) { r.Totals.Taxes[0].Percent = other }},
		{"tax's net", plain, func(r *invoice.Record) { r.Totals.Taxes[0].Net++ }},
		{"tax's tax", plain, func(r *invoice.Record) { r.Totals.Taxes[0].Tax++ }},
		{"payable", plain, func(r *invoice.Record) { r.Totals.Payable++ }},
		{"tax's code", plain, func(r *invoice.Record) { r.Totals.Taxes[0].Code = "GST" }},
		{"tax's category", plain, func(r *invoice.Record) { r.Totals.Taxes[0].Category = "S" }},
		{"compound tax", plain, func(r *invoice.Record) { r.Totals.Taxes[0].Added++ }},
		{"terms", plain, func(r *invoice.Record) { r.Job.Terms = &invoice.Terms{DueDate: "2010-12-31"} }},
		{"terms of a line", plain, func(r *invoice.Record) { r.Job.Lines[1].Terms = &invoice.LineTerms{Unit: "C62"} }},
		{"no tax", plain, func(r *invoice.Record) { r.Totals.Taxes = nil }},
		{"fingerprint", texts, func(r *invoice.Record) { r.Fingerprint = "v1:" + strings.Repeat("1", 64) }},
		{"content hash", texts, func(r *invoice.Record) { r.ContentHash = 0 }},
		{"producer", texts, func(r *invoice.Record) { r.Job.Producer = "cron" }},
		{"customer", texts, func(r *invoice.Record) { r.Job.CustomerID, r.Job.CustomerName = r.Job.CustomerName, r.Job.CustomerID }},
		{"country", texts, func(r *invoice.Record) { r.Job.Country = "" }},
		{"metadata", texts, func(r *invoice.Record) { r.Job.Metadata["order"] = "A-18" }},
		{"metadata's key", texts, func(r *invoice.Record) { delete(r.Job.Metadata, "note") }},
		{"sku", texts, func(r *invoice.Record) { r.Job.Lines[1].SKU = "85123A" }},
		{"description", texts, func(r *invoice.Record) { r.Job.Lines[0].Description = "" }},
		{"buyer", texts, func(r *invoice.Record) { r.Job.Terms = &invoice.Terms{Buyer: &invoice.Party{Name: "Zoë"}} }},
		{"text of a line", texts, func(r *invoice.Record) { r.Job.Lines[1].Terms = &invoice.LineTerms{Name: "tea"} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var h invoice.Hasher
			salt := make([]byte, invoice.SaltSize)
			before, after := aRecord(), aRecord()
			c.change(after)
			var same invoice.Hash
			if changed := h.Texts(before, salt) != h.Texts(after, salt); changed != (c.in == texts) {
				t.Errorf("the hash of the texts changes: %t", changed)
			}
			if changed := h.Digest(before, same) != h.Digest(after, same); changed != (c.in == plain) {
				t.Errorf("the digest changes: %t", changed)
			}
			salt[0]++
			if h.Texts(before, make([]byte, invoice.SaltSize)) == h.Texts(before, salt) {
				t.Error("the salt changes nothing")
			}
		})
	}
}

func TestParseLink(t *testing.T) {
	t.Parallel()
	link := invoice.Link(invoice.Hash{1}, invoice.Hash{2})
	if back, err := invoice.ParseLink(invoice.FormatLink(link)); err != nil || back != link {
		t.Errorf("%x comes back as %x, %v", link, back, err)
	}
	good := invoice.FormatLink(link)
	for _, bad := range []string{"", good[3:], "v2" + good[2:], good[:66], good + "0", strings.ToUpper(good), good[:66] + "g"} {
		if _, err := invoice.ParseLink(bad); err == nil {
			t.Errorf("%q is taken for a link", bad)
		}
	}
}

// The same invoice of another issuer has another digest, and one of no issuer has the digest that it had before there were issuers.
func TestIssuersHaveDigestsOfTheirOwn(t *testing.T) {
	t.Parallel()
	var h invoice.Hasher
	r := aRecord()
	h.Digest(r, invoice.Hash{})
	without := string(h.Hashed())
	r.Slot.Issuer = "ACME-DE"
	h.Digest(r, invoice.Hash{})
	if got := string(h.Hashed()); got != without+"6:issuer,7:ACME-DE," {
		t.Errorf("%q\nis hashed for %q", got, without)
	}
}
