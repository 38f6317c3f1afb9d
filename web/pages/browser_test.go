package pages_test

import (
	_ "embed" // for the checks
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-rod/rod"
	"github.com/go-rod/rod/lib/input"
	"github.com/go-rod/rod/lib/launcher"
	"github.com/go-rod/rod/lib/proto"

	"invoicer/internal/sandbox/programs"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// browser starts Chromium, for one test.
func browser(t *testing.T) *rod.Browser {
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

// page opens a page in a window of so many pixels.
func open(t *testing.T, b *rod.Browser, address string, width, height int) *rod.Page {
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

//go:embed testdata/accessible.js
var accessible string

// checkAccessible fails for what a screen reader, the keyboard or weak eyes stumble over.
func checkAccessible(t *testing.T, p *rod.Page, what string) {
	t.Helper()
	for _, problem := range p.MustEval(accessible).Arr() {
		t.Errorf("%s: %s", what, problem.Str())
	}
	if p.MustEval("() => document.documentElement.scrollWidth > window.innerWidth").Bool() {
		t.Errorf("%s is wider than its window", what)
	}
}

// sized are a desktop's window and a phone's.
func sized() map[string][2]int {
	return map[string][2]int{"desktop": {1280, 900}, "phone": {390, 844}}
}

func TestHeavyPagesAreAccessible(t *testing.T) {
	t.Parallel()
	b := browser(t)
	s := newSite(t)
	for i := range 60 {
		s.fail(t, fmt.Sprint(i), func(e *ledger.End) {
			e.Detail = strings.Repeat(`a reason that is as long as reasons get, with "quoted" parts and a/path/without/any/blank/in/it `, 1+i%3)
		})
	}
	s.Exec(t, `INSERT INTO invoice_series (series, period, kind, last_number) VALUES ('INV', '2026', 'invoice', 0)`)
	_, page := s.get(t, "/failed")
	form := hiddenForm(page)
	form.Set("do", "forecast")
	s.act(t, form)
	for device, size := range sized() {
		for _, scheme := range []string{"light", "dark"} {
			for _, path := range []string{"/", "/failed", "/failed?outcome=x", "/series", "/actions", "/races", "/invoices", "/queues", "/workers", "/search?q=T-1", "/runs/1"} {
				p := open(t, b, "about:blank", size[0], size[1])
				if err := (proto.EmulationSetEmulatedMedia{Features: []*proto.EmulationMediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}).Call(p); err != nil {
					t.Fatal(err)
				}
				p.MustNavigate(s.url + path).MustWaitLoad()
				checkAccessible(t, p, device+" "+scheme+" "+path)
				if folder := os.Getenv("INVOICER_SCREENSHOTS"); folder != "" {
					name := url.PathEscape(device + " " + scheme + " " + strings.ReplaceAll(path, "/", "_"))
					p.MustScreenshot(filepath.Join(folder, name+".png"))
				}
				p.MustClose()
			}
		}
	}
}

// The way of somebody on call: what has failed, why, what would a replay do, replay.
func TestHeavyReplayInABrowser(t *testing.T) {
	t.Parallel()
	b := browser(t)
	s := newSite(t)
	const jobs = 300
	for i := range jobs {
		s.fail(t, fmt.Sprint("down-", i), func(e *ledger.End) { e.Detail = fmt.Sprintf("dial tcp 10.0.0.%d:5432: refused", i) })
	}
	s.fail(t, "other", func(e *ledger.End) { e.Outcome, e.Detail = invoice.Conflict, "differs" })
	p := open(t, b, s.url, 390, 844)
	p.MustElementR("a", "failed jobs wait").MustClick()
	p.MustElementR("h1", "Failed jobs")
	p.MustElementR("a", "dial tcp").MustClick()
	p.MustElementR("h2", "All 300 that match")
	p.MustElementR("button", "Forecast").MustClick()
	p.MustElementR("td", "would become an invoice")
	p.MustElementR("#live", "Nothing more happens here")
	p.MustElementR("a", "Back to these").MustClick()
	p.MustElementR("h2", "All 300 that match")
	p.MustElement("#by").MustInput("ann").MustType(input.Tab)
	p.MustElement("#note:focus").MustInput("network mended")
	p.MustElementR("button", "^Replay$").MustClick()
	p.MustElementR("p", "by ann has ended")
	if n := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'accepted'"); n != jobs {
		t.Errorf("%d jobs were sent again, want %d", n, jobs)
	}
}

func TestHeavyPageIsLiveInABrowser(t *testing.T) {
	t.Parallel()
	b := browser(t)
	s := newSite(t)
	p := open(t, b, s.url, 1280, 900)
	p.MustElementR("#live", "The page is live")
	s.fail(t, "a")
	p.MustElementR("a", "1 failed job waits")
	s.pages.Close()
	p.MustElementR("#live", "connection is lost")
}
