package web

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"
)

// A CertificateError says that the certificate or its key can't be used.
type CertificateError struct{ Err error }

func (e *CertificateError) Error() string { return e.Err.Error() }
func (e *CertificateError) Unwrap() error { return e.Err }

// certificateInterval is how often the files are looked at, at most, while there are visitors.
const certificateInterval = 10 * time.Second

// A certificate is a TLS certificate with its key, read from files that are replaced before it expires.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	loaded  *tls.Certificate
	changed [2]time.Time // of the files that were read last, whether or not they could be used
	looked  time.Time
}

// load reads the files.
func (c *certificate) load() error {
	c.looked, c.changed = time.Now(), c.times()
	loaded, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.loaded = &loaded
	return nil
}

// times returns when the files were changed, zero for one that can't be found.
func (c *certificate) times() (changed [2]time.Time) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			changed[i] = info.ModTime()
		}
	}
	return changed
}

// get returns the certificate for a connection. It reads the files again if they have changed. If they can't be used, the certificate
// that was read before stays.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < certificateInterval {
		return c.loaded, nil
	}
	c.looked = time.Now()
	if c.times() == c.changed {
		return c.loaded, nil
	}
	if err := c.load(); err != nil {
		c.log.Error("http.tls_cert or http.tls_key was changed, but can't be used: the certificate from before stays", "error", err)
	} else {
		c.log.Info("the certificate was read again")
	}
	return c.loaded, nil
}
