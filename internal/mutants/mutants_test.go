package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Whoever changes code that a mutant is about learns of it here, and not only from the full run.
func TestMutantsFitTheCode(t *testing.T) {
	t.Parallel()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range mutants() {
		if names[m.name] {
			t.Errorf("%s: the name is given twice", m.name)
		}
		names[m.name] = true
		files, err := m.apply(root)
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		if len(files) == 0 {
			t.Errorf("%s: it changes nothing", m.name)
		}
		for file := range files {
			if strings.HasSuffix(file, "_test.go") {
				t.Errorf("%s: it changes a test, %s", m.name, file)
			}
		}
	}
}

func TestEveryPromiseAndHazardHasAMutant(t *testing.T) {
	t.Parallel()
	promises, met := map[promise]bool{}, map[hazard]bool{}
	for _, m := range mutants() {
		if m.promise < one || m.promise > lastPromise {
			t.Errorf("%s: promise %d is none", m.name, m.promise)
		}
		promises[m.promise] = true
		if m.hazard != "" {
			met[m.hazard] = true
		}
	}
	for p := one; p <= lastPromise; p++ {
		if !promises[p] {
			t.Errorf("no mutant breaks promise %s", p)
		}
	}
	for _, h := range hazards() {
		if !met[h] {
			t.Errorf("no mutant gives way to: %s", h)
		}
		delete(met, h)
	}
	for h := range met {
		t.Errorf("not among the hazards: %s", h)
	}
}

// Subtests get their names when they run, so of these the full run has to tell.
func TestNamedTestsExist(t *testing.T) {
	t.Parallel()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for _, m := range mutants() {
		if len(m.tests) == 0 {
			t.Errorf("%s: no test is to catch it", m.name)
		}
		if declared[m.in] == nil {
			declared[m.in] = map[string]bool{}
			files, err := filepath.Glob(filepath.Join(root, m.in, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				content, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				for _, found := range function.FindAllStringSubmatch(string(content), -1) {
					declared[m.in][found[1]] = true
				}
			}
		}
		for _, name := range m.tests {
			if top, _, _ := strings.Cut(name, "/"); !declared[m.in][top] {
				t.Errorf("%s: %s has no %s", m.name, m.in, top)
			}
		}
	}
}
