// Package programs finds the programs of other projects that the sandbox and the tests run, and says how to install
// those that are missing.
package programs

import (
	"cmp"
	_ "embed" // for the script
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// script is what `make deps` runs. It alone knows package managers and their packages.
//
//go:embed install.sh
var script string

// Program is a program that the sandbox or the tests run.
type Program string

const (
	// Redis is the Redis server.
	Redis Program = "redis-server"
	// Postgres is the Postgres server, which comes with initdb in the same folder.
	Postgres Program = "postgres"
	// PgBouncer is the connection pooler.
	PgBouncer Program = "pgbouncer"
	// Chromium is a browser, which can run without a screen.
	Chromium Program = "chromium"
	// Prometheus stores metrics and evaluates alerts. promtool comes with it.
	Prometheus Program = "prometheus"
	// Requests is a Python that has the library of that name.
	Requests Program = "requests"
	// Node runs JavaScript.
	Node Program = "node"
	// Java runs and compiles Java.
	Java Program = "java"
	// Curl sends requests of HTTP.
	Curl Program = "curl"
	// Psql is the shell of Postgres.
	Psql Program = "psql"
	// QPDF checks PDF files. pdftotext and pdftoppm, of Poppler, come with it.
	QPDF Program = "qpdf"
)

// MissingError tells which programs are not on this machine, and what installs them.
type MissingError struct {
	// Programs holds at least one.
	Programs []Program
	// Command is to be typed to a shell. It is empty when no package manager is known here.
	Command string
}

// Error names the programs and the commands to type.
func (e *MissingError) Error() string {
	names := make([]string, len(e.Programs))
	for i, p := range e.Programs {
		names[i] = string(p)
	}
	message := fmt.Sprintf("missing on this machine: %s; type `make deps`", strings.Join(names, ", "))
	if e.Command != "" {
		message += fmt.Sprintf(", or `%s`", e.Command)
	}
	return message
}

// Find returns where each of the programs is, or a [*MissingError] that names all of the missing ones.
func Find(wanted ...Program) (map[Program]string, error) {
	found := make(map[Program]string, len(wanted))
	var missing []Program
	for _, p := range wanted {
		if path, ok := find(p); ok {
			found[p] = path
		} else {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		return nil, &MissingError{Programs: missing, Command: installCommand(missing)}
	}
	return found, nil
}

func find(p Program) (string, bool) {
	if p == Chromium {
		for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} { // by what Debian, Alpine and Google call it
			if path, err := exec.LookPath(name); err == nil {
				return path, true
			}
		}
		return "", false
	}
	switch p {
	case Requests: // not each Python on PATH has what the system's package manager installs
		for _, name := range []string{"python3", "/usr/bin/python3"} {
			if path, err := exec.LookPath(name); err == nil && exec.Command(path, "-c", "import requests").Run() == nil { //nolint:noctx // it ends at once
				return path, true
			}
		}
		return "", false
	case Java: // the runtime alone can't run a source file
		path, err := exec.LookPath("java")
		if err != nil {
			return "", false
		}
		modules, err := exec.Command(path, "--list-modules").Output() //nolint:noctx // it ends at once
		return path, err == nil && strings.Contains(string(modules), "jdk.compiler")
	case Redis, Postgres, PgBouncer, Chromium, Prometheus, Node, Curl, Psql, QPDF:
	}
	if p != Postgres {
		path, err := exec.LookPath(string(p))
		if err != nil && p == PgBouncer {
			path, err = exec.LookPath("/usr/sbin/pgbouncer") // which isn't on everybody's PATH
		}
		return path, err == nil
	}
	// initdb starts the postgres that lies beside it, wherever a link on PATH may point from.
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if target, err := filepath.EvalSymlinks(initdb); err == nil {
			if path, ok := postgresIn(filepath.Dir(target)); ok {
				return path, true
			}
		}
	}
	var folders []string
	for _, pattern := range postgresFolders() {
		matches, _ := filepath.Glob(pattern) // fails on a bad pattern only
		folders = append(folders, matches...)
	}
	slices.SortStableFunc(folders, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	for _, folder := range folders {
		if path, ok := postgresIn(folder); ok {
			return path, true
		}
	}
	return "", false
}

// postgresFolders are where Debian, the PostgreSQL project's packages, Alpine and Homebrew put the server, off PATH.
func postgresFolders() []string {
	return []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/usr/libexec/postgresql*",
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
	}
}

func postgresIn(folder string) (string, bool) {
	for _, name := range []string{"initdb", "postgres"} {
		info, err := os.Stat(filepath.Join(folder, name))
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			return "", false
		}
	}
	return filepath.Join(folder, "postgres"), true
}

// version returns the last number in a folder's name, or 0.
func version(folder string) float64 {
	numbers := regexp.MustCompile(`\d+(\.\d+)?`).FindAllString(folder, -1)
	if len(numbers) == 0 {
		return 0
	}
	n, _ := strconv.ParseFloat(numbers[len(numbers)-1], 64) // digits: cannot fail
	return n
}

// installCommand returns what a person would type, or "" when that is not known.
func installCommand(missing []Program) string {
	args := []string{"-s", "--", "--print"}
	for _, p := range missing {
		args = append(args, string(p))
	}
	command := exec.Command("sh", args...) //nolint:noctx // prints a line and ends
	command.Stdin = strings.NewReader(script)
	output, _ := command.Output() // no command to name is an answer too
	return strings.TrimSpace(string(output))
}
