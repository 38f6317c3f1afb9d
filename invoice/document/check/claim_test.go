package check_test

import (
	"strings"
	"testing"

	"invoicer/invoice/document"
	"invoicer/invoice/document/check"
)

func TestClaims(t *testing.T) {
	t.Parallel()
	const standard = "urn:cen.eu:en16931:2017"
	for _, c := range []struct {
		specification, name string
		profile             document.Profile
	}{
		{standard, "EN 16931", document.EN16931},
		{standard + "#compliant#urn:xeinkauf.de:kosit:xrechnung_3.0", "XRechnung 3.0", document.XRechnung},
		{standard + "#compliant#urn:xoev-de:kosit:standard:xrechnung_2.3", "XRechnung 2.3", document.XRechnung},
		{standard + "#compliant#urn:xeinkauf.de:kosit:xrechnung_3.0#conformant#urn:xeinkauf.de:kosit:extension:xrechnung_3.0", "XRechnung Extension 3.0", document.XRechnung},
		{standard + "#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0", "Peppol BIS Billing 3", document.Peppol},
		{"urn:factur-x.eu:1p0:minimum", "Factur-X MINIMUM", document.None},
		{"urn:zugferd.de:2p0:basicwl", "ZUGFeRD 2.0 BASIC WL", document.None},
		{standard + "#compliant#urn:factur-x.eu:1p0:basic", "Factur-X BASIC", document.FacturXBasic},
		{standard + "#conformant#urn:factur-x.eu:1p0:extended", "Factur-X EXTENDED", document.EN16931},
		{standard + "#compliant#urn:fdc:nen.nl:nlcius:v1.0", "NLCIUS", document.EN16931},
		{standard + "#compliant#urn:efactura.mfinante.ro:CIUS-RO:1.0.1", "CIUS-RO 1.0.1", document.EN16931},
		{"urn:example.com:ours", "", document.EN16931},
	} {
		r, err := check.Read(strings.NewReader(small("urn:cen.eu:en16931:2017", c.specification)))
		if err != nil {
			t.Fatal(err)
		}
		if r.Claim.Name != c.name || r.Profile != c.profile || r.Claim.Specification != c.specification {
			t.Errorf("%s: %q by %s", c.specification, r.Claim.Name, r.Profile)
		}
	}
	for _, p := range document.Profiles() { // what is written is known
		if p == document.None {
			continue
		}
		r, err := check.Read(strings.NewReader(small("urn:cen.eu:en16931:2017", p.Specification())))
		if err != nil || r.Profile != p && p != document.FacturX {
			t.Errorf("%s is read as %s: %v", p, r.Profile, err)
		}
	}
	r, err := check.ReadAs(strings.NewReader(small("", "")), document.XRechnung)
	if err != nil || r.Profile != document.XRechnung || r.Claim.Name != "EN 16931" || len(r.Lacks) < 10 {
		t.Errorf("by another profile: %v %v", r.Profile, r.Lacks)
	}
}
