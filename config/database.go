package config

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Addr returns the database's address, for messages: 127.0.0.1:5432/invoicer, /run/postgresql:5432/invoicer.
func (d Database) Addr() string {
	c, err := d.parse()
	if err != nil {
		return d.URL.String()
	}
	hosts := []string{hostPort(c.Host, c.Port)}
	for _, f := range c.Fallbacks { // further hosts, and the same hosts without TLS
		if h := hostPort(f.Host, f.Port); !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	addr := strings.Join(hosts, ",")
	if c.Database != "" {
		addr += "/" + c.Database
	}
	return addr
}

func hostPort(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// Check returns what is wrong with the URL, without its text. A Config has been checked.
func (d Database) Check() error {
	_, err := d.parse()
	return err
}

// parse parses the URL as pgx does, with the PG* variables of the process. Its errors contain neither the URL nor its
// password.
func (d Database) parse() (*pgconn.Config, error) {
	p, err := splitURL(string(d.URL))
	if err != nil {
		return nil, err
	}
	if p.scheme != "postgres" && p.scheme != "postgresql" {
		return nil, errors.New("must start with postgres://")
	}
	c, err := pgconn.ParseConfig(string(d.URL))
	if err != nil {
		return nil, errors.New("is refused by the Postgres driver" + p.discreet(withoutURL(err)))
	}
	return c, nil
}

// withoutURL cuts off pgx's "cannot parse `postgres://…`: ", which repeats most of the URL.
func withoutURL(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, "`: "); i >= 0 {
		return text[i+len("`: "):]
	}
	return text
}
