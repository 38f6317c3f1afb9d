package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"invoicer/config"
	"invoicer/internal/documents"
	"invoicer/internal/lifecycle"
	"invoicer/internal/mail"
	"invoicer/internal/metrics"
	"invoicer/internal/objects"
	"invoicer/internal/s3"
	"invoicer/invoice/document"
	"invoicer/invoice/document/cii"
	"invoicer/invoice/document/pdf"
	"invoicer/invoice/document/ubl"
	"invoicer/invoice/postgres"
)

// newMaker returns what makes and keeps documents, as the configuration wants them to be.
func newMaker(cfg *config.Config, store *postgres.DB) (*documents.Maker, error) {
	template, err := pageTemplate(cfg)
	if err != nil {
		return nil, err
	}
	by := func(judged document.Profile) document.Profile {
		if judged == "" || judged == document.None {
			return document.Profile(cfg.Documents.Profile)
		}
		return judged
	}
	page := func(d *document.Document, isCopy bool, invoice *pdf.FacturX) ([]byte, error) {
		o := pdf.Options{Template: template, FacturX: invoice}
		if isCopy {
			o.Copy = documents.CopyMark(d.Language)
		}
		drawn, err := pdf.Render(d, o)
		if err != nil {
			return nil, err
		}
		return drawn.PDF, nil
	}
	return &documents.Maker{Store: store.Documents, Version: buildVersion().Version, Writers: map[document.Format]documents.Write{
		document.AsUBL: func(d *document.Document, judged document.Profile, _ bool) ([]byte, string, error) {
			profile := by(judged)
			if profile == judged && !profile.HasUBL() {
				profile = document.EN16931 // which the document satisfies as well
			}
			content, err := ubl.Write(d, profile)
			return content, profile.Rules(d.IssueDate), err
		},
		document.AsCII: func(d *document.Document, judged document.Profile, _ bool) ([]byte, string, error) {
			profile := by(judged)
			if profile == judged && !profile.HasCII() {
				profile = document.EN16931 // as above
			}
			content, err := cii.Write(d, profile)
			return content, profile.Rules(d.IssueDate), err
		},
		document.AsPDF: func(d *document.Document, _ document.Profile, isCopy bool) ([]byte, string, error) {
			content, err := page(d, isCopy, nil)
			return content, "", err
		},
		document.AsFacturX: func(d *document.Document, judged document.Profile, isCopy bool) ([]byte, string, error) {
			inside, level := insideOf(by(judged))
			xml, err := cii.Write(d, inside)
			if err != nil {
				return nil, "", err
			}
			content, err := page(d, isCopy, &pdf.FacturX{Level: level, XML: xml})
			return content, inside.Rules(d.IssueDate), err
		},
	}}, nil
}

// documentPatience is how long a request waits for its turn to have a document drawn. Half of the processors draw at most, so that the process has time for
// everything else.
const documentPatience = 2 * time.Second

func newTurns() *documents.Turns {
	return documents.NewTurns(max(1, runtime.GOMAXPROCS(0)/2), documentPatience)
}

// handedOut are the formats of documents: of those with the same media type, the one first that the profile knows.
func handedOut(cfg *config.Config) []document.Format {
	if document.Profile(cfg.Documents.Profile).HasUBL() {
		return document.Formats()
	}
	return []document.Format{document.AsPDF, document.AsCII, document.AsUBL, document.AsFacturX}
}

// insideOf returns by which rules the CII in a page is written, and what Factur-X calls them.
func insideOf(profile document.Profile) (inside document.Profile, level string) {
	level = map[document.Profile]string{document.FacturXBasic: "BASIC", document.XRechnung: "XRECHNUNG"}[profile]
	if level == "" {
		return document.FacturX, "EN 16931"
	}
	return profile, level
}

// checkTemplates returns an error if a file can't be used that says how pages look or what e-mail says: all that is wrong, by the name of each key. Those
// who make documents, or send them, ask before they ask any server. Other commands may run where there are no such files.
func checkTemplates(cfg *config.Config) error {
	_, err := pageTemplate(cfg)
	_, err2 := letterTexts(cfg)
	all := &config.Error{}
	for _, err := range []error{err, err2} {
		if one := (*config.Error)(nil); errors.As(err, &one) {
			all.Problems = append(all.Problems, one.Problems...)
		}
	}
	if len(all.Problems) == 0 {
		return nil
	}
	return exitError{exitUsage, all}
}

