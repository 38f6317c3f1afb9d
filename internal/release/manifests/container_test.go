package manifests_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
)

// An image is the one that 'make image' makes, unpacked, to run containers of it without an engine.
type image struct {
	root   string
	config v1.Config
}

// images has the one image of these tests, which takes a while to build.
var images struct {
	once   sync.Once
	folder string
	err    error
}

// unpacked returns the image, in a folder of the test's own.
func unpacked(t *testing.T) *image {
	t.Helper()
	images.once.Do(func() {
		if images.folder, images.err = os.MkdirTemp("", "invoicer-image-test-"); images.err != nil {
			return
		}
		c := exec.Command("go", "run", ".", "image", "-version", "v0.0.0", "-out", filepath.Join(images.folder, "image"))
		c.Dir, c.Env = "..", append(os.Environ(), "SOURCE_DATE_EPOCH=1764500000", "REVISION=test")
		if said, err := c.CombinedOutput(); err != nil {
			images.err = fmt.Errorf("%w: %s", err, said)
		}
	})
	must(t, images.err)
	path, err := layout.FromPath(filepath.Join(images.folder, "image"))
	must(t, err)
	index, err := path.ImageIndex()
	must(t, err)
	found, err := partial.FindImages(index, func(d v1.Descriptor) bool { return d.Platform != nil && d.Platform.Architecture == runtime.GOARCH })
	must(t, err)
	if len(found) == 0 {
		nested, err := partial.FindIndexes(index, func(v1.Descriptor) bool { return true })
		must(t, err)
		found, err = partial.FindImages(nested[0], func(d v1.Descriptor) bool { return d.Platform.Architecture == runtime.GOARCH })
		must(t, err)
	}
	if len(found) != 1 {
		t.Fatalf("the image is there %d times for %s", len(found), runtime.GOARCH)
	}
	config, err := found[0].ConfigFile()
	must(t, err)
	i := &image{root: t.TempDir(), config: config.Config}
	content := mutate.Extract(found[0])
	defer content.Close()
	must(t, i.unpack(content))
	return i
}

func (i *image) unpack(content io.Reader) error {
	for archive := tar.NewReader(content); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.Join(i.root, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(name, h.FileInfo().Mode())
		} else if err = os.MkdirAll(filepath.Dir(name), 0o755); err == nil {
			var body []byte
			if body, err = io.ReadAll(archive); err == nil {
				err = os.WriteFile(name, body, h.FileInfo().Mode())
			}
		}
		if err != nil {
			return err
		}
	}
}

// put adds a file of a volume. Only the group of the pod may read it.
func (i *image) put(t *testing.T, name string, content []byte, mode fs.FileMode) {
	t.Helper()
	file := filepath.Join(i.root, name)
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, content, 0o600))
	must(t, os.Chown(file, 0, user))
	must(t, os.Chmod(file, mode))
}

// files lists what there is, to see that nothing is written.
func (i *image) files(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(i.root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err == nil && !info.IsDir() {
			fmt.Fprintln(&b, path, info.Mode(), info.Size(), info.ModTime())
		}
		return err
	}))
	return b.String()
}

// user is whom all containers run as.
const user = 65532

// A container is a process in the image's files alone, none of which it may change, as the image's user, with nothing but its own environment.
type container struct {
	*exec.Cmd
	name  string
	ended chan struct{}
	err   error

	mu   sync.Mutex
	said bytes.Buffer
}

func (c *container) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said.Write(p)
}

func (c *container) output() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said.String()
}

func (i *image) start(t *testing.T, name string, args, environ []string) *container {
	t.Helper()
	if len(args) == 0 {
		args = i.config.Cmd
	}
	if i.config.User != fmt.Sprintf("%d:%[1]d", user) {
		t.Fatalf("the image runs as %s", i.config.User)
	}
	c := &container{Cmd: exec.Command(i.config.Entrypoint[0], args...), name: name, ended: make(chan struct{})}
	c.Env, c.Dir, c.Stdout, c.Stderr = append(append([]string{}, i.config.Env...), environ...), "/", c, c
	c.SysProcAttr = &syscall.SysProcAttr{
		Chroot: i.root, Pdeathsig: syscall.SIGKILL,
		Credential: &syscall.Credential{Uid: user, Gid: user, Groups: []uint32{user}},
	}
	must(t, c.Start())
	go func() {
		c.err = c.Wait()
		close(c.ended)
	}()
	t.Cleanup(func() {
		_ = c.Process.Kill() // it has ended, mostly
		<-c.ended
		if t.Failed() {
			t.Logf("%s %v:\n%s", name, args, c.output())
		}
	})
	return c
}

// exit returns the exit code, once the process has ended.
func (c *container) exit(t *testing.T, within time.Duration) int {
	t.Helper()
	select {
	case <-c.ended:
	case <-time.After(within):
		t.Fatalf("%s hasn't ended after %s", c.name, within)
	}
	return c.ProcessState.ExitCode()
}

// run runs a container to its end, which must be a good one.
func (i *image) run(t *testing.T, name string, args, environ []string) string {
	t.Helper()
	c := i.start(t, name, args, environ)
	if code := c.exit(t, time.Minute); code != 0 {
		t.Fatalf("%s %v exits with %d: %s", name, args, code, c.output())
	}
	return c.output()
}

// healthcheck runs the image's own check in a container, and returns its exit code.
func (i *image) healthcheck(t *testing.T, environ []string, more ...string) int {
	t.Helper()
	test := i.config.Healthcheck.Test
	if len(test) < 2 || test[0] != "CMD" || test[1] != i.config.Entrypoint[0] {
		t.Fatalf("the image's health check is %q", test)
	}
	c := i.start(t, "health", append(append([]string{}, test[2:]...), more...), environ)
	return c.exit(t, i.config.Healthcheck.Timeout)
}

func TestMain(m *testing.M) {
	code := m.Run()
	if images.folder != "" {
		_ = os.RemoveAll(images.folder) // nothing else could be done about it
	}
	os.Exit(code)
}
