package main

import (
	"fmt"
	"os"
	"strings"

	"invoicer/config"
	"invoicer/internal/mail"
)

// emailOptions returns by which server documents are sent as e-mail, and in whose name; what letters say is left out.
func emailOptions(cfg *config.Config) mail.Options {
	e := &cfg.Documents.Email
	return mail.Options{
		Server: e.Server, TLS: e.TLS, Plain: e.Networks(), User: e.User, Password: string(e.Password), Auth: e.Auth, From: e.From, ReplyTo: e.ReplyTo,
		Envelope: e.Envelope, HELO: e.HELO, MaxSize: e.MaxSize, Timeout: e.Timeout,
	}
}

// newMailer returns what sends documents as e-mail, nil if nothing is to.
func newMailer(cfg *config.Config) (*mail.Mailer, error) {
	if cfg.Documents.Email.Server == "" {
		return nil, nil
	}
	o := emailOptions(cfg)
	var err error
	if o.Texts, err = letterTexts(cfg); err != nil {
		return nil, err
	}
	return mail.New(o)
}

// readTexts reads what letters say. Without a file it is the default. The error of a file that is there is one of usage.
func readTexts(file string) (*mail.Texts, error) {
	if file == "" {
		return mail.DefaultTexts(), nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("texts: %w", err)
	}
	texts, err := mail.ParseTexts(data)
	if err != nil {
		return nil, exitError{exitUsage, fmt.Errorf("%s: %w", file, err)}
	}
	return texts, nil
}

// checkEmail returns what is wrong with documents.email, by the name of each key.
func checkEmail(cfg *config.Config) []config.Problem {
	const section = "documents.email."
	if cfg.Documents.Email.Server == "" {
		e := &cfg.Documents.Email
		for i := range cfg.Documents.Channels {
			if c := &cfg.Documents.Channels[i]; c.Kind == "email" {
				return []config.Problem{{Key: section + "server", Message: "is missing, and the channel " + c.Name + " (documents.channels) is of the kind email: which server sends e-mail?"}}
			}
		}
		for _, stated := range []struct{ key, value string }{
			{"user", e.User}, {"password", string(e.Password)}, {"from", e.From}, {"reply_to", e.ReplyTo}, {"envelope", e.Envelope}, {"templates", e.Templates},
		} {
			if stated.value != "" {
				return []config.Problem{{Key: section + "server", Message: "is missing, and " + section + stated.key + " is set: which server sends e-mail?"}}
			}
		}
		return nil
	}
	keys := map[string]string{
		"Server": "server", "TLS": "tls", "Auth": "auth", "User": "user", "Password": "password", "From": "from", "ReplyTo": "reply_to", "Envelope": "envelope",
		"HELO": "helo", "MaxSize": "max_size",
	}
	var problems []config.Problem
	for _, p := range emailOptions(cfg).Problems() {
		message := strings.NewReplacer("User needs it", section+"user needs it", "allow its network", "allow its network in "+section+"allow").Replace(p.Message)
		problems = append(problems, config.Problem{Key: section + keys[p.Field], Message: message})
	}
	return problems
}
