package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// writeRelease writes all files of a release into a folder, which it makes anew: an archive for each platform with the program, its manual,
// its licence and those of others, an SBOM for each, Debian packages, and SHA256SUMS.
func writeRelease(ctx context.Context, s source, out string, told io.Writer, of []platform) error {
	work, err := os.MkdirTemp("", "invoicer-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	manual := filepath.Join(work, "man")
	if err := os.Mkdir(manual, 0o700); err != nil {
		return err
	}
	if err := s.manual(ctx, manual); err != nil {
		return err
	}
	parts, err := s.documents(ctx, manual, of)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(out); err != nil { //nolint:gosec // whoever runs this names the folder
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil { //nolint:gosec // it is for everybody
		return err
	}
	w := &writer{folder: out, told: told}
	for _, p := range of {
		binary := filepath.Join(work, p.String())
		if err := s.compile(ctx, p, binary); err != nil {
			return err
		}
		program, err := readFile(binary, "invoicer", 0o755)
		if err != nil {
			return err
		}
		bill, err := s.sbom(ctx, binary)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("invoicer_%s_%s", s.version, p)
		archive, err := tarGz(s.time, name+"/", slices.Concat([]file{program}, parts.terms, parts.manual)...)
		if err != nil {
			return err
		}
		w.write(name+".tar.gz", archive)
		w.write(name+".cdx.json", bill)
		if p.os == "linux" {
			deb, err := s.debianPackage(p, program, parts)
			if err != nil {
				return err
			}
			w.write(fmt.Sprintf("invoicer_%s_%s.deb", s.debianVersion(), p.arch), deb)
		}
	}
	return w.end()
}

// documents are what lies beside the program.
type documents struct{ terms, manual []file }

func (s source) documents(ctx context.Context, manual string, of []platform) (d documents, err error) {
	licence, err := readFile(filepath.Join(s.root, "LICENSE"), "LICENSE", 0o644)
	if err != nil {
		return d, err
	}
	others, err := s.thirdParties(ctx, of)
	if err != nil {
		return d, err
	}
	d.terms = []file{licence, {name: "THIRD-PARTY-LICENCES.txt", mode: 0o644, content: others}}
	if manual != "" {
		d.manual, err = manualPages(manual, "man/man1")
	}
	return d, err
}

// A writer writes the files of a release, and keeps their checksums. After an error it writes nothing.
type writer struct {
	folder string
	told   io.Writer
	sums   []string
	err    error
}

func (w *writer) write(name string, content []byte) {
	if w.err != nil {
		return
	}
	if w.err = os.WriteFile(filepath.Join(w.folder, name), content, 0o644); w.err == nil { //nolint:gosec // it is for everybody
		w.sums = append(w.sums, fmt.Sprintf("%x  %s\n", sha256.Sum256(content), name))
		fmt.Fprintf(w.told, "%s %d\n", filepath.Join(w.folder, name), len(content))
	}
}

// end writes the checksums, as sha256sum -c reads them.
func (w *writer) end() error {
	slices.SortFunc(w.sums, func(a, b string) int { return strings.Compare(a[sha256.Size*2:], b[sha256.Size*2:]) })
	w.write("SHA256SUMS", []byte(strings.Join(w.sums, "")))
	return w.err
}
