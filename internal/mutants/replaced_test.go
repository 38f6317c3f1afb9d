package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A mutant of a function that a later migration has replaced tests nothing: what runs is the newest one.
func TestMutantsChangeTheNewestFunctions(t *testing.T) {
	t.Parallel()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(root, "migrations", "*.sql"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d migrations, %v", len(paths), err)
	}
	slices.Sort(paths) // their names begin with their numbers
	texts, all := make(map[string]string), make(map[string][]definition)
	newest := make(map[string]string) // the file that defines a function or trigger last
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file := "migrations/" + filepath.Base(path)
		texts[file], _, _ = strings.Cut(string(text), "\n-- +goose Down\n")
		all[file] = definitions(texts[file])
		for _, d := range all[file] {
			newest[d.name] = file
		}
	}
	within := 0
	for _, m := range mutants() {
		for _, c := range m.changes {
			begin := strings.Index(texts[c.file], c.old)
			for _, d := range all[c.file] {
				if begin+len(c.old) <= d.begin || d.end <= begin {
					continue
				}
				within++
				if newest[d.name] != c.file {
					t.Errorf("%q changes the %s of %s, which %s replaces", m.name, d.name, c.file, newest[d.name])
				}
			}
		}
	}
	if within < 40 {
		t.Errorf("only %d changes are within a function or a trigger: are they found at all?", within)
	}
}

// A definition is a statement of a migration that defines a function or a trigger.
type definition struct {
	name       string
	begin, end int
}

// definitions returns those of the text that applies a migration.
func definitions(text string) (all []definition) {
	begins := regexp.MustCompile(`(?m)^CREATE (?:OR REPLACE )?(?:CONSTRAINT )?(FUNCTION|TRIGGER) (\w+)`)
	quote := regexp.MustCompile(`\$\w*\$`)
	for _, at := range begins.FindAllStringSubmatchIndex(text, -1) {
		ends := func(from int) int { return from + strings.Index(text[from:], ";\n") + len(";\n") }
		begin := at[0]
		end := ends(begin)
		if mark := quote.FindString(text[begin:end]); mark != "" {
			opened := begin + strings.Index(text[begin:], mark) + len(mark)
			end = ends(opened + strings.Index(text[opened:], mark))
		}
		all = append(all, definition{strings.ToLower(text[at[2]:at[3]]) + " " + text[at[4]:at[5]], begin, end})
	}
	return all
}

func TestDefinitions(t *testing.T) {
	t.Parallel()
	const (
		plain  = "CREATE FUNCTION plain(name text) RETURNS text LANGUAGE sql AS\n    'SELECT name';\n"
		quoted = "CREATE OR REPLACE FUNCTION quoted() RETURNS text LANGUAGE plpgsql AS $f$\nBEGIN\n    RETURN $$;\n$$;\nEND $f$ STABLE;\n"
		fires  = "CREATE CONSTRAINT TRIGGER fires AFTER INSERT ON a\n    FOR EACH ROW EXECUTE FUNCTION quoted();\n"
	)
	text := "SELECT 1;\n" + plain + "-- a comment\n" + quoted + "SELECT 2;\n" + fires + "SELECT 3;\n"
	want := []string{"function plain: " + plain, "function quoted: " + quoted, "trigger fires: " + fires}
	var got []string
	for _, d := range definitions(text) {
		got = append(got, d.name+": "+text[d.begin:d.end])
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
