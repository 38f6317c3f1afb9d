package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A file is one in an archive. Root owns all of them.
type file struct {
	name    string // without a / at its beginning
	mode    int64
	content []byte
	folder  bool
}

// readFile returns a file of this machine under another name.
func readFile(from, name string, mode int64) (file, error) {
	content, err := os.ReadFile(from)
	return file{name: name, mode: mode, content: content}, err
}

// writeTar writes files, with the folders that they are in, sorted by name. Nothing but the arguments decides about the bytes.
func writeTar(w io.Writer, at time.Time, prefix string, files ...file) error {
	all := make(map[string]file)
	for _, f := range files {
		all[f.name] = f
		for folder := path.Dir(f.name); folder != "."; folder = path.Dir(folder) {
			if _, known := all[folder]; !known {
				all[folder] = file{name: folder, mode: 0o755, folder: true}
			}
		}
	}
	sorted := make([]file, 0, len(all))
	for _, f := range all {
		sorted = append(sorted, f)
	}
	slices.SortFunc(sorted, func(a, b file) int { return cmp.Compare(a.name, b.name) })
	archive := tar.NewWriter(w)
	for _, f := range sorted {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: prefix + f.name, Mode: f.mode, Size: int64(len(f.content)), ModTime: at, Format: tar.FormatUSTAR, Uname: "root", Gname: "root"}
		if f.folder {
			h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		}
		if err := archive.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if _, err := archive.Write(f.content); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return archive.Close()
}

// tarGz returns a compressed archive.
func tarGz(at time.Time, prefix string, files ...file) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.DefaultCompression)
	if err != nil {
		return nil, err
	}
	if err := writeTar(w, at, prefix, files...); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}

// compressed returns content as gzip compresses it, without a name or a time.
func compressed(content []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.DefaultCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}

// manualPages returns the pages of a folder, below another one.
func manualPages(from, below string) ([]file, error) {
	names, err := filepath.Glob(filepath.Join(from, "*.1"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no manual page was made in %s", from)
	}
	pages := make([]file, len(names))
	for i, name := range names {
		if pages[i], err = readFile(name, strings.TrimSuffix(below, "/")+"/"+filepath.Base(name), 0o644); err != nil {
			return nil, err
		}
	}
	return pages, nil
}
