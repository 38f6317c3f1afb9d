package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// copies returns two folders with the product's files, as two people's checkouts, whose paths differ in length.
func copies(t *testing.T) (one, two source) {
	t.Helper()
	if testing.Short() {
		t.Skip("it compiles the program several times")
	}
	listed := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	listed.Dir = "../.."
	names, err := listed.Output()
	must(t, err)
	in := func(folder string) source {
		for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
			content, err := os.ReadFile(filepath.Join("../..", name))
			if errors.Is(err, os.ErrNotExist) {
				continue // deleted, and not committed yet
			}
			must(t, err)
			to := filepath.Join(folder, name)
			must(t, os.MkdirAll(filepath.Dir(to), 0o755))
			info, err := os.Stat(filepath.Join("../..", name))
			must(t, err)
			must(t, os.WriteFile(to, content, info.Mode()))
		}
		return source{root: folder, version: "v1.2.3", revision: strings.Repeat("ab", 20), time: time.Unix(1764500000, 0).UTC()}
	}
	return in(filepath.Join(t.TempDir(), "a")), in(filepath.Join(t.TempDir(), "another/much-longer path"))
}

// TestHeavyRelease builds a release twice, in different folders, and compares all bytes; and then looks whether it is what it ought to be.
// It builds for Linux alone, since compiling for four platforms takes ten minutes.
func TestHeavyRelease(t *testing.T) {
	t.Parallel()
	one, two := copies(t)
	first, second := t.TempDir(), t.TempDir()
	must(t, writeRelease(t.Context(), one, first, io.Discard, imagePlatforms))
	must(t, writeRelease(t.Context(), two, second, io.Discard, imagePlatforms))
	entries, err := os.ReadDir(first)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		a, err := os.ReadFile(filepath.Join(first, e.Name()))
		must(t, err)
		b, err := os.ReadFile(filepath.Join(second, e.Name()))
		must(t, err)
		if !bytes.Equal(a, b) {
			t.Errorf("%s is another one each time", e.Name())
		}
	}
	if want := []string{
		"SHA256SUMS", "invoicer_1.2.3_amd64.deb", "invoicer_1.2.3_arm64.deb",
		"invoicer_v1.2.3_linux_amd64.cdx.json", "invoicer_v1.2.3_linux_amd64.tar.gz", "invoicer_v1.2.3_linux_arm64.cdx.json", "invoicer_v1.2.3_linux_arm64.tar.gz",
	}; !slices.Equal(names, want) {
		t.Errorf("the release has %q", names)
	}
	shell(t, first, "sha256sum --check --strict SHA256SUMS")
	binaries := documented(t, "Binaries")
	if said := shell(t, first, strings.ReplaceAll(binaries, "amd64", runtime.GOARCH)); !strings.Contains(said, "invoicer v1.2.3 (abababababab, ") {
		t.Errorf("docs/install.md has %s, which says %s", binaries, said)
	}
	must(t, os.RemoveAll(filepath.Join(first, "invoicer_v1.2.3_linux_"+runtime.GOARCH)))

	lookAtArchive(t, one, first)
	lookAtPackage(t, first)
}

// documented returns the commands of a section of docs/install.md that can be run here.
func documented(t *testing.T, title string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/install.md")
	must(t, err)
	_, section, _ := strings.Cut(string(page), "\n## "+title+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, block, found := strings.Cut(section, "```sh\n")
	if !found {
		t.Fatalf("docs/install.md has no commands for %q", title)
	}
	block, _, _ = strings.Cut(block, "```")
	return block
}

// shell runs a script in a folder, with more variables.
func shell(t *testing.T, folder, script string, environ ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sh", "-euc", script)
	c.Dir, c.Env = folder, append(os.Environ(), append(environ, "MAKEFLAGS=", "MAKELEVEL=")...)
	said, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, said)
	}
	return string(said)
}

