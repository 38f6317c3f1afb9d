package document_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each code that is taken is one that the official rules know, in both syntaxes.
func TestCodesAreThoseOfTheRules(t *testing.T) {
	t.Parallel()
	v := official(t)
	var rules []string
	for _, syntax := range []string{"ubl", "cii"} {
		table, err := os.ReadFile(filepath.Join(v.Folder, "rules", "en16931-"+syntax+".json"))
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, string(table))
	}
	ids := map[string]string{
		"invoice_types": "BR-CL-01", "credit_note_types": "BR-CL-01", "subjects": "BR-CL-08", "currencies": "BR-CL-04", "identifiers": "BR-CL-21",
		"classifications": "BR-CL-13", "countries": "BR-CL-14", "vat_prefixes": "BR-CO-09", "means": "BR-CL-16", "allowances": "BR-CL-19",
		"charges": "BR-CL-20", "exemptions": "BR-CL-22", "units": "BR-CL-23", "endpoints": "BR-CL-25", "peppol_endpoints": "BR-CL-25",
	}
	content, err := os.ReadFile("codes.txt")
	if err != nil {
		t.Fatal(err)
	}
	list, seen := "", 0
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if name, isName := strings.CutSuffix(line, ":"); isName {
			list = name
			continue
		}
		if strings.HasPrefix(line, "# ") {
			continue
		}
		for _, code := range strings.Fields(line) {
			seen++
			for _, table := range rules {
				if !strings.Contains(assertion(table, ids[list]), " "+code+" ") {
					t.Errorf("%s: %s isn't in %s", list, code, ids[list])
				}
			}
		}
	}
	if seen < 3000 {
		t.Errorf("%d codes", seen)
	}
}

// assertion returns what stands of a rule in a table.
func assertion(table, id string) string {
	at := strings.Index(table, `"id": "`+id+`"`)
	if at < 0 {
		at = strings.Index(table, `"id":"`+id+`"`)
	}
	if at < 0 {
		return ""
	}
	const most = 16 << 10 // the longest rule is that of the units
	return table[at:min(len(table), at+most)]
}
