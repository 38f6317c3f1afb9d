package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"invoicer/config"
)

func TestURLPrintsWithoutPassword(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"redis://127.0.0.1:6379/0":                                 "redis://127.0.0.1:6379/0",
		"redis://user:hunter2@cache:6379/0?pool_size=5":            "redis://user:xxxxx@cache:6379/0?pool_size=5",
		"redis://:hunter2@cache":                                   "redis://:xxxxx@cache",
		"redis://hunter2@cache":                                    "redis://xxxxx@cache",
		"redis://user:@cache":                                      "redis://user:xxxxx@cache",
		"redis-sentinel://s1,s2/m?sentinel_password=hunter2":       "redis-sentinel://s1,s2/m?sentinel_password=xxxxx",
		"postgres://bob@db1,db2:5433/x?sslmode=require":            "postgres://bob@db1,db2:5433/x?sslmode=require",
		"postgres://bob:hunter2@db/x":                              "postgres://bob:xxxxx@db/x",
		"postgres:///x?host=/tmp/x&user=bob&password=hunter2":      "postgres:///x?host=/tmp/x&user=bob&password=xxxxx",
		"postgres://db/x?pass%77ord=hunter2&sslpassword=hunter2&b": "postgres://db/x?pass%77ord=xxxxx&sslpassword=xxxxx&b",
		"postgres://bob:hun/ter2@db/x":                             "(not a valid URL)",
		"postgres://bob:hunter2@x@db/x":                            "(not a valid URL)",
		"":                                                         "(not a valid URL)",
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			u := config.URL(url)
			var log bytes.Buffer
			logger := slog.New(slog.NewJSONHandler(&log, nil))
			logger.Info("", "url", u, "redis", config.Redis{URL: u}, "database", &config.Database{URL: u})
			marshalled, err := json.Marshal(config.Redis{URL: u})
			if err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{
				"String": u.String(), "%v": fmt.Sprint(u), "%#v": fmt.Sprintf("%#v", u), "%+v of Redis": fmt.Sprintf("%+v", config.Redis{URL: u}),
				"%#v of Config": fmt.Sprintf("%#v", config.Config{Database: config.Database{URL: u}}),
				"JSON":          strings.ReplaceAll(string(marshalled), `\u0026`, "&"), "log": strings.ReplaceAll(log.String(), `\u0026`, "&"),
			} {
				if !strings.Contains(text, want) || strings.Contains(text, "hunter") || strings.Contains(text, "ter2") {
					t.Errorf("%s = %s, want %s", name, text, want)
				}
			}
		})
	}
}

// However a URL is wrong, its password isn't in the error: not whole, not in part, not encoded.
func TestBadURLsDontTellPasswords(t *testing.T) {
	t.Parallel()
	passwords := []string{"hunter2", "hun/ter2", "hun?ter2", "hun#ter2", "hun@ter2", "hun:ter2", "hun%zzter2", "hun%2", "hun ter2", "hun\tter2", "123/ter2", "12?ter2@3", "%68unter2", "hun[ter2", "hun&ter2"}
	forms := []string{
		"redis://user:%s@cache:port/0", "redis://user:%s@cache:6379/zero", "redis://:%s@cache/0?colour=red", "redis://%s@cache:port",
		"redis://cache?password=%s", "redis://cache?pool_size=x&sentinel_password=%s", "redis-sentinel://u:%s@s1,s2", "redis-cluster://u:%s@c1,c2:x",
		"unix://u:%s@run/x", "http://u:%s@h", "u:%s@cache:6379", "redis:/u:%s@cache",
		"postgres://u:%s@db:port/x", "postgres://u:%s@db/x?sslmode=nonsense", "postgres://db/x?sslmode=nonsense&password=%s",
		"postgres://u:%s@db/x?connect_timeout=soon", "postgres://u:%s@db/x?sslrootcert=/no/such/file&sslmode=verify-full", "postgres://u:%s@[db/x",
		"postgres://u:%s@db/x?%%zz=1", "host=db user=u password=%s",
	}
	for _, form := range forms {
		for _, password := range passwords {
			url := fmt.Sprintf(form, password)
			for _, key := range []string{"INVOICER_REDIS_URL", "INVOICER_DATABASE_URL"} {
				cfg, err := config.Load(config.Sources{Dir: t.TempDir(), Environ: []string{key + "=" + url}})
				if err == nil {
					continue // not so wrong after all
				}
				var problems *config.Error
				if !errors.As(err, &problems) || cfg != nil {
					t.Fatalf("Load = %v, %v", cfg, err)
				}
				if strings.Contains(err.Error(), "hun") || strings.Contains(err.Error(), "ter2") {
					t.Errorf("%s=%s: %v", key, url, err)
				}
			}
		}
	}
}
