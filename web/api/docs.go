package api

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html docs.css
var files embed.FS

// Description returns the API's description in OpenAPI 3.1, as JSON.
func (a *API) Description() ([]byte, error) {
	text, err := json.MarshalIndent(a.huma.OpenAPI(), "", "  ")
	return append(text, '\n'), err
}

// A described operation, for people.
type described struct {
	Method, Path, Tag, Summary, Text string
	Parameters                       []*huma.Param
	Bodies, Answers                  []string
}

// pages serves the description, for programs and for people.
func (a *API) pages() error {
	text, err := a.Description()
	if err != nil {
		return err
	}
	page, err := a.page()
	if err != nil {
		return err
	}
	style, err := files.ReadFile("docs.css")
	if err != nil {
		return err
	}
	for path, served := range map[string]struct {
		kind    string
		content []byte
	}{
		"openapi.json": {"application/openapi+json", text},
		"docs":         {"text/html; charset=utf-8", page},
		"docs.css":     {"text/css; charset=utf-8", style},
	} {
		pattern := "GET " + Prefix + path
		a.mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", served.kind)
			_, _ = w.Write(served.content) // the client may be gone
		})
		a.route("", pattern)
	}
	return nil
}

// page renders the description for people.
func (a *API) page() ([]byte, error) {
	document := a.huma.OpenAPI()
	var all []described
	for _, path := range slices.Sorted(maps.Keys(document.Paths)) {
		item := document.Paths[path]
		for _, op := range []*huma.Operation{item.Post, item.Get, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			d := described{Method: op.Method, Path: op.Path, Tag: op.Tags[0], Summary: op.Summary, Text: op.Description, Parameters: op.Parameters}
			if op.RequestBody != nil {
				for _, kind := range slices.Sorted(maps.Keys(op.RequestBody.Content)) {
					d.Bodies = append(d.Bodies, kind+": "+named(op.RequestBody.Content[kind].Schema))
				}
			}
			for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
				answer := status + " " + op.Responses[status].Description
				for _, kind := range slices.Sorted(maps.Keys(op.Responses[status].Content)) {
					answer += "; " + kind + ": " + named(op.Responses[status].Content[kind].Schema)
				}
				d.Answers = append(d.Answers, answer)
			}
			all = append(all, d)
		}
	}
	schemas := make(map[string]string)
	for name, schema := range document.Components.Schemas.Map() {
		text, err := json.MarshalIndent(schema, "", "  ")
		if err != nil {
			return nil, err
		}
		schemas[name] = string(text)
	}
	t, err := template.ParseFS(files, "docs.html")
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	err = t.Execute(&page, map[string]any{"Info": document.Info, "Operations": all, "Schemas": schemas})
	return page.Bytes(), err
}

// named returns a schema in a few words.
func named(s *huma.Schema) string {
	switch {
	case s == nil:
		return "anything"
	case s.Ref != "":
		return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
	case s.Items != nil:
		return "array of " + named(s.Items)
	case s.Description != "":
		return s.Description
	}
	return s.Type
}
