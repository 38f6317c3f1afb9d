package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"invoicer/internal/seals"
)

// A State is how far an audit has come. It is written as JSON, and only this release reads it.
type State struct {
	Form     string    `json:"form"`
	Database string    `json:"database"` // its id
	Schema   string    `json:"schema"`
	Version  int64     `json:"version"` // of the schema
	TakenAt  time.Time `json:"taken_at"`
	Seals    int       `json:"seals"` // the newest of these, 0 for none
	Since    int       `json:"since"`
	Limit    int       `json:"limit"`

	Inquired []Check   `json:"inquired"` // the checks that are over
	Pass     *passed   `json:"pass"`     // nil before it has begun
	Counters []stopped `json:"counters"` // when the audit began: what came after that isn't looked at
}

// stateForm is another one whenever an earlier state can't be continued, such as with a new check.
const stateForm = "invoicer audit 1"

// A stopped is a counter as it was when the audit began.
type stopped struct {
	seals.Slot

	First, Last int64
}

// A passed is what is known after the pieces up to a position.
type passed struct {
	After  position
	Checks []Check // those of the pass, in the order of [pass.checks]

	Before   int64
	Newest   string
	End      chainEnd
	Unlinked int64

	Unsealed, Hashed int64
	Broken           bool
}

// An OtherStateError says that a state is of another audit, which can't be continued.
type OtherStateError struct{ What string }

func (e *OtherStateError) Error() string {
	return "the audit that was broken off was of another " + e.What + ": begin anew"
}

// beginState notes what the audit is of, or takes over what an earlier one has found.
func (s *session) beginState(ctx context.Context) (err error) {
	if s.options.Reached == nil && s.options.Continue == nil {
		return nil
	}
	s.state = State{Form: stateForm, Schema: s.options.Schema, Since: s.options.Since, Limit: s.options.Limit, TakenAt: s.takenAt}
	if s.options.Seals != nil {
		s.state.Seals = len(s.options.Seals.Seals())
	}
	if s.state.Database, err = s.databaseID(ctx); err != nil {
		return err
	}
	if err := s.tx.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied").Scan(&s.state.Version); err != nil {
		return err
	}
	before := s.options.Continue
	if before == nil {
		return nil
	}
	for _, one := range []struct {
		what      string
		different bool
	}{
		{"release", before.Form != stateForm},
		{"database", before.Database != s.state.Database},
		{"schema, or it was migrated", before.Schema != s.state.Schema || before.Version != s.state.Version},
		{"folder of seals, or it has new ones, or of another --since", before.Seals != s.state.Seals || before.Since != s.state.Since},
		{"--limit", before.Limit != s.state.Limit},
	} {
		if one.different {
			return &OtherStateError{one.what}
		}
	}
	s.state, s.continued = *before, true
	s.state.Inquired = slices.Clone(before.Inquired)
	for i := range s.state.Inquired {
		s.state.Inquired[i].limit = s.options.Limit
	}
	return nil
}

// continuedAt returns when the audit was continued, nil if it wasn't.
func (s *session) continuedAt() *time.Time {
	if !s.continued {
		return nil
	}
	return &s.takenAt
}

// reached tells how far the audit has come.
func (s *session) reached(p *pass) error {
	if s.options.Reached == nil {
		return nil
	}
	if p != nil {
		s.state.Pass = p.passed()
	}
	return s.options.Reached(&s.state)
}

// checks are those that a pass adds to.
func (p *pass) checks() []*Check {
	list := []*Check{&p.positions, &p.sums, &p.fingerprints, &p.chains.check, &p.numbers, &p.dates}
	if p.sealed != nil {
		list = append(list, &p.sealed.check)
	}
	return list
}

func (p *pass) passed() *passed {
	at := &passed{After: *p.after, Before: p.before, Newest: p.newest, End: p.chains.end, Unlinked: p.chains.unlinked}
	for _, check := range p.checks() {
		at.Checks = append(at.Checks, *check)
	}
	if p.sealed != nil {
		at.Unsealed, at.Hashed, at.Broken = p.sealed.report.Unsealed, p.sealed.report.Hashed, p.sealed.broken
	}
	return at
}

// resume goes on after what was read before.
func (p *pass) resume(at *passed) error {
	checks := p.checks()
	if len(at.Checks) != len(checks) {
		return fmt.Errorf("%d checks were broken off, not %d", len(at.Checks), len(checks))
	}
	for i, check := range checks {
		limit := check.limit
		*check = at.Checks[i]
		check.limit = limit
	}
	p.after = &at.After
	p.enter(at.After.slot())
	p.before, p.newest, p.chains.end, p.chains.unlinked = at.Before, at.Newest, at.End, at.Unlinked
	if p.sealed == nil {
		return nil
	}
	p.sealed.report.Unsealed, p.sealed.report.Hashed = at.Unsealed, at.Hashed
	p.sealed.slot, p.sealed.broken = at.After.slot(), at.Broken
	return p.sealed.skip(at.After)
}

// ReadState reads a state that was written as JSON.
func ReadState(text []byte) (*State, error) {
	s := &State{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, err
	}
	return s, nil
}
