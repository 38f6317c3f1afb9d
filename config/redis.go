package config

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Options returns the options with which redis.NewUniversalClient makes the client for the URL:
//
//	redis://user:password@host:6379/0             one server; rediss:// with TLS
//	unix://user:password@/path/to/socket?db=0     one server
//	redis-sentinel://host1,host2:26379/master/0   the master that these Sentinels know; rediss-sentinel:// with TLS
//	redis-cluster://host1,host2:6379              a Cluster; rediss-cluster:// with TLS
//
// User and password are those of the Redis servers; credentials for the Sentinels are the parameters
// sentinel_username and sentinel_password. The other parameters (pool_size, route_by_latency …) are those of
// redis.ParseURL, redis.ParseFailoverURL and redis.ParseClusterURL, and with TLS skip_verify. Errors contain neither the
// URL nor any part of it that could be secret.
func (r Redis) Options() (*redis.UniversalOptions, error) {
	p, err := splitURL(string(r.URL))
	if err != nil {
		return nil, err
	}
	opts := &redis.UniversalOptions{Username: p.user.Username(), Password: p.password()}
	scheme, useTLS := p.scheme, false
	if after, ok := strings.CutPrefix(scheme, "rediss"); ok {
		scheme, useTLS = "redis"+after, true
	}
	switch scheme {
	case "redis":
		err = single(opts, p)
	case "unix":
		err = socket(opts, p)
	case "redis-sentinel":
		err = sentinel(opts, p)
	case "redis-cluster":
		err = cluster(opts, p)
	default:
		return nil, errors.New("must start with redis://, rediss://, unix://, redis-sentinel:// or redis-cluster://")
	}
	if err == nil {
		err = tune(opts, p, useTLS)
	}
	if err != nil {
		return nil, err
	}
	return opts, nil
}

// Addr returns the server's address, for messages: 127.0.0.1:6379, /run/redis.sock, s1:26379,s2:26379/master.
func (r Redis) Addr() string {
	opts, err := r.Options()
	if err != nil {
		return r.URL.String()
	}
	addr := strings.Join(opts.Addrs, ",")
	if opts.MasterName != "" {
		addr += "/" + opts.MasterName
	}
	return addr
}

func single(opts *redis.UniversalOptions, p urlParts) (err error) {
	if len(p.hosts) > 1 {
		return errors.New("has several hosts; start it with redis-cluster:// or redis-sentinel://")
	}
	if opts.Addrs, err = hostPorts(p.hosts, "6379"); err != nil {
		return err
	}
	opts.DB, err = database(strings.Trim(p.path, "/"))
	return err
}

func socket(opts *redis.UniversalOptions, p urlParts) error {
	if len(p.hosts) > 0 || len(p.path) < 2 {
		return errors.New("needs an absolute path with three slashes: unix:///run/redis.sock")
	}
	opts.Addrs = []string{p.path}
	return nil
}

func sentinel(opts *redis.UniversalOptions, p urlParts) (err error) {
	if opts.Addrs, err = hostPorts(p.hosts, "26379"); err != nil {
		return err
	}
	master, db, _ := strings.Cut(strings.Trim(p.path, "/"), "/")
	if master == "" {
		return errors.New("lacks the master's name: redis-sentinel://host1,host2/master/0")
	}
	opts.MasterName = master
	opts.SentinelUsername, opts.SentinelPassword = p.query.Get("sentinel_username"), p.query.Get("sentinel_password")
	opts.DB, err = database(db)
	return err
}

func cluster(opts *redis.UniversalOptions, p urlParts) (err error) {
	opts.IsClusterMode = true // also with a single host, from which the client learns the others
	if opts.Addrs, err = hostPorts(p.hosts, "6379"); err != nil {
		return err
	}
	if db, err := database(strings.Trim(p.path, "/")); err != nil || db != 0 {
		return errors.New("names a database; a Cluster has only database 0")
	}
	return nil
}

