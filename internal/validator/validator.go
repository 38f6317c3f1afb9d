// Package validator judges electronic invoices by the official rules of EN 16931, for tests. The rules and the program that applies them
// aren't part of the repository: they lie in the folder einvoice of the test data, which the environment variable INVOICER_TEST_DATA names.
package validator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrNone says that there is no validator here.
var ErrNone = errors.New("the official validator of EN 16931 can't run here")

// A Validator is the folder of the rules.
type Validator struct{ Folder string }

// Find returns the validator of the test data, and [ErrNone] with the reason if there is none.
func Find() (Validator, error) {
	data := os.Getenv("INVOICER_TEST_DATA")
	if data == "" {
		return Validator{}, fmt.Errorf("%w: INVOICER_TEST_DATA names no folder", ErrNone)
	}
	folder := filepath.Join(data, "einvoice")
	if _, err := os.Stat(filepath.Join(folder, "validate")); err != nil { //nolint:gosec // tests name the folder
		return Validator{}, fmt.Errorf("%w: %w", ErrNone, err)
	}
	return Validator{Folder: folder}, nil
}

// A Report says what is wrong with a file.
type Report struct {
	File     string    `json:"file"`
	Kind     string    `json:"kind"`
	OK       bool      `json:"ok"`    // whether nothing is fatal
	Fired    int       `json:"fired"` // how many rules found something to judge
	Failures []Failure `json:"failures"`
}

// A Failure is a rule that a file breaks.
type Failure struct {
	Ruleset  string `json:"ruleset"`
	Rule     string `json:"rule"`
	Flag     string `json:"flag"` // fatal, warning or information
	Text     string `json:"text"`
	Location string `json:"location"`
}

// String returns the failure as a line.
func (f Failure) String() string {
	return fmt.Sprintf("%s (%s) at %s: %s", f.Rule, f.Flag, f.Location, f.Text)
}

// Validate judges all files in one run: a start takes a second, a file some milliseconds. The reports are in the files' order. It returns
// [ErrNone] if Java or Saxon isn't installed.
func (v Validator) Validate(ctx context.Context, files []string, options ...string) ([]Report, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(v.Folder, "validate"), append(options, "--json", "--files-from", "-")...)
	cmd.Stdin = strings.NewReader(strings.Join(files, "\n"))
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == nothingJudged:
		return nil, fmt.Errorf("%w: %s", ErrNone, exit.Stderr)
	case err != nil && !errors.As(err, &exit):
		return nil, err
	}
	var reports []Report
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var r Report
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		reports = append(reports, r)
	}
	if len(reports) != len(files) {
		return nil, fmt.Errorf("the validator made %d reports for %d files", len(reports), len(files))
	}
	return reports, nil
}

// nothingJudged is how the program ends if it can't run.
const nothingJudged = 2
