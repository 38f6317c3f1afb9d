package main

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"invoicer/internal/doctor"
)

// The server that sends e-mail is signed in to. One that refuses, or doesn't answer, is a warning; where none is configured, none is asked.
func TestDoctorAsksTheMailServer(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &door{t: t}, nil }))
	server.AllowInsecureAuth = true
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // until it is closed
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	for name, c := range map[string]struct {
		environ []string
		finds   string
	}{
		"well":  {[]string{"INVOICER_DOCUMENTS_EMAIL_PASSWORD=hunter2"}, ""},
		"wrong": {[]string{"INVOICER_DOCUMENTS_EMAIL_PASSWORD=hunter3"}, "no e-mail can be sent: mail: the server refused the user or the password with 535"},
		"away":  {[]string{"INVOICER_DOCUMENTS_EMAIL_PASSWORD=hunter2", "INVOICER_DOCUMENTS_EMAIL_SERVER=127.0.0.1:1"}, "connection refused"},
		"TLS":   {[]string{"INVOICER_DOCUMENTS_EMAIL_PASSWORD=hunter2", "INVOICER_DOCUMENTS_EMAIL_TLS=starttls"}, "doesn't offer STARTTLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environ := append([]string{
				"INVOICER_DOCUMENTS_EMAIL_SERVER=" + listener.Addr().String(), "INVOICER_DOCUMENTS_EMAIL_TLS=none", "INVOICER_DOCUMENTS_EMAIL_USER=billing",
				"INVOICER_DOCUMENTS_EMAIL_FROM=invoices@acme.example",
			}, c.environ...)
			_, out, stderr := s.with(environ...).run(t, "", "doctor", "--json")
			var report doctor.Report
			if err := json.Unmarshal([]byte(out), &report); err != nil {
				t.Fatal(err, stderr)
			}
			found := ""
			for _, f := range report.Findings {
				if f.Check == "email" {
					found += f.What
					if f.Level != doctor.Warning || f.Setting != "documents.email" {
						t.Errorf("%+v", f)
					}
				}
			}
			if (found == "") != (c.finds == "") || !strings.Contains(found, c.finds) || strings.Contains(out+stderr, "hunter") {
				t.Errorf("%s %s", found, stderr)
			}
		})
	}
}

// door is a server that takes no letter.
type door struct{ t *testing.T }

func (d *door) AuthMechanisms() []string { return []string{"PLAIN"} }

func (d *door) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, name, password string) error {
		if name != "billing" || password != "hunter2" {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func (d *door) Mail(string, *smtp.MailOptions) error {
	d.t.Error("a letter is sent")
	return errors.New("no")
}
func (d *door) Rcpt(string, *smtp.RcptOptions) error { return errors.New("no") }
func (d *door) Data(io.Reader) error                 { return errors.New("no") }
func (d *door) Reset()                               {}
func (d *door) Logout() error                        { return nil }