func lookAtArchive(t *testing.T, s source, folder string) {
	t.Helper()
	name := "invoicer_v1.2.3_linux_" + runtime.GOARCH
	unpacked := t.TempDir()
	shell(t, folder, "tar -xzf "+name+".tar.gz -C "+unpacked)
	program := filepath.Join(unpacked, name, "invoicer")

	var said map[string]any
	must(t, json.Unmarshal([]byte(shell(t, unpacked, program+" version --json")), &said))
	if said["version"] != "v1.2.3" || said["revision"] != s.revision || said["revision_time"] != "2025-11-30T10:53:20Z" || said["modified"] != false {
		t.Errorf("the program says that it is %v", said)
	}
	binary, err := elf.Open(program)
	must(t, err)
	defer binary.Close()
	for _, p := range binary.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the program needs a dynamic linker")
		}
	}
	content, err := os.ReadFile(program)
	must(t, err)
	modules := shell(t, s.root, "go env GOMODCACHE")
	for _, path := range []string{s.root, strings.TrimSpace(modules), os.Getenv("HOME") + "/"} {
		if bytes.Contains(content, []byte(path)) {
			t.Errorf("the program has a path of this machine in it: %s", path)
		}
	}
	for _, page := range []string{"invoicer.1", "invoicer-worker.1", "invoicer-health.1", "invoicer-migrate-up.1"} {
		text, err := os.ReadFile(filepath.Join(unpacked, name, "man/man1", page))
		must(t, err)
		for _, want := range []string{".SH SYNOPSIS", `"Nov 2025" "invoicer v1.2.3"`} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q: %.300s", page, want, text)
			}
		}
	}

	// Whatever is linked has its terms, and is in the bill of materials.
	terms, err := os.ReadFile(filepath.Join(unpacked, name, "THIRD-PARTY-LICENCES.txt"))
	must(t, err)
	bill, err := os.ReadFile(filepath.Join(folder, name+".cdx.json"))
	must(t, err)
	var listed struct {
		Metadata struct {
			Timestamp string
			Component struct{ Version string }
		}
		Components []struct{ Name, Version string }
	}
	must(t, json.Unmarshal(bill, &listed))
	if listed.Metadata.Component.Version != "v1.2.3" || listed.Metadata.Timestamp != "2025-11-30T10:53:20Z" {
		t.Errorf("the SBOM is of %+v", listed.Metadata)
	}
	built, err := buildinfo.ReadFile(program)
	must(t, err)
	if len(built.Deps) < 40 {
		t.Errorf("only %d modules are linked", len(built.Deps))
	}
	for _, m := range built.Deps {
		if !strings.Contains(string(terms), "\n"+m.Path+" "+m.Version+"\n") {
			t.Errorf("the terms of %s aren't there", m.Path)
		}
		if !slices.ContainsFunc(listed.Components, func(c struct{ Name, Version string }) bool { return c.Name == m.Path && c.Version == m.Version }) {
			t.Errorf("%s isn't in the SBOM", m.Path)
		}
	}
	for _, want := range []string{"\nGo and its standard library go", "Copyright 2009 The Go Authors", "Permission is hereby granted, free of charge", "Apache License", "react"} {
		if !strings.Contains(string(terms), want) {
			t.Errorf("the terms lack %q", want)
		}
	}
	if strings.Contains(string(terms), "md2man") {
		t.Error("there are terms of what only the manual is made with")
	}
}

func lookAtPackage(t *testing.T, folder string) {
	t.Helper()
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Log("there is no dpkg-deb: the packages aren't looked at")
		return
	}
	name := filepath.Join(folder, "invoicer_1.2.3_"+runtime.GOARCH+".deb")
	unpacked := t.TempDir()
	about := shell(t, unpacked, "dpkg-deb --info "+name)
	for _, want := range []string{"Package: invoicer", "Version: 1.2.3", "Architecture: " + runtime.GOARCH, "conffiles", "md5sums", "postinst", "prerm", "postrm"} {
		if !strings.Contains(about, want) {
			t.Errorf("the package lacks %q:\n%s", want, about)
		}
	}
	listed := shell(t, unpacked, "dpkg-deb --contents "+name)
	for _, want := range []string{
		`-rwxr-xr-x root/root +\d+ \S+ \S+ ./usr/bin/invoicer\n`, `-rw-r--r-- root/root +\d+ \S+ \S+ ./usr/lib/systemd/system/invoicer.service\n`,
		`-rw------- root/root +\d+ \S+ \S+ ./etc/invoicer/invoicer.env\n`, `./usr/share/man/man1/invoicer-worker.1.gz\n`, `./usr/share/doc/invoicer/copyright\n`,
	} {
		if !regexp.MustCompile(want).MatchString(listed) {
			t.Errorf("the package lacks %s", want)
		}
	}
	shell(t, unpacked, "dpkg-deb --raw-extract "+name+" x && cd x && md5sum --check --quiet DEBIAN/md5sums && for script in postinst prerm postrm; do sh -n DEBIAN/$script; done && ./usr/bin/invoicer version")
	if said := shell(t, unpacked, "dpkg --compare-versions "+source{version: "v1.2.3-rc1"}.debianVersion()+" lt 1.2.3 && echo older"); said != "older\n" {
		t.Errorf("a candidate is %q", said)
	}
	installPackage(t, name)
	lookAtUnit(t, filepath.Join(unpacked, "x/usr/lib/systemd/system/invoicer.service"))
}

