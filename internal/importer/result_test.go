package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"invoicer/internal/term"
	"invoicer/invoice"
)

const goodJob = `{"transaction_id":"E%d","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":1}]}` + "\n"

// Twenty bad lines at the beginning that are alike stop it, before a good one is sent.
func TestAlikeAtTheBeginning(t *testing.T) {
	t.Parallel()
	good := func(n int) string { return fmt.Sprintf(goodJob, n) }
	bad := func(n int, other string) string {
		return strings.Replace(good(n), `"currency":"GBP"`, other, 1)
	}
	many := func(n int, line func(int) string) (all string) {
		for i := range n {
			all += line(i)
		}
		return all
	}
	noCurrency := func(n int) string { return bad(n, fmt.Sprintf(`"metadata":{"a":%d}`, n)) }
	for name, test := range map[string]struct {
		lines     string
		keepGoing bool
		stops     bool
		read      int
	}{
		"nineteen":                  {many(19, noCurrency) + good(0), false, false, 20},
		"twenty":                    {many(20, noCurrency) + good(0), false, true, 20},
		"twenty, keeping going":     {many(20, noCurrency) + good(0), true, false, 21},
		"after a good one":          {good(0) + many(30, noCurrency), false, false, 31},
		"after other ones":          {many(5, func(n int) string { return bad(n, `"currency":"GBP","zzz":1`) }) + many(30, noCurrency), false, true, 25},
		"others between":            {many(40, func(n int) string { return bad(n, fmt.Sprintf(`"currency":%d`, n)) + "[\n" }), false, false, 80},
		"numbers apart, and others": {many(30, func(n int) string { return strings.Repeat(" ", n) + "x\n" }), false, true, 20},
		"one line twenty times bad": {strings.Replace(good(0), `{"quantity":1,"unit_price":1}`, strings.Repeat("{},", 20)+"{}", 1), false, false, 1},
		"an array":                  {"[" + strings.ReplaceAll(many(25, noCurrency), "\n", ",") + "{}]", false, true, 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent := 0
			s := &Sender{Progress: &term.Progress{}, From: 1, Copies: 1, KeepGoing: test.keepGoing, Tell: func(r Result) error {
				if len(r.Problems) == 0 {
					sent++
				}
				return nil
			}}
			err := s.Run(t.Context(), strings.NewReader(test.lines))
			alike := new(AlikeError)
			if errors.As(err, &alike) != test.stops || err != nil && !test.stops || s.Lines != test.read || test.stops && (alike.Lines != 20 || sent > 0) {
				t.Errorf("%v after %d lines, of which %d are good; want %d lines, and an error: %t", err, s.Lines, sent, test.read, test.stops)
			}
		})
	}
}

// The first job to send is stated in the unit of the input.
func TestFirstToSend(t *testing.T) {
	t.Parallel()
	lines := fmt.Sprintf(goodJob, 1) + "\n" + fmt.Sprintf(goodJob, 3)
	array := "[" + strings.ReplaceAll(strings.TrimSpace(lines), "\n\n", ",") + "]"
	for name, test := range map[string]struct {
		input string
		from  int
		unit  Unit
		want  string
	}{
		"all lines":          {lines, 1, "", "line 1, line 3: <nil>"},
		"the last line":      {lines, 2, ByLine, "line 3: <nil>"},
		"behind the lines":   {lines, 4, ByLine, ": <nil>"},
		"beyond the lines":   {lines, 5, ByLine, ": there is no line 5: the input ends with line 3"},
		"lines, by job":      {lines, 2, ByJob, ": the input is counted by line"},
		"all of an array":    {array, 1, "", "job 1, line 1, job 2, line 1: <nil>"},
		"the last element":   {array, 2, ByJob, "job 2, line 1: <nil>"},
		"beyond the array":   {array, 4, ByJob, ": there is no job 4: the input ends with job 2"},
		"an array, by line":  {array, 2, ByLine, ": the input is counted by job"},
		"an empty one, by 9": {"[]", 9, ByLine, ": the input is counted by job"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var told []string
			s := &Sender{Progress: &term.Progress{}, From: test.from, FromUnit: test.unit, Copies: 1, Tell: func(r Result) error {
				told = append(told, r.Place())
				return nil
			}}
			err := s.Run(t.Context(), strings.NewReader(test.input))
			if got := fmt.Sprintf("%s: %v", strings.Join(told, ", "), err); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// What is sent of an array are the bytes of its elements. Where the array breaks off, what came before is sent, and the job to go on from is
// the one that broke.
func TestArrayIsSentAsItIs(t *testing.T) {
	t.Parallel()
	odd := "{ \"transaction_id\":\"\\u0041\",\n\"issued_at\":\"2010-12-01T08:26:00Z\",\"currency\":\"GBP\",\"lines\":[{\"quantity\":\"1e1\",\"unit_price\":2.50 }]}"
	twice := strings.Replace(odd, `"currency"`, `"currency":"GBP","currency"`, 1)
	var payloads []string
	var problems []invoice.Problem
	s := &Sender{
		Progress: &term.Progress{}, From: 1, Copies: 1,
		Deliver: func(_ context.Context, id string, payload []byte) (string, error) {
			payloads = append(payloads, string(payload))
			return id, nil
		},
		Await: func(context.Context, string, []byte) error { return nil }, // one at a time
		Tell: func(r Result) error {
			problems = append(problems, r.Problems...)
			return nil
		},
	}
	err := s.Run(t.Context(), io.MultiReader(strings.NewReader("["+odd+",\n"+twice+","+odd+", {"), strings.NewReader(strings.Repeat("x", 10))))
	if err == nil || !strings.HasPrefix(err.Error(), "job 4, line 5: ") || s.Resume() != 4 || s.Unit != ByJob {
		t.Errorf("%v, to go on from %s %d", err, s.Unit, s.Resume())
	}
	if len(payloads) != 2 || payloads[0] != odd || payloads[1] != odd {
		t.Errorf("sent %q", payloads)
	}
	if want := (invoice.Problem{Field: "currency", Message: "must not be given twice"}); len(problems) != 1 || problems[0] != want {
		t.Errorf("problems %v, want %v", problems, want)
	}
}
