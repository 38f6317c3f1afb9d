package api

import (
	"mime"
	"slices"
	"strconv"
	"strings"

	"invoicer/invoice/document"
)

// chosen returns the first of the formats that a request takes best: by its Accept, whose parameter profile names a format, and by the format that it
// names, "" for any. ok is false if it takes none of them.
func chosen(formats []document.Format, accept, named string) (best document.Format, ok bool) {
	ranges := acceptable(accept)
	quality := 0.0
	for _, f := range formats {
		if named != "" && string(f) != named {
			continue
		}
		if q := qualityOf(ranges, f, formats, named != ""); q > quality {
			best, quality = f, q
		}
	}
	return best, quality > 0
}

// A mediaRange is a part of an Accept.
type mediaRange struct {
	kind    string // such as application/pdf, application/* or */*
	profile string // "" for any
	quality float64
}

// acceptable reads an Accept (RFC 9110). What can't be read is left out; nothing at all stands for everything.
func acceptable(accept string) []mediaRange {
	if strings.TrimSpace(accept) == "" {
		accept = "*/*"
	}
	var ranges []mediaRange
	for part := range strings.SplitSeq(accept, ",") {
		kind, parameters, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		r := mediaRange{kind: kind, profile: strings.ToLower(parameters["profile"]), quality: 1}
		if text, given := parameters["q"]; given {
			if r.quality, err = strconv.ParseFloat(text, 64); err != nil || !(r.quality >= 0 && r.quality <= 1) {
				continue
			}
		}
		ranges = append(ranges, r)
	}
	of := func(kind string) int {
		return slices.IndexFunc(ranges, func(r mediaRange) bool { return r.kind == kind && r.quality > 0 })
	}
	if page := of("text/html"); page >= 0 && of("*/*") >= 0 { // a browser, which asks for XML sooner than for a page, and shows the page
		ranges = append(ranges, mediaRange{kind: document.AsPDF.MediaType(), quality: ranges[page].quality})
	}
	return ranges
}

// qualityOf returns how gladly a format is taken: as the range says that fits it most closely. A media type without a profile stands for the first format
// of that type, unless the format is named beside it.
func qualityOf(ranges []mediaRange, f document.Format, formats []document.Format, named bool) (quality float64) {
	first := formats[slices.IndexFunc(formats, func(g document.Format) bool { return g.MediaType() == f.MediaType() })] == f
	closest := -1
	for _, r := range ranges {
		closeness := -1
		general, _, _ := strings.Cut(f.MediaType(), "/")
		switch {
		case r.profile != "" && r.profile != string(f):
		case r.kind == f.MediaType() && r.profile != "":
			closeness = 3
		case r.kind == f.MediaType() && (first || named):
			closeness = 2
		case r.kind == general+"/*" && (first || named):
			closeness = 1
		case r.kind == "*/*" && (first || named):
			closeness = 0
		}
		if closeness > closest {
			closest, quality = closeness, r.quality
		}
	}
	return quality
}
