package programs

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	t.Parallel()
	found, err := Find(Redis, Postgres, PgBouncer)
	if err != nil {
		t.Fatal(err)
	}
	for program, path := range found {
		if info, err := os.Stat(path); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s: %s is no program: %v", program, path, err)
		}
	}
	initdb := filepath.Join(filepath.Dir(found[Postgres]), "initdb")
	if _, err := os.Stat(initdb); err != nil {
		t.Errorf("no initdb beside %s", found[Postgres])
	}
}

func TestFindOnPath(t *testing.T) {
	folder, links := t.TempDir(), t.TempDir()
	for _, name := range []string{"redis-server", "initdb", "postgres"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"redis-server", "initdb"} { // as some link initdb, but not the server
		if err := os.Symlink(filepath.Join(folder, name), filepath.Join(links, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", links)
	found, err := Find(Redis, Postgres)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := found[Redis], filepath.Join(links, "redis-server"); got != want {
		t.Errorf("%s; want %s", got, want)
	}
	if got, want := found[Postgres], filepath.Join(folder, "postgres"); got != want {
		t.Errorf("%s; want %s, before any off PATH", got, want)
	}
}

func TestMissing(t *testing.T) {
	f := newFakes(t)
	f.add(t, "apt-get", "")
	f.add(t, "id", "echo 1000")
	t.Setenv("PATH", f.path)
	_, err := Find(Redis)
	var missing *MissingError
	if !errors.As(err, &missing) {
		t.Fatalf("%v; want a MissingError", err)
	}
	if !slices.Equal(missing.Programs, []Program{Redis}) {
		t.Errorf("missing %v", missing.Programs)
	}
	const want = "sudo apt-get update && sudo apt-get install --no-install-recommends redis-server"
	if missing.Command != want || !strings.Contains(err.Error(), want) {
		t.Errorf("command %q, error %q; want %q", missing.Command, err, want)
	}
}

func TestNewestVersionComesFirst(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		newer, older string
	}{
		{"/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/9.6/bin"},
		{"/usr/lib/postgresql/9.6/bin", "/usr/lib/postgresql/9.5/bin"},
		{"/usr/pgsql-17/bin", "/usr/pgsql-16/bin"},
		{"/opt/homebrew/opt/postgresql@14/bin", "/opt/homebrew/opt/postgresql/bin"},
	} {
		if version(test.newer) <= version(test.older) {
			t.Errorf("%s is not newer than %s", test.newer, test.older)
		}
	}
}

// The script looks for a server where this package does, or it would install one beside it.
func TestScriptKnowsTheSameFolders(t *testing.T) {
	t.Parallel()
	for _, folder := range postgresFolders() {
		if !strings.Contains(script, folder+"/initdb") {
			t.Errorf("install.sh doesn't look into %s", folder)
		}
	}
}
