package main

import (
	"fmt"
	"slices"
	"strings"
)

// command is the package that the program is built from. What it doesn't import, directly or not, isn't part of it.
const command = "cmd/invoicer"

// A graph has the program's own packages by their names within the module, and for each the packages that it imports.
type graph struct {
	packages map[string]Package
	imports  map[string][]string // sorted
	module   string
}

func newGraph(all []Package) graph {
	g := graph{packages: make(map[string]Package), imports: make(map[string][]string)}
	for _, p := range all {
		g.module = p.Module.Path
		name := strings.TrimPrefix(p.ImportPath, g.module+"/")
		g.packages[name], g.imports[name] = p, nil
		for _, path := range p.Imports {
			if inside, ok := strings.CutPrefix(path, g.module+"/"); ok {
				g.imports[name] = append(g.imports[name], inside)
			}
		}
		slices.Sort(g.imports[name])
	}
	return g
}

// names returns the packages that the program is built from, or else the others: tests and tools.
func (g graph) names(shipped bool) []string {
	var names []string
	for name := range g.packages {
		if (name == command || g.reaches(command, name)) == shipped {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// reaches reports whether one package imports another, directly or through others. Go has no import cycles.
func (g graph) reaches(from, to string) bool {
	return slices.ContainsFunc(g.imports[from], func(next string) bool { return next == to || g.reaches(next, to) })
}

// implied reports whether an import also follows from another import of the same package.
func (g graph) implied(from, to string) bool {
	return slices.ContainsFunc(g.imports[from], func(next string) bool { return next != to && g.reaches(next, to) })
}

// section is the generated part of the page, with the lines that mark it.
func section(all []Package) string {
	g := newGraph(all)
	var b strings.Builder
	b.WriteString(begin + "```mermaid\nflowchart TD\n")
	for _, name := range g.names(true) {
		fmt.Fprintf(&b, "    %s[\"%s\"]\n", node(name), name)
	}
	for _, name := range g.names(true) {
		for _, imported := range g.imports[name] {
			if !g.implied(name, imported) {
				fmt.Fprintf(&b, "    %s --> %s\n", node(name), node(imported))
			}
		}
	}
	b.WriteString("```\n\n")
	b.WriteString("An arrow points from a package to one that it imports. An arrow is left out where others lead to the same package.\n\n")
	b.WriteString("| package | what it does | imports, of ours | imports, of others |\n|---|---|---|---|\n")
	for _, name := range g.names(true) {
		ours := join(g.imports[name])
		if name == command {
			ours = "all that it needs, to connect them"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, summary(g.packages[name]), ours, join(g.libraries(name)))
	}
	b.WriteString("\nTests and tools, which the program doesn't contain:\n\n| package | what it does |\n|---|---|\n")
	for _, name := range g.names(false) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, summary(g.packages[name]))
	}
	b.WriteString(end)
	return b.String()
}

func node(name string) string { return strings.NewReplacer("/", "_", "-", "_").Replace(name) }

func join(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "`" + strings.Join(names, "`, `") + "`"
}

// summary is the first sentence of a package's comment without its usual beginning and without doc links.
func summary(p Package) string {
	s := p.Doc
	for _, kind := range []string{"Package ", "Command "} {
		if rest, ok := strings.CutPrefix(s, kind); ok {
			_, s, _ = strings.Cut(rest, " ")
		}
	}
	s = strings.NewReplacer("[", "", "]", "", "|", `\|`).Replace(s)
	return strings.TrimRight(s, ".:")
}

// libraries returns the names of the other modules that a package imports; those of the standard library are left out.
func (g graph) libraries(name string) []string {
	var names []string
	for _, path := range g.packages[name].Imports {
		first, _, _ := strings.Cut(path, "/")
		if strings.Contains(first, ".") {
			names = append(names, library(path))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// library shortens the path of an imported package to the name that its project is known by.
func library(path string) string {
	parts := strings.Split(path, "/")
	switch {
	case strings.HasPrefix(path, "github.com/prometheus/"):
		return "prometheus"
	case parts[0] == "gorm.io":
		return "gorm"
	case parts[0] == "github.com" || parts[0] == "golang.org":
		return parts[min(2, len(parts)-1)]
	}
	return parts[min(1, len(parts)-1)]
}
