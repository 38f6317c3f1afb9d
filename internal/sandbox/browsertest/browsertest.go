// Package browsertest gives tests a browser, for pages as people see them.
package browsertest

import (
	_ "embed" // for the checks
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-rod/rod"
	"github.com/go-rod/rod/lib/launcher"
	"github.com/go-rod/rod/lib/proto"

	"invoicer/internal/sandbox/programs"
)

// Start starts Chromium for one test, which is skipped if tests are to be short, and fails if there is no Chromium.
func Start(t *testing.T) *rod.Browser {
	t.Helper()
	if testing.Short() {
		t.Skip("heavy: make test-all runs it")
	}
	found, err := programs.Find(programs.Chromium)
	if err != nil {
		t.Fatal(err)
	}
	// It connects to nobody but the pages.
	l := launcher.New().Context(t.Context()).Leakless(false).Bin(found[programs.Chromium]).NoSandbox(true).Headless(true).UserDataDir(t.TempDir()).
		Set("disable-gpu").Set("disable-quic").Set("no-first-run").Set("disable-background-networking").Set("disable-component-update").
		Set("disable-sync").Set("disable-dev-shm-usage")
	address, err := l.Launch()
	if err != nil {
		t.Fatal(err)
	}
	// A panic would end the test binary without the clean-up, and leave the browser behind.
	b := rod.New().ControlURL(address).WithPanic(func(problem any) { t.Fatal(problem) })
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.Close()
		l.Kill()
	})
	return b
}

// Open opens a page in a window of so many pixels. Below 500 in width it is a phone's. Its methods fail after two minutes.
func Open(t *testing.T, b *rod.Browser, address string, width, height int) *rod.Page {
	t.Helper()
	p, err := b.Page(proto.TargetCreateTarget{URL: "about:blank"})
	if err != nil {
		t.Fatal(err)
	}
	p = p.Timeout(2 * time.Minute)
	p.MustSetViewport(width, height, 1, width < 500)
	p.MustNavigate(address).MustWaitLoad()
	return p
}

//go:embed accessible.js
var accessible string

//go:embed axe.sh
var axeScript string

// axe returns axe-core, or "" if it isn't on this machine.
//
//nolint:gochecknoglobals // read once for all pages
var axe = sync.OnceValue(func() string {
	script := exec.Command("sh", "-s", "--", "--path")
	script.Stdin = strings.NewReader(axeScript)
	path, err := script.Output()
	if err != nil {
		return ""
	}
	source, err := os.ReadFile(strings.TrimSpace(string(path)))
	if err != nil {
		return ""
	}
	return string(source)
})

// runAxe returns what violates the rules of axe-core, which has to be there.
const runAxe = `async () => (await axe.run({preload: false})).violations.flatMap(
	(rule) => rule.nodes.map((node) => rule.id + " (" + rule.help + "): " + node.target.join(" ") + ": " + node.failureSummary.replaceAll("\n", " ")))`

// CheckAccessible fails for what a screen reader, the keyboard or weak eyes stumble over, and for a page that is wider than its window.
// It applies rules of its own, and those of axe-core if that is there.
func CheckAccessible(t *testing.T, p *rod.Page, what string) {
	t.Helper()
	problems := p.MustEval(accessible).Arr()
	if source := axe(); source == "" {
		t.Logf("%s is checked without axe-core: make deps fetches it", what)
	} else {
		p.MustEval("() => {" + source + "}")
		problems = append(problems, p.MustEval(runAxe).Arr()...)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", what, problem.Str())
	}
	if p.MustEval("() => document.documentElement.scrollWidth > window.innerWidth").Bool() {
		t.Errorf("%s is wider than its window", what)
	}
}

// Sizes are those of a desktop's window and a phone's.
func Sizes() map[string][2]int {
	return map[string][2]int{"desktop": {1280, 900}, "phone": {390, 844}}
}
