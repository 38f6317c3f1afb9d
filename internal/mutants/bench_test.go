package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVerdicts(t *testing.T) {
	t.Parallel()
	const failed = `{"Action":"fail","Package":"p","Test":"TestA/b"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestA"}` + "\n"
	const late = `{"Action":"output","Package":"p","Output":"panic: test timed out after 1m0s\n"}` + "\n" + failed
	for _, c := range []struct {
		name, events string
		code         int
		hangs        bool
		want         verdict
		by           []string
	}{
		{name: "a red test", events: failed, code: 1, want: caught, by: []string{"TestA/b"}},
		{name: "green tests", events: `{"Action":"pass","Package":"p","Test":"TestA"}`, want: survived},
		{name: "no test at all", events: `{"Action":"pass","Package":"p"}`, want: survived},
		{name: "it doesn't compile", events: `{"ImportPath":"p","Action":"build-fail"}` + "\n" + `{"Action":"fail","Package":"p","FailedBuild":"p"}`, code: 1, want: uncompiled},
		{name: "a hang", events: late, code: 1, want: outOfTime},
		{name: "a hang that was foreseen", events: late, code: 1, hangs: true, want: caught, by: []string{"TestA (hangs)"}},
		{name: "no server", events: `{"Action":"fail","Package":"p"}`, code: 1, want: notExamined},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			told := read(bytes.NewBufferString(c.events))
			told.code = c.code
			r := result{mutant: &mutant{tests: []string{"TestA"}, hangs: c.hangs}}
			r.judge(told)
			if r.verdict != c.want {
				t.Errorf("verdict %q, want %q", r.verdict, c.want)
			}
			if diff := cmp.Diff(c.by, r.by); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPatternsMatchExactly(t *testing.T) {
	t.Parallel()
	if got, want := matching([]string{"TestA", "TestB/a_(b),_c"}), `^TestA$|^TestB$/^a_\(b\),_c$`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for want, calls := range map[int][][]string{
		0: {{"-list"}, {"-list", "-markdown", "-run", "token"}, {"-h"}},
		2: {{"-run", "("}, {"-run", "no such mutant"}, {"-parallel", "0"}, {"./..."}, {"-nonsense"}},
	} {
		for _, args := range calls {
			var stdout, stderr bytes.Buffer
			if got := run(context.Background(), args, &stdout, &stderr); got != want {
				t.Errorf("%q: exit code %d, want %d; %s", args, got, want, stderr.String())
			}
		}
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-list", "-json", "-run", "^SET without NX$"}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	var rows []map[string]any
	if err := json.Unmarshal(stdout.Bytes(), &rows); err != nil || len(rows) != 1 || rows[0]["promise"] != 5.0 {
		t.Errorf("%v, error %v", rows, err)
	}
	if strings.Contains(stdout.String(), "verdict") {
		t.Error("a mutant that wasn't tried has a verdict")
	}
}
