package programs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakes is a machine made of fake programs: nothing is installed on the real one. A fake redis-server "installed" by a
// fake apt-get is a file in the folder that is on PATH.
type fakes struct {
	path, root, log string
}

func newFakes(t *testing.T) *fakes {
	t.Helper()
	folder := t.TempDir()
	f := &fakes{path: folder + "/bin", root: folder + "/root", log: folder + "/log"}
	for _, directory := range []string{f.path, f.root + "/usr/sbin", f.root + "/etc"} {
		if err := os.MkdirAll(directory, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, tool := range []string{"sh", "tr", "sed", "grep", "mv", "rm", "rmdir", "mkdir", "chmod", "cat"} {
		path, err := exec.LookPath(tool)
		if err == nil {
			err = os.Symlink(path, filepath.Join(f.path, tool))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// add puts a program on PATH that notes its arguments and then does as the body says.
func (f *fakes) add(t *testing.T, name, body string) {
	t.Helper()
	text := fmt.Sprintf("#!/bin/sh\necho \"%s $*\" >>%s\n%s\n", name, f.log, body)
	if err := os.WriteFile(filepath.Join(f.path, name), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// addApt adds the package manager and what Debian's machines have beside it.
func (f *fakes) addApt(t *testing.T) {
	t.Helper()
	f.add(t, "apt-get", `case " $* " in
		*' install '*)
			cat $INSTALL_ROOT/usr/sbin/policy-rc.d $INSTALL_ROOT/etc/postgresql-common/createcluster.d/* >>`+f.log+`
			echo >`+f.path+`/redis-server
			chmod 755 `+f.path+`/redis-server ;;
		esac`)
	f.add(t, "deb-systemd-helper", "")
	f.add(t, "update-rc.d", "")
}

func (f *fakes) command(t *testing.T, environment ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), f.path+"/sh", "install.sh", "redis-server")
	c.Env = append([]string{"PATH=" + f.path, "INSTALL_ROOT=" + f.root}, environment...)
	return c
}

// did returns what the fake programs noted.
func (f *fakes) did(t *testing.T) string {
	t.Helper()
	log, err := os.ReadFile(f.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(log)
}

const (
	asRoot   = "echo 0"
	asPerson = "echo 1000"
)

func TestInstallAsRootWithoutTerminal(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.addApt(t)
	f.add(t, "id", asRoot)
	policy := f.root + "/usr/sbin/policy-rc.d"
	if err := os.WriteFile(policy, []byte("what was there"), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := f.command(t).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	did := f.did(t)
	for _, want := range []string{
		"apt-get -qq update",
		"install --no-install-recommends redis-server",
		"exit 101",                    // no service may be started meanwhile
		"create_main_cluster = false", // no cluster may be made meanwhile
		"deb-systemd-helper disable redis-server.service",
	} {
		if !strings.Contains(did, want) {
			t.Errorf("no %q in:\n%s", want, did)
		}
	}
	if got, err := os.ReadFile(policy); string(got) != "what was there" {
		t.Errorf("policy-rc.d is now %q, %v", got, err)
	}
	if entries, err := os.ReadDir(f.root + "/etc"); err != nil || len(entries) > 0 {
		t.Errorf("in /etc are %v, %v; want what was there before: nothing", entries, err)
	}
	// Once more, with nothing to do.
	if output, err := f.command(t).CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("second time: %v: %s", err, output)
	}
	if f.did(t) != did {
		t.Errorf("the second time it did more: %s", f.did(t))
	}
}

// What an installation that was killed left must not be taken for the machine's own.
func TestInstallAfterAKilledOne(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.addApt(t)
	f.add(t, "id", asRoot)
	policy := f.root + "/usr/sbin/policy-rc.d"
	for name, content := range map[string]string{
		policy:                      "#!/bin/sh\n# put here for invoicer\nexit 101\n",
		policy + ".before-invoicer": "what was there",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if output, err := f.command(t).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if got, err := os.ReadFile(policy); string(got) != "what was there" {
		t.Errorf("policy-rc.d is now %q, %v", got, err)
	}
}

func TestInstallFails(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.add(t, "id", asRoot)
	f.add(t, "apt-get", `case " $* " in *' install '*) exit 100 ;; esac`)
	output, err := f.command(t).CombinedOutput()
	if err == nil || !strings.Contains(string(output), "apt-get install --no-install-recommends redis-server") {
		t.Errorf("%v: %s; want a failure with the command to type", err, output)
	}
	for _, folder := range []string{"/usr/sbin", "/etc"} {
		if entries, err := os.ReadDir(f.root + folder); err != nil || len(entries) > 0 {
			t.Errorf("in %s are %v, %v", folder, entries, err)
		}
	}
}

func TestInstallAsPersonWithoutTerminal(t *testing.T) {
	t.Parallel()
	for manager, want := range map[string]string{
		"apt-get": "sudo apt-get update && sudo apt-get install --no-install-recommends redis-server",
		"dnf":     "sudo dnf install redis",
		"apk":     "sudo apk add redis",
		"brew":    "brew install redis",
		"":        "your system's package manager",
	} {
		t.Run("with "+manager, func(t *testing.T) {
			t.Parallel()
			f := newFakes(t)
			f.add(t, "id", asPerson)
			f.add(t, "sudo", "exit 1")
			if manager != "" {
				f.add(t, manager, "")
			}
			output, err := f.command(t).CombinedOutput()
			if err == nil || !strings.Contains(string(output), want) {
				t.Errorf("%v: %s; want a failure with %q", err, output, want)
			}
			if did := f.did(t); strings.Contains(did, "install") || strings.Contains(did, "sudo") {
				t.Errorf("it did %s", did)
			}
		})
	}
}

func TestInstallInCIAsPerson(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.addApt(t)
	f.add(t, "id", asPerson)
	f.add(t, "sudo", `shift; exec "$@"`)
	if output, err := f.command(t, "CI=true").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if did := f.did(t); !strings.Contains(did, "sudo -n sh install.sh --install apt-get redis-server") {
		t.Errorf("it did %s", did)
	}
}

// What a person is told to type names one package for each program with every package manager.
func TestPrintedCommand(t *testing.T) {
	t.Parallel()
	for manager, want := range map[string]string{
		"apt-get": "apt-get update && apt-get install --no-install-recommends redis-server postgresql pgbouncer gcc libc6-dev chromium prometheus python3-requests nodejs default-jdk-headless curl postgresql-client qpdf poppler-utils",
		"dnf":     "dnf install redis postgresql-server pgbouncer gcc chromium golang-github-prometheus python3-requests nodejs java-latest-openjdk-devel curl postgresql qpdf poppler-utils",
		"apk":     "apk add redis postgresql pgbouncer gcc musl-dev chromium prometheus py3-requests nodejs openjdk21-jdk curl postgresql-client qpdf poppler-utils",
		"brew":    "brew install redis postgresql@17 pgbouncer gcc chromium prometheus python node openjdk curl libpq qpdf poppler",
	} {
		f := newFakes(t)
		f.add(t, "id", asRoot)
		f.add(t, manager, "")
		c := f.command(t)
		c.Args = append(c.Args[:2], "--print", "redis-server", "postgres", "pgbouncer", "cc", "chromium", "prometheus", "requests", "node", "java", "curl", "psql", "qpdf")
		if output, err := c.Output(); err != nil || strings.TrimSpace(string(output)) != want {
			t.Errorf("%q, %v; want %q", output, err, want)
		}
	}
}