// tune sets the options that the URL's parameters state, and those that this program needs for every client.
func tune(opts *redis.UniversalOptions, p urlParts, useTLS bool) error {
	query := maps.Clone(p.query)
	if opts.MasterName != "" {
		query.Del("sentinel_username")
		query.Del("sentinel_password")
	}
	if query.Has("password") {
		return errors.New("has a password among its parameters; write it before the host: redis://user:password@host")
	}
	if query.Has("db") && (opts.DB != 0 || opts.IsClusterMode) {
		return errors.New("names the database in its path and in its parameters, or is a Cluster; leave out db=")
	}
	if useTLS {
		// Not every parser knows skip_verify.
		o, err := redis.ParseURL("rediss://host?" + url.Values{"skip_verify": query["skip_verify"]}.Encode())
		if err != nil {
			return badParameter(p, err)
		}
		query.Del("skip_verify")
		// No ServerName: each connection verifies the host that it was made to.
		opts.TLSConfig = &tls.Config{
			MinVersion:         tls.VersionTLS12,
			InsecureSkipVerify: o.TLSConfig.InsecureSkipVerify, //nolint:gosec // only if the URL says skip_verify=true
		}
	}
	if err := adoptParameters(opts, query); err != nil {
		return badParameter(p, err)
	}
	if opts.DB < 0 {
		return errDatabase
	}

	// Without max_retries go-redis sends a command up to 4 times to one server, and once per redirection to a Cluster.
	opts.DialTimeout = cmp.Or(opts.DialTimeout, 3*time.Second)
	opts.DialerRetries = cmp.Or(opts.DialerRetries, 2) // with go-redis' 5 a command waits long for a host that doesn't answer at all
	opts.ReadTimeout = cmp.Or(opts.ReadTimeout, 3*time.Second)
	opts.WriteTimeout = cmp.Or(opts.WriteTimeout, 3*time.Second)
	opts.ContextTimeoutEnabled = true

	// Both features send commands that some servers answer with an error: Redis before 7.2, or any Redis but the
	// hosted one.
	opts.DisableIdentity = true
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return nil
}

func badParameter(p urlParts, err error) error {
	return errors.New("has a bad parameter" + p.discreet(strings.TrimPrefix(err.Error(), "redis: ")) +
		"; correct it or leave it out; docs/configuration.md lists the parameters")
}

// adoptParameters parses the parameters with go-redis' parser for this kind of client, and sets the options that they
// state. The parser gets nothing else of the URL, since its errors repeat what it gets.
func adoptParameters(opts *redis.UniversalOptions, query url.Values) error {
	// Parameters for which the URL has another place, options that this program sets itself, and options that let a
	// client of the master read from replicas.
	for _, name := range []string{
		"addr", "master_name", "username", "context_timeout_enabled", "disableIdentity", "replica_only", "use_disconnected_replicas",
	} {
		if query.Has(name) {
			return errors.New("unexpected option: " + name)
		}
	}
	var (
		parsed     any
		err        error
		parameters = "redis://host?" + query.Encode()
	)
	switch {
	case opts.MasterName != "":
		parsed, err = redis.ParseFailoverURL(parameters)
	case opts.IsClusterMode:
		parsed, err = redis.ParseClusterURL(parameters)
	default:
		parsed, err = redis.ParseURL(parameters)
	}
	if err != nil {
		return err
	}
	// The parsers' types share their fields' names with UniversalOptions. A field that is set already comes from another
	// part of the URL and stays.
	from, to := reflect.ValueOf(parsed).Elem(), reflect.ValueOf(opts).Elem()
	for _, field := range reflect.VisibleFields(from.Type()) {
		if place := to.FieldByName(field.Name); field.IsExported() && place.IsValid() && place.IsZero() {
			place.Set(from.FieldByIndex(field.Index))
		}
	}
	return nil
}

var errDatabase = errors.New("has no valid database number after the host: redis://host:6379/0")

func database(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	db, err := strconv.Atoi(text)
	if err != nil || db < 0 {
		return 0, errDatabase
	}
	return db, nil
}

func hostPorts(hosts []string, defaultPort string) ([]string, error) {
	if len(hosts) == 0 {
		return nil, errors.New("names no host")
	}
	addrs := make([]string, len(hosts))
	for i, h := range hosts {
		host, port, err := net.SplitHostPort(h)
		if err != nil {
			if host, port, err = net.SplitHostPort(h + ":" + defaultPort); err != nil {
				return nil, fmt.Errorf("has a host that is not of the form host:port (number %d)", i+1)
			}
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("has a port that is no number from 1 to 65535 (host number %d)", i+1)
		}
		if host == "" {
			return nil, fmt.Errorf("has an empty host (number %d)", i+1)
		}
		addrs[i] = net.JoinHostPort(host, port)
	}
	return addrs, nil
}