// pageTemplate reads documents.template.
func pageTemplate(cfg *config.Config) (*pdf.Template, error) {
	template, err := readTemplate(cfg.Documents.Template)
	return template, wrongFile(cfg, "documents.template", err)
}

// letterTexts reads documents.email.templates.
func letterTexts(cfg *config.Config) (*mail.Texts, error) {
	texts, err := readTexts(cfg.Documents.Email.Templates)
	return texts, wrongFile(cfg, "documents.email.templates", err)
}

// wrongFile returns what is wrong with the file that a key names as a mistake in the configuration, nil for nothing.
func wrongFile(cfg *config.Config, key string, err error) error {
	if err == nil {
		return nil
	}
	return exitError{exitUsage, &config.Error{Problems: []config.Problem{{Key: key, Source: cfg.Origins[key], Message: err.Error()}}}}
}

// readTemplate reads how a page looks; files that it names are beside it. Without a file it is the default. The error of a file that is there is one of usage.
func readTemplate(file string) (*pdf.Template, error) {
	if file == "" {
		return pdf.DefaultTemplate(), nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	template, err := pdf.ParseTemplate(text)
	if err == nil {
		err = template.Open(func(name string) ([]byte, error) {
			if !filepath.IsAbs(name) {
				name = filepath.Join(filepath.Dir(file), name)
			}
			return os.ReadFile(name)
		})
	}
	if err != nil {
		return nil, exitError{exitUsage, fmt.Errorf("%s: %w", file, err)}
	}
	return template, nil
}

// newKeeper returns what reads and keeps documents outside of the database. It looks at no place.
func newKeeper(cfg *config.Config) (*objects.Keeper, error) {
	o := objects.Options{Store: cfg.Documents.Outside()}
	if s := &cfg.Documents.S3; s.Endpoint != "" {
		o.S3 = &s3.Options{Endpoint: s.Endpoint, Region: s.Region, VirtualHosts: s.VirtualHosts, Keys: s3.Keys{ID: s.AccessKey, Secret: string(s.SecretKey)}}
	}
	return objects.New(o)
}

// newSweeper returns the part that deletes objects that no document has.
func (w *workplace) newSweeper(m *metrics.Metrics) (lifecycle.Part, error) {
	keeper, err := newKeeper(w.cfg)
	if err != nil {
		return lifecycle.Part{}, err
	}
	sweeper := &documents.Sweeper{Leftovers: w.store.Documents, Objects: keeper, Logger: w.log, Seen: m.SeeLeftovers}
	return lasting("the deletion of objects", sweeper.Run), nil
}

// newClerk has the configured formats be owed of each invoice, and returns the part that makes what is owed.
func (w *workplace) newClerk(ctx context.Context, m *metrics.Metrics) (lifecycle.Part, error) {
	formats := make([]document.Format, len(w.cfg.Documents.Render))
	for i, name := range w.cfg.Documents.Render {
		formats[i] = document.Format(name)
	}
	maker, err := newMaker(w.cfg, w.store)
	if err != nil {
		return lifecycle.Part{}, err
	}
	if err := w.store.Documents.Configure(ctx, formats); err != nil {
		return lifecycle.Part{}, err
	}
	clerk := &documents.Worker{Maker: maker, Debts: w.store.Documents, Logger: w.log, Made: m.ObserveDocument, Seen: m.SeeDocuments}
	return lasting("the making of documents", clerk.Run), nil
}

// checkDocuments returns what is wrong with the profile and the formats that go together.
func checkDocuments(cfg *config.Config) []config.Problem {
	profile := document.Profile(cfg.Documents.Profile)
	var problems []config.Problem
	for _, name := range cfg.Documents.Render {
		if f := document.Format(name); f == document.AsUBL && !profile.HasUBL() || f == document.AsCII && !profile.HasCII() {
			problems = append(problems, config.Problem{Key: "documents.render", Message: fmt.Sprintf("has %s, which the profile %s (documents.profile) doesn't know", name, profile)})
		}
	}
	return problems
}
