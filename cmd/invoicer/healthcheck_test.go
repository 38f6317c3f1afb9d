package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"invoicer/internal/sandbox/sandboxtest"
)

// What 'invoicer health' says of a process, and with --ready, follows what the process answers: while it works, while it waits for Postgres,
// and when it is gone. Each answer on this machine has the version, which heartbeats and metrics have, too.
func TestHealthCommand(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandboxtest.PrivateRedis(t).URL)
	w := s.start(t, "worker")
	w.awaitReadyz(t, http.StatusOK)
	addr := strings.TrimSuffix(strings.TrimPrefix(w.pages(t), "http://"), "/")
	check := func(want int, text string, args ...string) {
		t.Helper()
		code, stdout, stderr := s.run(t, "", append([]string{"health", "--http-addr", addr}, args...)...)
		if code != want || !strings.Contains(stdout+stderr, text) {
			t.Errorf("health %v: exit code %d, %s%s; want %d, %s", args, code, stdout, stderr, want, text)
		}
	}
	check(exitOK, "alive")
	check(exitOK, "ready\nunsafe: ", "--ready")
	check(exitOK, "\nversion: (devel)\n", "--ready")
	_, metrics := get(t, w.pages(t)+"/metrics")
	if !strings.Contains(metrics, `version="(devel)"`) {
		t.Error("the metrics don't tell the version")
	}
	if code, stdout, stderr := s.run(t, "", "workers", "--json"); code != exitOK || !strings.Contains(stdout, `"version": "(devel)"`) {
		t.Errorf("the heartbeat doesn't tell the version: %s%s", stdout, stderr)
	}
	s.execute(t, "ALTER TABLE invoices RENAME TO away")
	w.awaitReadyz(t, http.StatusServiceUnavailable)
	check(exitOK, "alive")
	check(exitFailed, "503", "--ready")
	check(exitFailed, "version: (devel)", "--ready")
	s.execute(t, "ALTER TABLE away RENAME TO invoices")
	w.awaitReadyz(t, http.StatusOK)
	w.signal(t, syscall.SIGTERM)
	w.exit(t)
	check(exitFailed, "nothing answers")
}

// A health check asks over TLS where the process serves it, whatever name the certificate is for, follows no redirect, and doesn't wait for ever.
func TestHealthOverTLS(t *testing.T) {
	t.Parallel()
	answers := make(chan http.HandlerFunc, 1)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case answer := <-answers:
			answer(w, r)
		case <-r.Context().Done(): // one that isn't expected
		}
	}))
	t.Cleanup(server.Close)
	cert, key := otherCertificate(t)
	for want, answer := range map[string]http.HandlerFunc{
		"alive":             func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("alive\n")) },
		"answers 302 Found": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"answers 503 Service Unavailable": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
		},
		"doesn't answer in time": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		answers <- answer
		var stdout, stderr strings.Builder
		code := run(t.Context(), []string{"health", "--timeout", "500ms", "--http-addr", server.Listener.Addr().String(), "--http-tls-cert", cert, "--http-tls-key", key}, nil, strings.NewReader(""), &stdout, &stderr)
		if good := want == "alive"; (code == exitOK) != good || !strings.Contains(stdout.String()+stderr.String(), want) {
			t.Errorf("want %q: exit code %d, %s%s", want, code, &stdout, &stderr)
		}
	}
}

// otherCertificate returns files with a certificate for another name than this machine's.
func otherCertificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"billing.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	must(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	folder := t.TempDir()
	cert, key = filepath.Join(folder, "t.crt"), filepath.Join(folder, "t.key")
	must(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	return cert, key
}
