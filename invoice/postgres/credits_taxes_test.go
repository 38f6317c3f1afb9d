package postgres_test

import (
	"fmt"
	"testing"
)

// What has several taxes is credited in parts like anything else, although nets and taxes round apart: its total is what bounds it. A tax
// alone can't be credited beyond what is taxed with it.
func TestCreditsOfSeveralTaxes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	document := func(credited, prices string, lines ...string) string {
		members := `"currency":"CAD","prices":"` + prices + `","lines":[`
		for i := 0; i < len(lines); i += 2 {
			if i > 0 {
				members += ","
			}
			members += fmt.Sprintf(`{"quantity":1,"unit_price":"%s"%s}`, lines[i], lines[i+1])
		}
		if credited != "" {
			members = `"credits_transaction_id":"` + credited + `",` + members
		}
		return members + "]"
	}
	done := func(id, members string) { t.Helper(); b.create(t, "job "+id, termsJob(t, id, members)) }
	refused := func(id, members, want string) { t.Helper(); b.refused(t, termsJob(t, id, members), want) }
	const quebec, gst = `,"taxes":[{"code":"GST","percent":"5"},{"code":"QST","percent":"9.975"}]`, `,"taxes":[{"code":"GST","percent":"5"}]`

	done("gross", document("", "gross", "11.85", quebec))
	for part := range 3 {
		done(fmt.Sprint("gross part ", part), document("gross", "gross", "-3.95", quebec))
	}
	refused("gross, more", document("gross", "gross", "-0.01", quebec), "0.00 CAD of 11.85")

	done("net", document("", "net", "10.30", quebec, "100", ""))
	refused("one tax", document("net", "net", "-20", gst), "at 5 %: 10.82 CAD of 10.82, and this comes to -21.00 at 5 %")
	done("net part 1", document("net", "net", "-5.15", quebec))
	done("net part 2", document("net", "net", "-5.15", quebec))
	refused("net, more", document("net", "net", "-1", quebec), "at 5 %: 0.00 CAD of 10.82, and this comes to -1.05 at 5 %")
	done("the rest", document("net", "net", "-100", ""))
}

// Two taxes of one percentage are two rates.
func TestCreditsOfOnePercentage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	document := func(credited, lines string) string {
		return `"credits_transaction_id":` + credited + `,"lines":[` + lines + `]`
	}
	line := func(price, taxes string) string {
		return `{"quantity":1,"unit_price":"` + price + `","taxes":[` + taxes + `]}`
	}
	const aTax, bTax, plain = `{"code":"A","percent":"5"}`, `{"code":"B","percent":"5"}`, `{"percent":"5"}`
	b.create(t, "sale", termsJob(t, "sale", document("null", line("100", aTax)+","+line("100", bTax))))
	b.create(t, "A", termsJob(t, "A", document(`"sale"`, line("-100", aTax))))
	b.refused(t, termsJob(t, "A again", document(`"sale"`, line("-1", aTax))), "credits INV-000001 by more than is left of it at A 5 %: 0.00 EUR of 105.00, and this comes to -1.05 at A 5 %")
	b.refused(t, termsJob(t, "neither", document(`"sale"`, line("-1", plain))), "at 5 %: 0.00 EUR of 0.00")
	b.create(t, "A back", termsJob(t, "A back", document(`"A"`, line("40", aTax))))
	b.refused(t, termsJob(t, "A, more", document(`"sale"`, line("-41", aTax))), "at A 5 %: 42.00 EUR of 105.00")
	b.create(t, "both", termsJob(t, "both", document(`"sale"`, line("-40", aTax)+","+line("-100", bTax))))
	b.refused(t, termsJob(t, "B again", document(`"sale"`, line("-1", bTax))), "0.00 EUR of 210.00")

	// One net with both, and one row of a percentage: whoever credits that need not know its category.
	b.create(t, "one net", termsJob(t, "one net", document("null", line("100", aTax+","+bTax)+`,{"quantity":1,"unit_price":"10","tax_percent":19,"tax_category":"S"}`)))
	b.create(t, "all of it", termsJob(t, "all of it", document(`"one net"`, line("-100", aTax+","+bTax)+`,{"quantity":1,"unit_price":"-10","tax_percent":19}`)))
	b.gapless(t)
}
