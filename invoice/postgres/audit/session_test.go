package audit

import (
	"context"
	"testing"

	"invoicer/internal/rig"
)

// TestSession: the limits that the server, the database or the role sets are for those who write.
func TestSession(t *testing.T) {
	t.Parallel()
	d := rig.NewDatabase(t)
	limited := rig.With(t, d.URL, "options", "-c statement_timeout=1min -c idle_in_transaction_session_timeout=1min -c default_transaction_isolation=serializable")
	s, err := begin(t.Context(), Options{URL: limited, Schema: d.Schema}, tables())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.end(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	if err := s.readTablesOnly(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"statement_timeout":                   "0",
		"idle_in_transaction_session_timeout": "0",
		"transaction_isolation":               "repeatable read",
		"transaction_read_only":               "on",
		"row_security":                        "off",
		"enable_indexscan":                    "off",
		"enable_indexonlyscan":                "off",
		"enable_bitmapscan":                   "off",
	} {
		var got string
		if err := s.tx.QueryRow(t.Context(), "SHOW "+name).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", name, got, err, want)
		}
	}
}
