package web_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"invoicer/web"
)

// writeCertificate writes a new certificate for the name billing.example with its key, and returns clients' trust in it.
func writeCertificate(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "billing.example"}, DNSNames: []string{"billing.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	signed, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})
	for name, content := range map[string][]byte{certFile: cert, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

func trusting(pool *x509.CertPool) *http.Transport {
	return &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "billing.example"}}
}

// With TLS, tokens open the pages beyond loopback, and the session's cookie is sent over TLS only. A certificate that is renewed is
// used without a restart.
func TestTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	pool := writeCertificate(t, certFile, keyFile)
	d := openDoor(t, ownAddress(t), everyRole(), func(o *web.Options) { o.TLSCert, o.TLSKey = certFile, keyFile })
	if log := d.log.String(); !strings.HasPrefix(d.url, "https://") || strings.Contains(log, "only health") || strings.Contains(log, "without TLS") {
		t.Errorf("%s\n%s", d.url, log)
	}
	if a := askWith(t, trusting(pool), http.MethodGet, d.url+"/jobs", "", reader); a.code != http.StatusOK {
		t.Errorf("a token: %d", a.code)
	}
	a := askWith(t, trusting(pool), http.MethodPost, d.url+"/login", url.Values{"token": {"secret-of-reader"}}.Encode(), form)
	if c := a.header.Get("Set-Cookie"); a.code != http.StatusSeeOther || !strings.HasPrefix(c, "__Host-invoicer=") || !strings.HasSuffix(c, "; Path=/; HttpOnly; Secure; SameSite=Lax") {
		t.Errorf("signing in: %d, %s", a.code, c)
	}
	if a := askWith(t, trusting(pool), http.MethodGet, d.url+"/jobs", "", "Cookie: "+a.cookie()); a.code != http.StatusOK {
		t.Errorf("a session: %d", a.code)
	}
	if a := askWith(t, trusting(pool), http.MethodGet, d.url+"/jobs", "", "Cookie: "+strings.TrimPrefix(a.cookie(), "__Host-")); a.code != http.StatusUnauthorized {
		t.Errorf("a cookie that another host may have planted: %d", a.code)
	}
	if code := d.raw(t, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"); code != http.StatusBadRequest {
		t.Errorf("without TLS: %d", code)
	}

	if err := os.WriteFile(certFile, []byte("half a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	reachable := func(pool *x509.CertPool) bool {
		response, err := (&http.Client{Transport: trusting(pool)}).Get(d.url + "/livez")
		if err == nil {
			response.Body.Close()
		}
		return err == nil
	}
	until := time.Now().Add(15 * time.Second)
	for time.Now().Before(until) && !strings.Contains(d.log.String(), "can't be used") {
		if !reachable(pool) {
			t.Fatal("the certificate from before isn't used while the new one can't be")
		}
		time.Sleep(200 * time.Millisecond)
	}
	renewed := writeCertificate(t, certFile, keyFile)
	for until = time.Now().Add(15 * time.Second); !reachable(renewed); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("the renewed certificate isn't used:\n%s", d.log)
		}
	}
}

func TestTLSFilesThatCantBeUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key, other := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "other.key")
	writeCertificate(t, filepath.Join(dir, "other.crt"), other)
	writeCertificate(t, cert, key)
	for name, files := range map[string][2]string{"missing": {filepath.Join(dir, "none"), key}, "swapped": {key, cert}, "of another": {cert, other}} {
		p, err := web.Open(t.Context(), web.Options{Addr: "127.0.0.1:0", TLSCert: files[0], TLSKey: files[1], Logger: slog.New(slog.DiscardHandler)})
		var unusable *web.CertificateError
		if !errors.As(err, &unusable) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				p.Close()
			}
		}
	}
}

// Behind a proxy that speaks TLS, the cookie is sent over TLS only as well.
func TestProxyWithTLS(t *testing.T) {
	t.Parallel()
	d := openDoor(t, "127.0.0.1:0", everyRole(), func(o *web.Options) { o.Access.Hosts = []string{"billing.example"} })
	proxied := []string{"Host: billing.example", "X-Forwarded-For: 10.1.1.1", "X-Forwarded-Proto: https"}
	if a := d.ask(t, http.MethodGet, "/jobs", "", append(proxied, html)...); a.code != http.StatusSeeOther {
		t.Errorf("without a session: %d", a.code)
	}
	cookie := d.signIn(t, "secret-of-reader", proxied...)
	if !strings.HasPrefix(cookie, "Cookie: __Host-invoicer=") {
		t.Error(cookie)
	}
	if a := d.ask(t, http.MethodGet, "/jobs", "", append(proxied, cookie)...); a.code != http.StatusOK {
		t.Errorf("with a session: %d", a.code)
	}
	if a := d.ask(t, http.MethodPost, "/act", "", append(proxied, "Authorization: Bearer secret-of-operator", "Origin: https://billing.example", "Sec-Fetch-Site: same-origin")...); a.code != http.StatusOK {
		t.Errorf("acting: %d", a.code)
	}
	if host, _, err := net.SplitHostPort(strings.TrimPrefix(d.url, "http://")); host != "127.0.0.1" || err != nil {
		t.Errorf("%s: %v", d.url, err)
	}
}
