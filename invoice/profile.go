package invoice

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// NoProfile is the profile by which nothing is judged.
const NoProfile = "none"

// A Judge knows what profiles ask for.
type Judge interface {
	// Lacks returns all for which a profile could never accept the document of a job, nil if there is nothing. What the job credits or
	// replaces counts as known, since it may become so. The issuer is nil if the job states its seller, or there is no issuer.
	Lacks(ctx context.Context, j *Job, profile string) ([]Lack, *KnownIssuer, error)
}

// A KnownIssuer is one version of what is known of an issuer.
type KnownIssuer struct{ Version int }

// A Lack is why a profile could never accept a document.
type Lack struct {
	Field   string // of the job, such as lines[3].exemption_reason
	Term    string // of EN 16931, such as BT-120
	Rule    string // that refuses it, such as BR-E-10
	Message string // to be read after the field
}

// String returns the lack as a sentence: buyer.name is missing (BT-44, BR-07).
func (l Lack) String() string {
	return fmt.Sprintf("%s %s (%s, %s)", l.Field, l.Message, l.Term, l.Rule)
}

// ProfileOf returns the profile by which documents of a series are judged, "" for none. The series may be nil.
func (s *Settings) ProfileOf(series *Series) string {
	profile := s.Profile
	if series != nil {
		profile = cmp.Or(series.Profile, profile)
	}
	if profile == NoProfile {
		return ""
	}
	return profile
}

// judge returns why a new document must not be made because of the profile of its series, nil if it may; and what was known of the seller
// then, if that mattered.
func (g *Generator) judge(ctx context.Context, j *Job, settings *Settings, series *Series) (judged *KnownIssuer, refused, err error) {
	profile := settings.ProfileOf(series)
	if profile == "" {
		return nil, nil, nil
	}
	lacks, judged, err := g.store.Lacks(ctx, j, profile)
	if err != nil || len(lacks) == 0 {
		return judged, nil, err
	}
	return judged, Lacking(j, profile, lacks), nil
}

// Judge returns an [*InvalidError] if the profile of its series could never accept the document of a job, and its transaction isn't invoiced.
// Where no series takes the job, or none is made yet, it is judged by its issuer's settings.
func (f *Forecaster) Judge(ctx context.Context, j *Job) error {
	g := f.generator
	totals, err := j.Calculate()
	if err != nil {
		return err
	}
	settings, err := g.settings(ctx, j)
	if err != nil {
		return err
	}
	name, _ := g.numbering.SeriesOf(j.Series, totals.Kind)
	series, err := g.store.Series(ctx, SeriesID{j.Issuer, name})
	if err != nil && !errors.Is(err, ErrNoSeries) {
		return err
	}
	_, refused, err := g.judge(ctx, j, settings, series)
	if err != nil || refused == nil {
		return err
	}
	existing, err := g.store.Find(ctx, j.Issuer, j.TransactionID, j.IdempotencyKey)
	if err != nil || existing != (Existing{}) {
		return err // a document that was made isn't judged again
	}
	return refused
}

// Lacking returns the [*InvalidError] of a job that lacks something for a profile: one problem for each field, which names all terms and rules.
// The job may become an invoice once another profile is set.
func Lacking(j *Job, profile string, lacks []Lack) error {
	var list []Problem
	if max(j.Version, j.NeededVersion()) < TaskVersion && slices.ContainsFunc(lacks, func(l Lack) bool { return !inVersion1(l.Field) }) {
		list = append(list, Problem{Field: "version", Message: fmt.Sprintf(
			"is 1, which can't state all that the profile %s asks for: send version 2 with the fields that are named here, or set another profile by `invoicer settings set` or `invoicer series set`", profile)})
	}
	at := make(map[string]int, len(lacks))
	for _, l := range lacks {
		text := fmt.Sprintf("%s (%s, %s; profile %s)", l.Message, l.Term, l.Rule, profile)
		if n, ok := at[l.Field]; ok {
			list[n].Message += "; " + text
			continue
		}
		at[l.Field] = len(list)
		list = append(list, Problem{Field: l.Field, Message: text})
	}
	return &InvalidError{Replayable: true, Problems: list}
}

// inVersion1 reports whether jobs of version 1 have a field.
func inVersion1(field string) bool {
	if of, found := strings.CutPrefix(field, "lines["); found {
		_, name, _ := strings.Cut(of, "].")
		return name == "" || slices.ContainsFunc(lineMembers, func(m member[Line]) bool { return m.name == name })
	}
	return slices.ContainsFunc(jobMembers, func(m member[Job]) bool { return m.name == field })
}
