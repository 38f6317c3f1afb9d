package document_test

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"invoicer/internal/sample"
	"invoicer/invoice"
	"invoicer/invoice/document"
)

// chunk is how many documents of the real set lie on the disk at a time.
const chunk = 1000

// All transactions of a real shop become valid documents, with what an electronic invoice needs beside them.
func TestHeavyOnlineRetailIsValid(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("heavy: make test-all runs it")
	}
	v := official(t)
	f, err := os.Open(filepath.Join(os.Getenv("INVOICER_TEST_DATA"), "online_retail.jsonl.gz"))
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { f.Close() })
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(nil, 8<<20)
	var documents []*document.Document
	total := 0
	judged := func() {
		folder, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		names := files(t, folder, documents, document.EN16931)
		addUp(t, names)
		expectValid(t, judge(t, v, names))
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
		total, documents = total+len(documents), nil
		t.Logf("%d documents", total)
	}
	for lines.Scan() {
		documents = append(documents, retail(t, lines.Bytes(), total+len(documents)))
		if len(documents) == chunk {
			judged()
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	judged()
	if total == 0 {
		t.Error("no documents")
	}
}

// retail returns the document of a real transaction: taxed within the kingdom, and an export otherwise.
func retail(t *testing.T, payload []byte, n int) *document.Document {
	t.Helper()
	job, err := invoice.Decode(payload)
	if err != nil {
		t.Fatal(err)
	}
	country, percent, taxation := "GB", invoice.MustDecimal("20"), invoice.Taxation{TaxCategory: "S"}
	if job.Country != "United Kingdom" {
		country, percent, taxation = "US", invoice.Decimal{}, invoice.Taxation{TaxCategory: "G", ExemptionCode: "VATEX-EU-G"}
	}
	job.Version = 2
	job.Terms = &invoice.Terms{
		Seller: &invoice.Party{Name: "Giftware Ltd", VATID: "GB123456789", Address: &invoice.Address{CountryCode: "GB"}},
		Buyer:  &invoice.Party{Name: "customer " + job.CustomerID, Address: &invoice.Address{CountryCode: country}},
	}
	for k := range job.Lines {
		job.Lines[k].TaxPercent = &percent
		job.Lines[k].Terms = &invoice.LineTerms{Taxation: taxation}
	}
	i, err := sample.Stored(job, fmt.Sprint(n))
	if err != nil {
		t.Fatal(err)
	}
	d, err := document.Of(i, document.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	if lacks := document.Lacks(d, document.EN16931); lacks != nil {
		t.Errorf("%s: %v", job.TransactionID, lacks)
	}
	return d
}
