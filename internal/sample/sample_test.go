package sample

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"invoicer/invoice"
)

func take(n int, o Options) []invoice.Job {
	g := New(o)
	jobs := make([]invoice.Job, n)
	for i := range jobs {
		jobs[i] = g.Next()
	}
	return jobs
}

func TestEqualOptionsMakeEqualJobs(t *testing.T) {
	t.Parallel()
	o := Options{Seed: 7, Currencies: []string{"GBP", "JPY"}, Elaborate: true}
	first := take(300, o)
	if second := take(300, o); !reflect.DeepEqual(first, second) {
		t.Errorf("the second generator made others (-first +second):\n%s", cmp.Diff(first, second))
	}
	o.Seed = 8
	if reflect.DeepEqual(first, take(300, o)) {
		t.Error("another seed made the same jobs")
	}
}

// A job that is given to a store as it is, and one that went through a queue, must be the same.
func TestJobsAreAsDecodeReturnsThem(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"plain":     {Prefix: "demo:"},
		"elaborate": {Elaborate: true, Currencies: []string{"GBP", "JPY", "BHD", "CLF"}},
		"small":     {MaxLines: 1, Elaborate: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := make(map[string]bool)
			for _, job := range take(1500, o) {
				payload, err := job.Encode()
				if err != nil {
					t.Fatalf("%s: %v", job.TransactionID, err)
				}
				decoded, err := invoice.Decode(payload)
				if err != nil {
					t.Fatalf("%s: %v", job.TransactionID, err)
				}
				if !reflect.DeepEqual(&job, decoded) {
					t.Fatalf("%s is decoded as another job (-made +decoded):\n%s", job.TransactionID, cmp.Diff(&job, decoded))
				}
				if seen[job.TransactionID] {
					t.Fatalf("%s was made twice", job.TransactionID)
				}
				seen[job.TransactionID] = true
				if !strings.HasPrefix(strings.TrimLeft(job.TransactionID, "CA"), o.Prefix) {
					t.Fatalf("%s lacks the prefix %s", job.TransactionID, o.Prefix)
				}
				if o.MaxLines > 0 && len(job.Lines) > o.MaxLines {
					t.Fatalf("%s has %d lines", job.TransactionID, len(job.Lines))
				}
			}
		})
	}
}

// The bounds are the real set's figures with room for chance. Of what is rare there, it is enough that it occurs.
func TestShapeOfTheRealSet(t *testing.T) {
	t.Parallel()
	const count = 6000
	jobs := take(count, Options{Seed: 1})

	tally := make(map[string]float64)
	tallyIf := func(what string, is bool) {
		if is {
			tally[what]++
		}
	}
	skus := make(map[string]string) // by their capitals
	var lengths []int
	for i := range jobs {
		j := &jobs[i]
		document, err := j.Calculate()
		if err != nil {
			t.Fatalf("%s: %v", j.TransactionID, err)
		}
		cancellation := strings.HasPrefix(j.TransactionID, "C")
		tallyIf("cancellations", cancellation)
		tallyIf("adjustments", strings.HasPrefix(j.TransactionID, "A"))
		tallyIf("without a customer", j.CustomerID == "")
		tallyIf("abroad", j.Country != "United Kingdom")
		tallyIf("of nothing", document.Total == 0)
		tallyIf("credit notes", document.Kind == invoice.KindCreditNote)
		lengths = append(lengths, len(j.Lines))

		repeats := false
		met := make(map[invoice.Line]bool)
		for _, l := range j.Lines {
			tally["lines"]++
			tallyIf("zero prices", l.UnitPrice.IsZero())
			tallyIf("negative prices", l.UnitPrice.Sign() < 0)
			tallyIf("three decimals", finer(l.UnitPrice, 2))
			tallyIf("no description", l.Description == "")
			tallyIf("ampersands", strings.Contains(l.Description, "&"))
			tallyIf("quotes", strings.Contains(l.Description, `"`))
			tallyIf("pound signs", strings.Contains(l.Description, "£"))
			tallyIf("stray blanks", strings.TrimSpace(l.Description) != l.Description)
			tallyIf("wrong signs", cancellation && l.Quantity.Sign() >= 0 || l.Quantity.Sign() < 0 && !l.UnitPrice.IsZero() && !cancellation)
			other, known := skus[strings.ToUpper(l.SKU)]
			tallyIf("codes that differ by case", known && other != l.SKU)
			skus[strings.ToUpper(l.SKU)] = l.SKU
			repeats = repeats || met[l]
			met[l] = true
		}
		tallyIf("with a line twice", repeats)
	}
	slices.Sort(lengths)
	tally["shortest"], tally["median"], tally["longest"] = float64(lengths[0]), float64(lengths[count/2]), float64(lengths[count-1])
	tally["mean"] = tally["lines"] / count

	for _, bound := range []struct {
		what     string
		min, max float64
	}{
		{"shortest", 1, 1},
		{"median", 9, 11},
		{"mean", 19, 24},
		{"longest", 700, 1114},
		{"cancellations", 0.13 * count, 0.17 * count},
		{"adjustments", 1, 0.006 * count},
		{"without a customer", 0.12 * count, 0.17 * count},
		{"abroad", 0.05 * count, 0.12 * count},
		{"of nothing", 0.06 * count, 0.10 * count},
		{"credit notes", 0.13 * count, 0.17 * count},
		{"with a line twice", 0.04 * count, 0.15 * count},
		{"zero prices", 0.06 * count, 0.12 * count},
		{"negative prices", 1, 0.004 * count},
		{"three decimals", 4, 0.02 * count},
		{"no description", 0.04 * count, 0.08 * count},
		{"ampersands", 100, 0.1 * count * 20},
		{"quotes", 50, 0.1 * count * 20},
		{"pound signs", 5, 0.1 * count * 20},
		{"stray blanks", 0.1 * count * 20, 0.3 * count * 20},
		{"codes that differ by case", 10, 0.2 * count * 20},
		{"wrong signs", 0, 0},
	} {
		if got := tally[bound.what]; got < bound.min || got > bound.max {
			t.Errorf("%s: %g, want %g to %g", bound.what, got, bound.min, bound.max)
		}
	}
}

