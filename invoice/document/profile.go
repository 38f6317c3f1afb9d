package document

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Profile is a set of rules that a receiver judges documents by.
type Profile string

// The profiles.
const (
	None         Profile = "none"          // nothing is asked for; what is written says that it is EN 16931
	EN16931      Profile = "en16931"       // the European standard itself
	XRechnung    Profile = "xrechnung"     // XRechnung 3, of German authorities
	Peppol       Profile = "peppol"        // Peppol BIS Billing 3
	FacturX      Profile = "facturx"       // Factur-X and ZUGFeRD, their profile EN 16931
	FacturXBasic Profile = "facturx-basic" // Factur-X and ZUGFeRD, their profile BASIC, which has fewer terms
)

// Profiles returns all profiles.
func Profiles() []Profile { return []Profile{None, EN16931, XRechnung, Peppol, FacturX, FacturXBasic} }

// ParseProfile returns the profile of that name.
func ParseProfile(name string) (Profile, error) {
	if p := Profile(name); slices.Contains(Profiles(), p) {
		return p, nil
	}
	var names []string
	for _, p := range Profiles() {
		names = append(names, string(p))
	}
	return "", fmt.Errorf("%q is no profile: it must be one of %s", name, strings.Join(names, ", "))
}

const (
	standard      = "urn:cen.eu:en16931:2017"
	peppolProcess = "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"
)

// Specification is BT-24: what a document of the profile says that it is.
func (p Profile) Specification() string {
	switch p {
	case XRechnung:
		return standard + "#compliant#urn:xeinkauf.de:kosit:xrechnung_3.0"
	case Peppol:
		return standard + "#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"
	case FacturXBasic:
		return standard + "#compliant#urn:factur-x.eu:1p0:basic"
	default:
		return standard
	}
}

// Process is BT-23: in which process a document of the profile is exchanged, "" if the profile doesn't ask for it.
func (p Profile) Process() string {
	if p == XRechnung || p == Peppol {
		return peppolProcess
	}
	return ""
}

// HasUBL reports whether documents of the profile are written as UBL.
func (p Profile) HasUBL() bool { return p != FacturX && p != FacturXBasic }

// HasCII reports whether documents of the profile are written as CII.
func (p Profile) HasCII() bool { return p != Peppol }

// Names returns BT-23 and BT-24 of a document: its own, else the profile's.
func (p Profile) Names(d *Document) (process, specification string) {
	return cmp.Or(d.Process, p.Process()), cmp.Or(d.Specification, p.Specification())
}
