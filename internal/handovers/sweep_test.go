//go:build unix

package handovers_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"invoicer/internal/handovers"
	"invoicer/internal/rig"
)

// left makes a folder as a process leaves it that was killed while a program ran.
func left(t *testing.T, below, name string, mode os.FileMode, age time.Duration) string {
	t.Helper()
	folder := filepath.Join(below, name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "INV-1.xml"), []byte("<Invoice/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, mode); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(folder, at, at); err != nil {
		t.Fatal(err)
	}
	return folder
}

// What a killed process left is removed, and nothing else, whoever has put it beside.
func TestSweep(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	tmp, elsewhere := t.TempDir(), t.TempDir()
	victim := left(t, elsewhere, "victim", 0o700, 3*day)
	old := left(t, tmp, "invoicer-handover-1", 0o700, 2*day)
	if err := os.Symlink(victim, filepath.Join(old, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(old, "made", "by", "the program"), 0o700); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-2 * day)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	stay := []string{
		"invoicer-handover-young", "invoicer-handover-open", "invoicer-other-1", "invoicer-handover-link", "invoicer-handover-file",
	}
	left(t, tmp, stay[0], 0o700, time.Hour)
	left(t, tmp, stay[1], 0o777, 2*day) // os.MkdirTemp makes none that is open to others
	left(t, tmp, stay[2], 0o700, 2*day)
	if err := os.Symlink(victim, filepath.Join(tmp, stay[3])); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tmp, stay[4]), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(tmp, stay[4]), past, past); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		const somebody = 12345
		stay = append(stay, "invoicer-handover-theirs")
		theirs := left(t, tmp, stay[len(stay)-1], 0o700, 2*day)
		if err := os.Chown(theirs, somebody, somebody); err != nil {
			t.Fatal(err)
		}
	} else {
		t.Log("NOT TESTED: the folder of another user, which takes root")
	}
	removed, err := handovers.Sweep(tmp, time.Now().Add(-day))
	if err != nil || removed != 1 {
		t.Errorf("%d folders are removed, and not 1: %v", removed, err)
	}
	entries, err := os.ReadDir(tmp)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if slices.Sort(stay); !slices.Equal(names, stay) {
		t.Errorf("these are left: %s", strings.Join(names, ", "))
	}
	if _, err := os.Stat(filepath.Join(victim, "INV-1.xml")); err != nil {
		t.Errorf("what a link leads to is gone: %v", err)
	}
}

// A worker sweeps the system's folder for temporary files, and lets alone what is in use.
func TestAWorkerSweeps(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	old, young := left(t, tmp, "invoicer-handover-1", 0o700, 25*time.Hour), left(t, tmp, "invoicer-handover-2", 0o700, 23*time.Hour)
	b := setup(t)
	b.work(t)
	rig.Eventually(t, "the folder to be removed", func() bool {
		_, err := os.Lstat(old)
		return os.IsNotExist(err)
	})
	if _, err := os.Lstat(young); err != nil {
		t.Error(err)
	}
}