// finer reports whether a number has more decimals.
func finer(d invoice.Decimal, decimals int) bool {
	_, ok := d.Scaled(decimals)
	return !ok
}

func TestElaborateJobs(t *testing.T) {
	t.Parallel()
	const count = 1000
	currencies := []string{"GBP", "JPY", "BHD"}
	tally := make(map[string]int)
	for _, j := range take(count, Options{Currencies: currencies, Elaborate: true, MaxLines: 30}) {
		tally[j.Currency]++
		percents := make(map[string]bool)
		for _, l := range j.Lines {
			if l.TaxPercent == nil {
				percents["none"] = true
			} else {
				percents[l.TaxPercent.String()] = true
			}
			if !l.DiscountPercent.IsZero() {
				tally["discounts"]++
			}
			if finer(l.Quantity, 0) {
				tally["broken quantities"]++
			}
			if exponent, _ := invoice.MinorUnits(j.Currency); exponent == 3 && finer(l.UnitPrice, 2) {
				tally["third decimals"]++
			}
		}
		if percents["none"] && percents["0"] {
			tally["none beside 0"]++
		}
		if len(percents) >= 4 {
			tally["several rates"]++
		}
		if j.CreditsTransactionID != "" {
			tally["credits"]++
		}
		if j.CustomerName != "" {
			tally["names"]++
		}
		if len(j.Metadata) > 0 {
			tally["metadata"]++
		}
	}
	for _, what := range append(currencies, "discounts", "broken quantities", "third decimals", "none beside 0", "several rates",
		"credits", "names", "metadata") {
		if tally[what] < count/20 {
			t.Errorf("%s: only %d in %d jobs", what, tally[what], count)
		}
	}
}

// What a cancellation credits comes to at least as much, at each rate, and is credited once.
func TestCancellationsStayWithinTheirSales(t *testing.T) {
	t.Parallel()
	sales, credited := make(map[string]invoice.Totals), make(map[string]bool)
	for _, j := range take(3000, Options{Seed: 3, Elaborate: true, Currencies: []string{"GBP", "JPY", "BHD"}}) {
		totals, err := j.Calculate()
		if err != nil {
			t.Fatal(err)
		}
		sales[j.TransactionID] = totals
		sale, known := sales[j.CreditsTransactionID]
		if j.CreditsTransactionID == "" {
			continue
		}
		if !known || credited[j.CreditsTransactionID] || totals.Total > 0 || -totals.Total > sale.Total {
			t.Errorf("%s credits %d of %s, which comes to %d, known %t, credited %t", j.TransactionID, totals.Total, j.CreditsTransactionID, sale.Total, known, credited[j.CreditsTransactionID])
		}
		credited[j.CreditsTransactionID] = true
		for _, tax := range totals.Taxes {
			i := slices.IndexFunc(sale.Taxes, func(of invoice.Tax) bool { return of.Percent == tax.Percent })
			if i < 0 || -tax.Net-tax.Tax > sale.Taxes[i].Net+sale.Taxes[i].Tax {
				t.Errorf("%s credits too much of %s at %s %%", j.TransactionID, j.CreditsTransactionID, tax.Percent)
			}
		}
	}
	if len(credited) < 100 {
		t.Errorf("only %d sales are credited", len(credited))
	}
}
