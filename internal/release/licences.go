package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licenceFile is what projects call the files with their terms.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|copyright|notice|patents|unlicense)([-.].*)?$|\.license\.txt$`)

// goFonts are the packages with the fonts of invoices.
const goFonts = "golang.org/x/image/font/gofont/"

// A linkedPackage is one whose code is in the program, as 'go list' tells.
type linkedPackage struct {
	ImportPath, Dir string
	Standard        bool
	EmbedFiles      []string
	Module          *struct {
		Path, Version, Dir string
		Main               bool
	}
}

// thirdParties returns the terms of all code of others that is in a binary of any of the platforms. It is an error if a module has none.
// A package's terms are those in its folder and in the ones above it, up to its module's, and those of what it embeds.
func (s source) thirdParties(ctx context.Context, of []platform) ([]byte, error) {
	found := make(map[string]map[string]bool) // "module version" → files
	for _, p := range of {
		listed, err := output(ctx, s.root, p.environ(), "go", "list", "-mod=readonly", "-tags", buildTags, "-deps", "-json=ImportPath,Dir,Standard,EmbedFiles,Module", "./cmd/invoicer")
		if err != nil {
			return nil, err
		}
		for decoder := json.NewDecoder(strings.NewReader(listed)); ; {
			var one linkedPackage
			if err := decoder.Decode(&one); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			if one.Standard || one.Module == nil || one.Module.Main {
				continue
			}
			name := one.Module.Path + " " + one.Module.Version
			if found[name] == nil {
				found[name] = make(map[string]bool)
			}
			if err := one.terms(found[name]); err != nil {
				return nil, err
			}
		}
	}
	goRoot, err := output(ctx, s.root, nil, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	goVersion, err := output(ctx, s.root, nil, "go", "env", "GOVERSION")
	if err != nil {
		return nil, err
	}
	found["Go and its standard library "+goVersion] = map[string]bool{filepath.Join(goRoot, "LICENSE"): true}
	return printTerms(found)
}

// terms adds the files with a package's terms.
func (p linkedPackage) terms(to map[string]bool) error {
	for _, file := range p.EmbedFiles {
		if licenceFile.MatchString(filepath.Base(file)) {
			to[filepath.Join(p.Dir, file)] = true
		}
	}
	for folder := p.Dir; ; folder = filepath.Dir(folder) {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if entry.Type().IsRegular() && licenceFile.MatchString(entry.Name()) && filepath.Ext(entry.Name()) != ".go" {
				to[filepath.Join(folder, entry.Name())] = true
			}
		}
		if folder == p.Module.Dir || len(folder) <= len(p.Module.Dir) {
			break
		}
	}
	if strings.HasPrefix(p.ImportPath, goFonts) { // their terms are in a README beside the files of which the packages are made
		to[filepath.Join(filepath.Dir(p.Dir), "ttfs", "README")] = true
	}
	return nil
}

// printTerms writes each text once, below all that it holds for.
func printTerms(found map[string]map[string]bool) ([]byte, error) {
	texts, holders := make(map[[sha256.Size]byte]string), make(map[[sha256.Size]byte][]string)
	var order [][sha256.Size]byte
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if len(found[name]) == 0 {
			return nil, fmt.Errorf("%s has no file with its licence", name)
		}
		for _, file := range slices.Sorted(maps.Keys(found[name])) {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			words := strings.ReplaceAll(strings.TrimRight(string(text), " \t\r\n"), "\r\n", "\n")
			sum := sha256.Sum256([]byte(words))
			if _, known := texts[sum]; !known {
				order = append(order, sum)
			}
			texts[sum] = words
			if !slices.Contains(holders[sum], name) {
				holders[sum] = append(holders[sum], name)
			}
		}
	}
	var b strings.Builder
	b.WriteString("invoicer contains the work of others, under the terms below. Its own are in the file LICENSE.\n")
	line := strings.Repeat("=", 80)
	for _, sum := range order {
		fmt.Fprintf(&b, "\n%s\n%s\n%s\n\n%s\n", line, strings.Join(holders[sum], "\n"), line, texts[sum])
	}
	return []byte(b.String()), nil
}
