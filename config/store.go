package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"invoicer/internal/objects"
)

// inDatabase is the store of documents that keeps them where their rows are.
const inDatabase = "database"

// Outside returns where the bytes of new documents are kept outside of the database, "" if they aren't.
func (d *Documents) Outside() string {
	if d.Store == inDatabase {
		return ""
	}
	return d.Store
}

func documentStore(p *string) value {
	return checked[string]{p, "store", "database, folder:/path, s3://bucket/prefix", filled(func(text string) error {
		if text == inDatabase {
			return nil
		}
		return objects.CheckStore(text)
	})}
}

// storeProblems returns what is missing to reach a bucket, if any of it is configured.
func storeProblems(c *Config) []Problem {
	s, inBucket := &c.Documents.S3, strings.HasPrefix(c.Documents.Store, "s3:")
	if !inBucket && s.Endpoint == "" && s.AccessKey == "" && s.SecretKey == "" {
		return nil
	}
	because := "another key of documents.s3 is set"
	if inBucket {
		because = "documents.store is a bucket"
	}
	var problems []Problem
	for _, required := range []struct{ key, value string }{
		{"documents.s3.endpoint", s.Endpoint}, {"documents.s3.access_key", s.AccessKey}, {"documents.s3.secret_key", string(s.SecretKey)},
	} {
		if required.value == "" {
			problems = append(problems, Problem{Key: required.key, Message: "is missing: it is needed, as " + because})
		}
	}
	if err := checkEndpointOf(s); err != nil {
		problems = append(problems, Problem{Key: "documents.s3.endpoint", Message: err.Error()})
	}
	return problems
}

func checkEndpointOf(s *S3) error {
	u, err := url.Parse(s.Endpoint)
	if err != nil {
		return nil //nolint:nilerr // it was checked, and what is wrong with it is said there
	}
	if strings.Trim(u.Path, "/") != "" {
		return errors.New("has a path: name the service alone, and the bucket in documents.store")
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) && !s.Insecure {
		return fmt.Errorf("%q must begin with https://, unless something else encrypts and documents.s3.insecure is true", s.Endpoint)
	}
	return nil
}

// storeKeys returns the keys that say where documents are kept.
func storeKeys() []Key {
	return []Key{
		{
			Name: "documents.store", Default: inDatabase,
			Doc:   "where the bytes of new documents are kept: database, folder:/path, or s3://bucket/prefix; those that are kept elsewhere stay there",
			value: func(c *Config) value { return documentStore(&c.Documents.Store) },
		},
		{
			Name: "documents.s3.endpoint", Default: "",
			Doc:   "the address of S3 or a service like it, such as https://s3.eu-central-1.amazonaws.com",
			value: func(c *Config) value { return webAddress(&c.Documents.S3.Endpoint) },
		},
		{
			Name: "documents.s3.region", Default: "us-east-1",
			Doc:   "the region that requests to documents.s3.endpoint are signed for; services other than Amazon's mostly take the default",
			value: func(c *Config) value { return text(&c.Documents.S3.Region) },
		},
		{
			Name: "documents.s3.access_key", Default: "",
			Doc:   "the id of the key that requests to documents.s3.endpoint are signed with; it must be allowed to get, put and delete objects below the prefix",
			value: func(c *Config) value { return optional(&c.Documents.S3.AccessKey) },
		},
		{
			Name: "documents.s3.secret_key", Default: "", Secret: true,
			Doc:   "the secret of documents.s3.access_key",
			value: func(c *Config) value { return secret(&c.Documents.S3.SecretKey) },
		},
		{
			Name: "documents.s3.virtual_hosts", Default: "false",
			Doc:   "whether a bucket is asked for as bucket.s3.example, and not as s3.example/bucket",
			value: func(c *Config) value { return boolean{&c.Documents.S3.VirtualHosts} },
		},
		{
			Name: "documents.s3.insecure", Default: "false",
			Doc:   "whether documents.s3.endpoint may be without TLS beyond loopback; documents then cross the network readable, unless something else encrypts them",
			value: func(c *Config) value { return boolean{&c.Documents.S3.Insecure} },
		},
	}
}
