package config

import "time"

// emailKeys returns the keys that say how documents are sent as e-mail.
func emailKeys() []Key {
	return []Key{
		{
			Name: "documents.email.server", Default: "",
			Doc:   "the SMTP server that sends documents as e-mail, as host or host:port; without a port it is 587, with tls implicit 465, with tls none 25; empty sends none",
			value: func(c *Config) value { return optional(&c.Documents.Email.Server) },
		},
		{
			Name: "documents.email.tls", Default: "starttls",
			Doc:   "how the connection to it is encrypted: from the first command (starttls) or the first byte (implicit); none only on this machine, and in the networks of documents.email.allow",
			value: func(c *Config) value { return choice(&c.Documents.Email.TLS, []string{"starttls", "implicit", "none"}) },
		},
		{
			Name: "documents.email.auth", Default: "auto",
			Doc: "how the worker signs in to it; auto takes the first of scram-sha-256, plain and login that the server offers; with xoauth2 the password is an access token",
			value: func(c *Config) value {
				return choice(&c.Documents.Email.Auth, []string{"auto", "scram-sha-256", "plain", "login", "xoauth2"})
			},
		},
		{
			Name: "documents.email.user", Default: "",
			Doc:   "the user with whom the worker signs in to it; empty doesn't sign in",
			value: func(c *Config) value { return optional(&c.Documents.Email.User) },
		},
		{
			Name: "documents.email.password", Default: "", Secret: true,
			Doc:   "the password of documents.email.user",
			value: func(c *Config) value { return secret(&c.Documents.Email.Password) },
		},
		{
			Name: "documents.email.from", Default: "",
			Doc:   "whom e-mail is from: invoices@acme.example, or Acme <invoices@acme.example>; without a name it is the seller's",
			value: func(c *Config) value { return optional(&c.Documents.Email.From) },
		},
		{
			Name: "documents.email.reply_to", Default: "",
			Doc:   "where answers go; empty: to documents.email.from",
			value: func(c *Config) value { return optional(&c.Documents.Email.ReplyTo) },
		},
		{
			Name: "documents.email.envelope", Default: "",
			Doc:   "where servers send what they couldn't deliver (bounces); empty: to documents.email.from",
			value: func(c *Config) value { return optional(&c.Documents.Email.Envelope) },
		},
		{
			Name: "documents.email.helo", Default: "",
			Doc:   "how the worker names its machine to the server, such as billing.acme.example; empty: by the machine's name, or its address",
			value: func(c *Config) value { return optional(&c.Documents.Email.HELO) },
		},
		{
			Name: "documents.email.templates", Default: "",
			Doc:   "a file with what e-mail says, by language; empty: as invoicer writes it",
			value: func(c *Config) value { return optional(&c.Documents.Email.Templates) },
		},
		{
			Name: "documents.email.max_size", Default: "10000000",
			Doc:   "how many bytes an e-mail may have as it is sent, which is 4/3 of what is attached; a larger one isn't sent",
			value: func(c *Config) value { return integer{&c.Documents.Email.MaxSize, 10_000, 100_000_000} },
		},
		{
			Name: "documents.email.timeout", Default: "30s",
			Doc:   "how long the server may take for each step; for its last answer, whether it has taken the e-mail, it has ten minutes",
			value: func(c *Config) value { return duration{&c.Documents.Email.Timeout, time.Second, 10 * time.Minute} },
		},
		{
			Name: "documents.email.allow", Default: "",
			Doc:   "networks in which the server may be spoken to without TLS (documents.email.tls none), so that passwords and invoices can be read on the way",
			value: func(c *Config) value { return networks(&c.Documents.Email.Allow) },
		},
	}
}
