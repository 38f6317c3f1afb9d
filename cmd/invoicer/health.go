package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
)

// healthTimeout is how long a health check waits for its answer.
const healthTimeout = 5 * time.Second

func (a app) healthCommand() *cobra.Command {
	var ready bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "health",
		Short:   "Ask the worker or the pages on this machine whether they live",
		GroupID: groupRun,
		Args:    noArgs,
		Long: `Asks /livez of the process that listens on http.addr, or with --ready /readyz,
and exits with 0 if the answer is 200, else with 1. It is for health checks of
containers that have neither a shell nor curl: run it with the configuration of
the process that it asks about. It asks neither Postgres nor Redis itself.

Restart a process that doesn't live. Don't restart one that isn't ready: it waits
for Postgres or Redis, and goes on by itself.`,
		Example: `  invoicer health
  invoicer health --ready
  invoicer health --http-addr :8443 --http-tls-cert t.crt --http-tls-key t.key`,
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether it can work, not only whether it lives")
	cmd.Flags().DurationVar(&timeout, "timeout", healthTimeout, "how long to wait for the answer")
	addConfigFlags(cmd, "http")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		if timeout <= 0 {
			return usageErrorf("--timeout %s: must be more than 0", timeout)
		}
		path := "/livez"
		if ready {
			path = "/readyz"
		}
		url, err := healthURL(cfg.HTTP, path)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		answer, err := askHealth(ctx, url)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), answer)
		return err
	}
	return cmd
}

// healthURL returns where the process with this configuration answers on this machine.
func healthURL(c config.HTTP, path string) (string, error) {
	if c.Addr == "" {
		return "", usageErrorf("http.addr is empty: such a process answers nowhere. Give the address that it listens on")
	}
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return "", usageErrorf("http.addr: %v", err)
	}
	if port == "0" {
		return "", usageErrorf("http.addr has port 0, which takes a free port that only the process knows. Give the address that it listens on")
	}
	switch ip := net.ParseIP(host); {
	case host == "", ip.Equal(net.IPv4zero):
		host = "127.0.0.1" // not localhost: a container may lack /etc/hosts
	case ip.Equal(net.IPv6unspecified):
		host = "::1"
	}
	scheme := "http://"
	if c.TLSCert != "" {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port) + path, nil
}

// askHealth returns the answer if its status is 200, and otherwise an error that has it.
func askHealth(ctx context.Context, url string) (string, error) {
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			// The certificate is for the name that people type, and this asks by an address of this machine. It sends no secret.
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}, //nolint:gosec // see above
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // health redirects nobody
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil) //nolint:gosec // the address is whose that runs this
	if err != nil {
		return "", err
	}
	response, err := client.Do(request) //nolint:gosec // as above
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return "", fmt.Errorf("%s doesn't answer in time", url)
		}
		return "", fmt.Errorf("nothing answers: %w", err)
	}
	defer response.Body.Close()
	const most = 4 << 10
	body, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return "", fmt.Errorf("%s: %w", url, err)
	}
	text := strings.TrimSpace(string(body))
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answers %s: %s", url, response.Status, text)
	}
	return text, nil
}
