package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A source is the commit that is built.
type source struct {
	root     string // the folder with the product's go.mod
	version  string // such as v1.2.3
	revision string
	time     time.Time // of the commit, UTC
	dirty    bool      // it has changes that aren't committed
}

// plainVersion is what a file's name, an image's tag and a package's version can all have.
var plainVersion = regexp.MustCompile(`^v?[0-9][0-9A-Za-z.+~-]*$`)

// openSource finds out what is built. Without a version, it is what git describes.
func openSource(ctx context.Context, root, version string) (source, error) {
	absolute, err := filepath.Abs(root)
	if err != nil {
		return source{}, err
	}
	s := source{root: absolute, version: version, revision: os.Getenv("REVISION")}
	if _, err := os.Stat(filepath.Join(s.root, "cmd/invoicer")); err != nil {
		return source{}, fmt.Errorf("%s isn't the product's folder: %w", s.root, err)
	}
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" || s.revision == "" {
		revision, err := s.git(ctx, "rev-parse", "HEAD")
		if err != nil {
			return source{}, fmt.Errorf("which commit is this? Set SOURCE_DATE_EPOCH and REVISION, or build in a checkout: %w", err)
		}
		committed, err := s.git(ctx, "log", "-1", "--format=%ct")
		if err != nil {
			return source{}, err
		}
		changes, err := s.git(ctx, "status", "--porcelain")
		if err != nil {
			return source{}, err
		}
		s.dirty = changes != ""
		s.revision, epoch = cmp.Or(s.revision, revision), cmp.Or(epoch, committed)
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return source{}, usageError{fmt.Errorf("SOURCE_DATE_EPOCH must be a number of seconds, and is %q", epoch)}
	}
	s.time = time.Unix(seconds, 0).UTC()
	if s.version == "" {
		if s.version, err = s.git(ctx, "describe", "--tags", "--always", "--dirty"); err != nil {
			return source{}, usageError{errors.New("give the -version")}
		}
		if !plainVersion.MatchString(s.version) {
			s.version = "0-" + s.version // a commit's hash, which may begin with a letter
		}
	}
	if !plainVersion.MatchString(s.version) {
		return source{}, usageError{fmt.Errorf("%q is no version such as v1.2.3", s.version)}
	}
	return s, nil
}

func (s source) git(ctx context.Context, args ...string) (string, error) {
	return output(ctx, s.root, nil, "git", args...)
}

// A platform is what a binary runs on.
type platform struct{ os, arch string }

// platforms are those of a release.
//
//nolint:gochecknoglobals // a constant list
var platforms = []platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}}

func (p platform) String() string { return p.os + "_" + p.arch }

// environ makes Go build for the platform, and nothing else of the environment change what it builds.
func (p platform) environ() []string {
	return []string{
		"GOOS=" + p.os, "GOARCH=" + p.arch, "GOAMD64=v1", "GOARM64=v8.0", "CGO_ENABLED=0",
		"GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off", "GOFIPS140=off",
	}
}

// buildTags put the time zones into the binary, for machines and images that have none.
const buildTags = "timetzdata"

// linkerFlags leave out what only a debugger needs, and state what was built: Go's own stamp is left out, because it says less in an
// archive than in a checkout of the same commit.
func (s source) linkerFlags() string {
	return fmt.Sprintf("-s -w -X main.version=%s -X main.revision=%s -X main.revisionTime=%s", s.version, s.revision, s.time.Format(time.RFC3339))
}

// compile builds the program. The file is static, and needs nothing of the machine that it runs on.
func (s source) compile(ctx context.Context, p platform, file string) error {
	_, err := output(ctx, s.root, p.environ(), "go", "build", "-buildvcs=false", "-trimpath", "-mod=readonly",
		"-tags", buildTags, "-ldflags", s.linkerFlags(), "-o", file, "./cmd/invoicer")
	return err
}

// manual returns the folder with the manual pages, which the program's own help gives.
func (s source) manual(ctx context.Context, folder string) error {
	here := platform{runtime.GOOS, runtime.GOARCH}
	program := filepath.Join(folder, "..", "invoicer-man")
	if _, err := output(ctx, s.root, here.environ(), "go", "build", "-buildvcs=false", "-trimpath", "-mod=readonly",
		"-tags", "man", "-ldflags", s.linkerFlags(), "-o", program, "./cmd/invoicer"); err != nil {
		return err
	}
	_, err := output(ctx, s.root, []string{"SOURCE_DATE_EPOCH=" + strconv.FormatInt(s.time.Unix(), 10)}, program, folder)
	return err
}

// output runs a program in a folder, with more variables, and returns what it prints.
func output(ctx context.Context, folder string, environ []string, program string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, program, args...)
	c.Dir, c.Env = folder, append(os.Environ(), environ...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, args[0], err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
