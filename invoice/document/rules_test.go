package document_test

import (
	"testing"

	"invoicer/invoice/document"
)

// The rules are those of the day of issue; a document that is older than all that are known says so.
func TestRulesOfTheDayOfIssue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		profile document.Profile
		issued  string
		want    string
	}{
		{document.None, "2026-12-01", ""},
		{document.EN16931, "2026-05-15", "EN 16931 1.3.16"},
		{document.EN16931, "2026-05-14", "EN 16931 1.3.16 (of 2026-05-15, the oldest known)"},
		{document.XRechnung, "2026-12-01", "XRechnung 3.0.2, EN 16931 1.3.16"},
		{document.XRechnung, "2024-02-01", "XRechnung 3.0.2, EN 16931 1.3.16 (of 2026-05-15, the oldest known)"},
		{document.XRechnung, "2024-01-31", "XRechnung 3.0.2 (of 2024-02-01, the oldest known), EN 16931 1.3.16 (of 2026-05-15, the oldest known)"},
		{document.Peppol, "2025-08-24", "Peppol BIS Billing 3.0.19 (of 2025-08-25, the oldest known), EN 16931 1.3.16 (of 2026-05-15, the oldest known)"},
		{document.FacturX, "2026-07-01", "Factur-X 1.09, EN 16931 1.3.16"},
		{document.FacturXBasic, "2026-06-30", "Factur-X 1.09 (of 2026-07-01, the oldest known), EN 16931 1.3.16"},
	} {
		if got := c.profile.Rules(c.issued); got != c.want || len(got) > 200 {
			t.Errorf("%s on %s: %q, want %q", c.profile, c.issued, got, c.want)
		}
	}
}
