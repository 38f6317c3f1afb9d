package health

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"invoicer/web/access"
)

// Visitors on this machine learn the version, and nobody else.
func TestVersionIsToldOnThisMachineAlone(t *testing.T) {
	t.Parallel()
	h := New(Options{
		Silence: time.Minute, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Version: "v1.2.3",
		Probes: []Probe{{Name: "untried", Server: "redis at r", Try: func(context.Context) error { return nil }}},
	})
	for name, want := range map[string]string{access.LocalName: "starting\nversion: v1.2.3\n", "ada": "not ready\n"} {
		r := access.With(httptest.NewRequestWithContext(t.Context(), "GET", "/readyz", nil), access.Visitor{Name: name, Roles: []access.Role{access.Read}})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := w.Body.String(); got != want {
			t.Errorf("%s is told %q, want %q", name, got, want)
		}
	}
}
