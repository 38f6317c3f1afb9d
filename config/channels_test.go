package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"invoicer/config"
)

// A channel of the file is what it says, with the defaults of what it doesn't, and is the same again as a variable and as it is printed, but for its secret.
func TestChannels(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	cfg, err := config.Load(sources(t, `documents:
  channels:
    - name: peppol
      kind: https
      url: https://gateway.example/invoices
      secret: `+secret+`
      formats: [ubl, pdf]
      issuers: [""]
      series: [INV]
      kinds: [credit_note]
      ask_every: 1h
      ask_until: accepted
      await_clearance: true
      give_up: 30d
      at_once: 7
    - {name: archive, kind: program, command: [/usr/bin/archive, --in, "a b"], formats: [facturx], timeout: 5s}
`, nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Channel{
		{
			Name: "peppol", Kind: "https", URL: "https://gateway.example/invoices", Secret: secret, Formats: []string{"ubl", "pdf"}, Issuers: []string{""}, Series: []string{"INV"},
			Kinds: []string{"credit_note"}, Timeout: 30 * time.Second, AskEvery: time.Hour, AskUntil: "accepted", AwaitClearance: true, GiveUp: 30 * 24 * time.Hour, AtOnce: 7,
		},
		{Name: "archive", Kind: "program", Command: []string{"/usr/bin/archive", "--in", "a b"}, Formats: []string{"facturx"}, Timeout: 5 * time.Second, AskUntil: "cleared", AtOnce: 2},
	}
	if !reflect.DeepEqual(cfg.Documents.Channels, want) {
		t.Errorf("%+v", cfg.Documents.Channels)
	}
	var variable string
	for _, v := range cfg.Environ() {
		if strings.HasPrefix(v, "INVOICER_DOCUMENTS_CHANNELS=") {
			variable = v
		}
	}
	again, err := config.Load(sources(t, "", []string{variable}, nil))
	if err != nil || !reflect.DeepEqual(again.Documents.Channels, want) {
		t.Errorf("%+v, %v of %s", again, err, variable)
	}
	if printed := string(cfg.YAML()); !strings.Contains(printed, "gateway.example") || strings.Contains(printed, secret) {
		t.Error(printed)
	}
}

// All that is wrong with channels is said at once, with the name of the key, and without the secret or the URL.
func TestWrongChannels(t *testing.T) {
	t.Parallel()
	_, err := config.Load(sources(t, "", []string{`INVOICER_DOCUMENTS_CHANNELS=[
{"name":"A b","kind":"https","url":"ftp://gateway.example/sesame","secret":"whsec_sesame","formats":["docx"],"timeout":"1h","command":["x"]},
{"name":"two","kind":"program","command":["run"],"url":"https://gateway.example","formats":[],"kinds":["receipt"],"ask_until":"paid"},
{"name":"mail","kind":"email","formats":["pdf"],"timeout":"29s"},
{"name":"two","kind":"fax","formats":["pdf","pdf"],"at_once":65}]`}, nil))
	if err == nil {
		t.Fatal("they are taken")
	}
	for _, want := range []string{
		"documents.channels", "channel A b: name must be", "url must be https://host/path", "secret must be whsec_", "command is for the kind program", `formats has "docx"`, `timeout is "1h": must be 100ms to 10m`,
		`channel mail: timeout is "29s": must be 30s to 10m`,
		"channel two: command must be a list", "url and secret are for the kind https", "formats is empty", `kinds has "receipt"`, "ask_until must be cleared or accepted", "ask_until needs ask_every",
		"channel two: kind must be email, https or program", `formats has "pdf"`, "at_once must be 1 to 64", "channel two: is there twice",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it doesn't say %s", want)
		}
	}
	if strings.Contains(err.Error(), "sesame") {
		t.Error("it says a secret")
	}
	for text, want := range map[string]string{
		`[{"name":"a","where":"x"}]`: `unknown key "where"; the keys are name, kind`, `[{"name":"a","formats":"pdf"}]`: "whose formats is a string", `{`: "is not a list of channels", `[] []`: "something after the list",
	} {
		if _, err := config.Load(sources(t, "", []string{"INVOICER_DOCUMENTS_CHANNELS=" + text}, nil)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
