package manifests_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/sandbox/servers"
)

// A site has private servers, which take passwords from everybody but their superuser.
type site struct {
	postgres, redis *servers.Server
	dba             *pgx.Conn
}

func newSite(t *testing.T, redis map[string]string) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("it builds an image")
	}
	if os.Getuid() != 0 {
		t.Skip("only root can run a process as another user, in other files")
	}
	folder, err := os.MkdirTemp("", "invoicer-hba-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	must(t, os.Chmod(folder, 0o755)) // the server runs as another user
	hba := filepath.Join(folder, "pg_hba.conf")
	must(t, os.WriteFile(hba, []byte("local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"), 0o644))
	s := new(site)
	s.postgres, err = servers.StartPostgres(t.Context(), servers.PostgresOptions{TCP: true, Durable: true, Settings: map[string]string{"hba_file": hba}})
	must(t, err)
	t.Cleanup(func() { s.postgres.Close() })
	s.redis, err = servers.StartRedis(t.Context(), servers.RedisOptions{TCP: true, Settings: redis})
	must(t, err)
	t.Cleanup(func() { s.redis.Close() })
	s.dba, err = pgx.Connect(t.Context(), s.postgres.URL)
	must(t, err)
	t.Cleanup(func() { s.dba.Close(context.Background()) })
	return s
}

func (s *site) exec(t *testing.T, statement string) {
	t.Helper()
	_, err := s.dba.Exec(t.Context(), statement)
	must(t, err)
}

func host(t *testing.T, address string) (hostport, port string) {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	return u.Host, u.Port()
}

// moved returns a URL with the host of the site's own server.
func (s *site) moved(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	u.Host, _ = host(t, map[bool]string{true: s.postgres.URL, false: s.redis.URL}[u.Scheme == "postgres"])
	return u.String()
}

// protect has Redis want a password.
func (s *site) protect(t *testing.T, password string) {
	t.Helper()
	at, _ := host(t, s.redis.URL)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", at)
	must(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "CONFIG SET requirepass %s\r\n", password)
	must(t, err)
	if answer, err := bufio.NewReader(conn).ReadString('\n'); err != nil || answer != "+OK\r\n" {
		t.Fatalf("Redis answers %q, %v", answer, err)
	}
}

// invoices asks for an invoice, and returns once it is there.
func (s *site) invoices(t *testing.T, transaction string) {
	t.Helper()
	s.exec(t, fmt.Sprintf(`SELECT invoicer.accept(payload := '{"transaction_id":"%s","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":"2.55"}]}'::text)`, transaction))
	eventually(t, time.Minute, func() error {
		var n int
		err := s.dba.QueryRow(t.Context(), "SELECT count(*) FROM invoicer.invoices WHERE transaction_id = $1", transaction).Scan(&n)
		if err == nil && n != 1 {
			err = fmt.Errorf("%d invoices of %s", n, transaction)
		}
		return err
	})
}

// eventually tries until it succeeds.
func eventually(t *testing.T, within time.Duration, try func() error) {
	t.Helper()
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	for end := time.Now().Add(within); ; <-ticks.C {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %s: %v", within, err)
		}
	}
}

// get asks as a probe does: no certificate is checked.
func get(t *testing.T, address string) (int, string, error) {
	t.Helper()
	client := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // as the kubelet does
	}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	must(t, err)
	answer, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), err
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// certificate returns one for another name than that by which the probes ask.
func certificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "billing.example"}, DNSNames: []string{"billing.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	must(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// metricsIn returns the names of our metrics in a query.
func metricsIn(query string) (names []string) {
	for _, word := range strings.FieldsFunc(query, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		if strings.HasPrefix(word, "invoicer_") {
			names = append(names, word)
		}
	}
	return names
}
