package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"invoicer/config"
)

// A process that gets the variables has the same configuration, its passwords among it.
func TestEnviron(t *testing.T) {
	t.Parallel()
	want, err := config.Load(config.Sources{Dir: t.TempDir(), Environ: []string{
		"INVOICER_DATABASE_URL=postgres://billing:s3cret@db.example/invoicer", "INVOICER_REDIS_URL=redis://:s3cret@redis.example:6379/0",
		"INVOICER_WORKER_QUEUES=b=2,a=7", "INVOICER_LOCK_TTL=1m", "INVOICER_RETENTION_JOBS=30d", "INVOICER_HTTP_ADDR=", "INVOICER_LOG_LEVEL=debug",
		"INVOICER_HTTP_OIDC_ISSUER=https://login.example/", "INVOICER_HTTP_OIDC_CLIENT_ID=i", "INVOICER_HTTP_OIDC_CLIENT_SECRET=s3cret",
		"INVOICER_HTTP_OIDC_BASE_URL=https://billing.example", "INVOICER_HTTP_OIDC_READ=on call,all", "INVOICER_HTTP_OIDC_SCOPES=",
	}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(config.Sources{Dir: t.TempDir(), Environ: want.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(config.Config{}, "Origins")); diff != "" {
		t.Error(diff)
	}
}