// installPackage has dpkg install, upgrade, remove and purge the package, in a folder of its own. What was written into the file with the
// passwords outlives an upgrade and a removal.
func installPackage(t *testing.T, name string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Log("only root can install a package: it isn't installed")
		return
	}
	folder := t.TempDir()
	dpkg := "dpkg --root=" + folder + " --log=/dev/null --force-script-chrootless "
	shell(t, folder, "mkdir -p var/lib/dpkg/info var/lib/dpkg/updates var/lib/dpkg/triggers && touch var/lib/dpkg/status var/lib/dpkg/available")
	said := shell(t, folder, dpkg+"--install "+name+" && ./usr/bin/invoicer version && echo SECRET=1 >> etc/invoicer/invoicer.env && "+dpkg+"--install "+name)
	if !strings.Contains(said, "invoicer v1.2.3") {
		t.Errorf("the installation says %s", said)
	}
	if left := shell(t, folder, dpkg+"--remove invoicer >/dev/null && find . -type f -not -path './var/*' && cat etc/invoicer/invoicer.env"); !strings.HasPrefix(left, "./etc/invoicer/invoicer.env\n") || !strings.HasSuffix(left, "\nSECRET=1\n") {
		t.Errorf("a removal leaves %s", left)
	}
	if left := shell(t, folder, dpkg+"--purge invoicer >/dev/null && find . -type f -not -path './var/*'"); left != "" {
		t.Errorf("a purge leaves %s", left)
	}
}

// lookAtUnit has systemd judge the unit, as docs/install.md says.
func lookAtUnit(t *testing.T, unit string) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("there is no systemd-analyze: the unit isn't looked at")
		return
	}
	folder := filepath.Dir(unit)
	text, err := os.ReadFile(unit)
	must(t, err)
	program := filepath.Join(folder, "../../../bin/invoicer") // the one that was unpacked, since none is installed
	must(t, os.WriteFile(unit, bytes.Replace(text, []byte("/usr/bin/invoicer"), []byte(program), 1), 0o600))
	if said := shell(t, folder, "systemd-analyze verify --man=no ./invoicer.service"); said != "" {
		t.Errorf("systemd finds: %s", said)
	}
	said := shell(t, folder, "systemd-analyze security --offline=true --no-pager ./invoicer.service")
	if said := shell(t, "../..", documented(t, "Debian package")); !strings.Contains(said, "Overall exposure level") {
		t.Errorf("docs/install.md has what says %s", said)
	}
	figure := regexp.MustCompile(`Overall exposure level for invoicer.service: ([0-9.]+)`).FindStringSubmatch(said)
	page, err := os.ReadFile("../../docs/install.md")
	must(t, err)
	if figure == nil || !strings.Contains(string(page), "**"+figure[1]+"**") {
		t.Errorf("docs/install.md doesn't have %q", figure)
	}
}

// Whatever the order in which files are given, and whoever builds, an archive is the same, and says that root owns all.
func TestArchives(t *testing.T) {
	t.Parallel()
	at := time.Unix(1764500000, 0)
	a, b := file{name: "x/a", mode: 0o644, content: []byte("A")}, file{name: "b", mode: 0o755, content: []byte("B")}
	first, err := tarGz(at, "p/", a, b)
	must(t, err)
	second, err := tarGz(at, "p/", b, a)
	must(t, err)
	if !bytes.Equal(first, second) {
		t.Error("the order of files changes the archive")
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(first))
	must(t, err)
	var got []string
	for archive := tar.NewReader(unzipped); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		got = append(got, h.Name)
		if h.Uid != 0 || h.Gid != 0 || !h.ModTime.Equal(at) {
			t.Errorf("%s: %+v", h.Name, h)
		}
	}
	if want := []string{"p/b", "p/x/", "p/x/a"}; !slices.Equal(got, want) {
		t.Errorf("the archive has %q, want %q", got, want)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"deb"}, {"image", "more"}, {"release", "-push", "x"}, {"release", "-version", "../x"}, {"image", "-version", "v1 2"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); !errors.As(err, new(usageError)) {
			t.Errorf("%q: %v", args, err)
		}
	}
	if err := run(t.Context(), []string{"image", "-root", t.TempDir()}, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "isn't the product's folder") {
		t.Errorf("elsewhere: %v", err)
	}
}
