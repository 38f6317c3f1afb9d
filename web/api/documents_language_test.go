package api_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"invoicer/web/api"
)

// Of a format there is one document in each language that a page speaks, however that is spelled, and whoever asks first.
func TestLanguagesOfDocuments(t *testing.T) {
	t.Parallel()
	l := newLinks(t, time.Hour)
	s := setup(t, func(o *api.Options) { o.Links = l })
	s.invoiced(t, "T1", `"version":2`, `"language":"de-DE"`)
	byLink := func(query string) reply {
		t.Helper()
		return s.ask(t, "", http.MethodGet, link(t, l, "", "INV-000001")+query, nil)
	}
	french := byLink("?language=fr-BE")
	if french.StatusCode != http.StatusOK || french.Header.Get("Content-Language") != "fr" || !s.Is(t, "SELECT copy FROM documents") {
		t.Errorf("in French, before there is an original: %d %v", french.StatusCode, french.Header)
	}
	german := s.document(t, "operator", "")
	if german.Header.Get("Content-Language") != "de" || !s.Is(t, "SELECT NOT copy FROM documents WHERE language = 'de'") {
		t.Errorf("the original: %d %v", german.StatusCode, german.Header)
	}
	for query, want := range map[string]reply{
		"": german, "?language=de": german, "?language=DE": german, "?language=de-DE": german, "?language=deu": german, "?language=de-Latn-DE": german,
		"?language=fr": french, "?language=FR-fr": french, "?language=fr-x-y": french,
	} {
		for who, r := range map[string]reply{"by a link": byLink(query), "by the number": s.document(t, "operator", query)} {
			if !bytes.Equal(r.body, want.body) {
				t.Errorf("%s%s: another document: %d %v", who, query, r.StatusCode, r.Header)
			}
		}
	}
	for _, unknown := range []string{"tlh", "pt-BR", "en-aaaaa", "en-aaaab", "xx-zzzzzzzz", "xx"} {
		for who, r := range map[string]reply{"by a link": byLink("?language=" + unknown), "by the number": s.document(t, "operator", "?language="+unknown)} {
			p := into[api.ProblemError](t, r, http.StatusUnprocessableEntity)
			if len(p.Errors) != 1 || p.Errors[0].Parameter != "language" || !strings.Contains(p.Errors[0].Detail, "de-CH") || !strings.Contains(p.Errors[0].Detail, "sv") {
				t.Errorf("%s in %s: %+v", who, unknown, p)
			}
		}
	}
	if n := s.Count(t, "SELECT count(*) FROM documents"); n != 2 {
		t.Errorf("%d documents are kept", n)
	}
	if swiss := byLink("?language=de-CH"); bytes.Equal(swiss.body, german.body) || swiss.Header.Get("Content-Language") != "de-CH" {
		t.Errorf("numbers as in Switzerland: %d %v", swiss.StatusCode, swiss.Header)
	}
}

// What a job states that no page speaks, and no language, become English: one document, whoever asks for it in English.
func TestDocumentsThatBecomeEnglish(t *testing.T) {
	t.Parallel()
	for _, stated := range []string{"", "pt-BR"} {
		t.Run(stated, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.invoiced(t, "T1", `"version":2`, `"language":"`+stated+`"`)
			english := s.document(t, "operator", "?language=en")
			if r := s.document(t, "operator", ""); english.StatusCode != http.StatusOK || !bytes.Equal(r.body, english.body) || r.Header.Get("Content-Language") != "en" || s.Count(t, "SELECT count(*) FROM documents WHERE NOT copy") != 1 {
				t.Errorf("%d %v", r.StatusCode, r.Header)
			}
		})
	}
}
