package config_test

import (
	"strings"
	"testing"

	"invoicer/config"
)

func TestDatabaseAddr(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgres://127.0.0.1:5432/invoicer":                    "127.0.0.1:5432/invoicer",
		"postgresql://u:hunter2@db:5433/x?sslmode=disable":      "db:5433/x",
		"postgres://u:hunter2@db:5432/x?sslmode=prefer":         "db:5432/x",
		"postgres://u:p@db1:1,db2:2/x":                          "db1:1,db2:2/x",
		"postgres://[::1]:5432/x":                               "[::1]:5432/x",
		"postgres:///invoicer?host=/tmp/x&port=5432":            "/tmp/x:5432/invoicer",
		"postgres://u@%2Ftmp%2Fx:5433/invoicer?sslmode=disable": "/tmp/x:5433/invoicer",
		"mysql://u:hunter2@db/x":                                "mysql://u:xxxxx@db/x",
	} {
		if got := (config.Database{URL: config.URL(url)}).Addr(); got != want {
			t.Errorf("Addr of %s = %q, want %q", url, got, want)
		}
	}
}

func TestBadDatabaseURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"mysql://db/x":                     "the URL must start with postgres://",
		"host=db":                          "the URL is not a URL of the form",
		"db:5432/x":                        "the URL is not a URL of the form",
		"postgres://db:port/x":             "the URL is refused by the Postgres driver: invalid port",
		"postgres://db/x?sslmode=nonsense": "the URL is refused by the Postgres driver: failed to configure TLS (sslmode is invalid)",
		"postgres://u:a@b@db/x":            "the URL is not a URL of the form",
		"postgres://db/x?sslmode=x&password=hun&ter2": "the URL is refused by the Postgres driver; the reason isn't shown",
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			got := problems(t, config.Sources{Dir: t.TempDir(), Environ: []string{"INVOICER_DATABASE_URL=" + url}})
			if len(got) != 1 || !strings.HasPrefix(got[0], "database.url (environment INVOICER_DATABASE_URL): "+want) {
				t.Errorf("problems = %q, want %q", got, want)
			}
		})
	}
}
