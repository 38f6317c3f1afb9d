package report

import (
	"slices"
	"testing"
)

func TestNamesAreReadAsTheDatabaseWritesThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"{}": {}, "{issued_at}": {"issued_at"}, `{lines[0].sku,"… and 30 more","a\"b\\c",""}`: {"lines[0].sku", "… and 30 more", `a"b\c`, ""},
	} {
		var names Names
		if err := names.Scan([]byte(text)); err != nil || !slices.Equal(names, want) {
			t.Errorf("%s: %q, %v", text, names, err)
		}
	}
	names := Names{"x"}
	if err := names.Scan(nil); err != nil || names != nil {
		t.Errorf("%q, %v", names, err)
	}
	for _, bad := range []any{1, "x", "{x"} {
		if names.Scan(bad) == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}
