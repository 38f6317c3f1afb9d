package check

import (
	"strings"

	"invoicer/invoice/document"
)

// A Claim is what a document says that it is (BT-24).
type Claim struct {
	Specification string // BT-24 as it stands there
	Name          string // such as XRechnung 3.0; "" if the specification isn't known
	Level         string // as Factur-X calls it, such as BASIC WL; "" if Factur-X has no name for it
	Lines         bool   // whether such documents have lines
	Breakdown     bool   // whether they have a breakdown of VAT, with allowances and charges

	profile document.Profile
}

// isPart reports whether a document has fewer terms than EN 16931 wants, and so is none of it.
func (c *Claim) isPart() bool { return !c.Lines }

// claimOf knows the specifications that are in use. The first one that fits counts.
func claimOf(specification string) Claim {
	c := Claim{Specification: specification, Lines: true, Breakdown: true, profile: document.EN16931}
	s := strings.ToLower(specification)
	has := func(part string) bool { return strings.Contains(s, part) }
	version := func(behind string) string {
		_, rest, _ := strings.Cut(s, behind)
		rest, _, _ = strings.Cut(rest, "#")
		return " " + rest
	}
	facturX := "Factur-X"
	if has("zugferd.de:2p0") {
		facturX = "ZUGFeRD 2.0"
	}
	named := has("factur-x.eu:1p0") || has("zugferd.de:2p0")
	switch {
	case has("kosit:extension:xrechnung_"):
		c.Name, c.Level, c.profile = "XRechnung Extension"+version("extension:xrechnung_"), "XRECHNUNG", document.XRechnung
	case has("xrechnung_"):
		c.Name, c.Level, c.profile = "XRechnung"+version("xrechnung_"), "XRECHNUNG", document.XRechnung
	case has("peppol.eu:2017:poacc:billing:3"):
		c.Name, c.profile = "Peppol BIS Billing 3", document.Peppol
	case has("peppol.eu:2017:poacc:selfbilling:3"):
		c.Name = "Peppol BIS Self-Billing 3"
	case has("peppol:pint:"):
		c.Name = "Peppol PINT"
	case named && strings.HasSuffix(s, ":minimum"):
		c.Name, c.Level, c.Lines, c.Breakdown, c.profile = facturX+" MINIMUM", "MINIMUM", false, false, document.None
	case named && strings.HasSuffix(s, ":basicwl"):
		c.Name, c.Level, c.Lines, c.profile = facturX+" BASIC WL", "BASIC WL", false, document.None
	case named && strings.HasSuffix(s, ":basic"):
		c.Name, c.Level, c.profile = facturX+" BASIC", "BASIC", document.FacturXBasic
	case named && strings.HasSuffix(s, ":extended"):
		c.Name, c.Level = facturX+" EXTENDED", "EXTENDED"
	case has("nen.nl:nlcius"):
		c.Name = "NLCIUS"
	case has("ubl.be:"):
		c.Name = "UBL.BE"
	case has("cius-ro:"):
		c.Name = "CIUS-RO" + version("cius-ro:")
	case has("cius-pt:"):
		c.Name = "CIUS-PT" + version("cius-pt:")
	case has("mfin.gov.hr"):
		c.Name = "CIUS-HR"
	case has("cius-it:"):
		c.Name = "CIUS-IT" + version("cius-it:")
	case has("cius-at"):
		c.Name = "CIUS-AT"
	case strings.HasPrefix(s, "oioubl-"):
		c.Name = "OIOUBL" + version("oioubl-")
	case s == "urn:cen.eu:en16931:2017":
		c.Name, c.Level = "EN 16931", "EN 16931"
	}
	return c
}
