package main

import (
	"bytes"
	"crypto/md5" //nolint:gosec // what dpkg wants; it protects against nothing
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// debianVersion is the version as dpkg compares it: with v1.2.3-rc1 before v1.2.3.
func (s source) debianVersion() string {
	return strings.Replace(strings.TrimPrefix(s.version, "v"), "-", "~", 1)
}

// debianPackage returns a package with the program, its unit for systemd, and its manual. It starts nothing: a worker needs to be told of
// its servers first.
func (s source) debianPackage(p platform, program file, parts documents) ([]byte, error) {
	data, err := s.debianFiles(program, parts)
	if err != nil {
		return nil, err
	}
	var size int
	var sums strings.Builder
	slices.SortFunc(data, func(a, b file) int { return strings.Compare(a.name, b.name) })
	for _, f := range data {
		size += len(f.content)
		if !strings.HasPrefix(f.name, "etc/") {
			fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(f.content), f.name) //nolint:gosec // see above
		}
	}
	control := fmt.Sprintf(`Package: invoicer
Version: %s
Architecture: %s
Maintainer: invoicer maintainers <maintainers@invoicer.example>
Installed-Size: %d
Section: admin
Priority: optional
Recommends: ca-certificates
Description: one invoice per transaction, numbered without a gap
 invoicer turns billing jobs into exactly one invoice for each transaction,
 however often and from however many processes it is asked for. It takes jobs
 from queues in Redis, and keeps invoices in PostgreSQL.
 .
 The service isn't started by the installation: tell it its servers in
 /etc/invoicer/invoicer.env first.
`, s.debianVersion(), p.arch, (size+1023)/1024)
	about := []file{
		{name: "control", mode: 0o644, content: []byte(control)},
		{name: "conffiles", mode: 0o644, content: []byte("/etc/invoicer/invoicer.env\n")},
		{name: "md5sums", mode: 0o644, content: []byte(sums.String())},
	}
	for name, script := range maintainerScripts {
		about = append(about, file{name: name, mode: 0o755, content: []byte("#!/bin/sh\nset -e\n" + script)})
	}
	controlArchive, err := tarGz(s.time, "./", about...)
	if err != nil {
		return nil, err
	}
	dataArchive, err := tarGz(s.time, "./", data...)
	if err != nil {
		return nil, err
	}
	return s.ar(member{"debian-binary", []byte("2.0\n")}, member{"control.tar.gz", controlArchive}, member{"data.tar.gz", dataArchive}), nil
}

// maintainerScripts have systemd read its units again, and stop the service before its program goes. An upgrade leaves running workers
// alone: they are restarted once the database is migrated, which the script says.
//
//nolint:gochecknoglobals // a constant list
var maintainerScripts = map[string]string{
	"postinst": `[ -d "$DPKG_ROOT/run/systemd/system" ] || exit 0
systemctl daemon-reload || :
if [ "$1" = configure ] && [ -n "$2" ] && systemctl --quiet is-active invoicer.service; then
	echo "invoicer: run 'invoicer migrate up', and then 'systemctl restart invoicer'" >&2
fi
`,
	"prerm": `if [ "$1" = remove ] && [ -d "$DPKG_ROOT/run/systemd/system" ]; then
	systemctl --quiet disable --now invoicer.service || :
fi
`,
	"postrm": `[ ! -d "$DPKG_ROOT/run/systemd/system" ] || systemctl daemon-reload || :
`,
}

func (s source) debianFiles(program file, parts documents) ([]file, error) {
	program.name = "usr/bin/invoicer"
	files := []file{program}
	for from, to := range map[string]string{
		"deploy/systemd/invoicer.service": "usr/lib/systemd/system/invoicer.service",
		"deploy/systemd/invoicer.env":     "etc/invoicer/invoicer.env",
	} {
		f, err := readFile(filepath.Join(s.root, from), to, 0o644)
		if err != nil {
			return nil, err
		}
		if to == "etc/invoicer/invoicer.env" {
			f.mode = 0o600 // passwords come to be in it, and systemd reads it as root
		}
		files = append(files, f)
	}
	const shared = "usr/share/doc/invoicer/"
	files = append(files, file{name: shared + "copyright", mode: 0o644, content: bytes.Join([][]byte{parts.terms[0].content, parts.terms[1].content}, []byte("\n"))})
	changes, err := readFile(filepath.Join(s.root, "CHANGELOG.md"), shared+"changelog.gz", 0o644)
	if err != nil {
		return nil, err
	}
	for _, f := range append([]file{changes}, parts.manual...) {
		if page, isPage := strings.CutPrefix(f.name, "man/"); isPage {
			f.name = "usr/share/man/" + page + ".gz"
		}
		if f.content, err = compressed(f.content); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// A member is a file of an ar archive.
type member struct {
	name    string
	content []byte
}

// ar returns an archive as dpkg reads it.
func (s source) ar(members ...member) []byte {
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range members {
		fmt.Fprintf(&b, "%-16s%-12s%-6d%-6d%-8s%-10d`\n", m.name, strconv.FormatInt(s.time.Unix(), 10), 0, 0, "100644", len(m.content))
		b.Write(m.content)
		if len(m.content)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}
