package report_test

import (
	"encoding/json"
	"strings"
	"testing"

	"invoicer/internal/report"
)

func TestMasked(t *testing.T) {
	t.Parallel()
	for stored, want := range map[string]string{
		"": "null",
		`{"buyer": {"name": "Zoë", "address": {"city": "Kraków"}}, "notes": [{"text": "a"}, {}]}`: `{"buyer":{"address":{"city":"…"},"name":"…"},"notes":[{"text":"…"},{}]}`,
		` {"a": 1, "b": true, "c": null}`: `{"a":"…","b":"…","c":"…"}`,
	} {
		got, err := json.Marshal(report.Invoice{Parties: report.Masked(stored)})
		if err != nil || !strings.Contains(string(got), `"parties":`+want+",") {
			t.Errorf("%s: %s, %v", stored, got, err)
		}
	}
}
