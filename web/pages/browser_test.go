package pages_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-rod/rod/lib/input"
	"github.com/go-rod/rod/lib/proto"

	"invoicer/internal/sandbox/browsertest"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

func TestHeavyPagesAreAccessible(t *testing.T) {
	t.Parallel()
	b := browsertest.Start(t)
	s := newSite(t)
	for i := range 60 {
		s.fail(t, fmt.Sprint(i), func(e *ledger.End) {
			e.Detail = strings.Repeat(`a reason that is as long as reasons get, with "quoted" parts and a/path/without/any/blank/in/it `, 1+i%3)
		})
	}
	s.visitor.MaySeePersonalData = true
	failing, _ := s.tell(t)
	number := s.handOver(t)
	s.Exec(t, `INSERT INTO producer_counts (window_start, producer, worker, lane, ended, duplicates, conflicts)
SELECT date_bin('5 minutes', now(), 'epoch') - i * interval '5 minutes', 'shop', 'w1', 0, 1000 * i, 100 * i, 10 * i FROM generate_series(1, 9) AS i`)
	s.Exec(t, `INSERT INTO invoice_series (series, period, kind, last_number) VALUES ('NEW', '2026', 'invoice', 0)`)
	_, page := s.get(t, "/failed")
	form := hiddenForm(page)
	form.Set("do", "forecast")
	s.act(t, form)
	for device, size := range browsertest.Sizes() {
		for _, scheme := range []string{"light", "dark"} {
			for _, path := range []string{
				"/", "/failed", "/failed?outcome=x", "/series", "/actions", "/races", "/invoices", "/queues", "/workers", "/events", "/events/told", "/events/told?state=dead", "/events/" + failing, "/search?q=T-1", "/runs/1", "/handovers", "/handovers?state=queued", "/handovers?state=x",
				"/search?q=I1", "/document?number=" + number + "&format=pdf", "/document?number=" + number + "&format=pdf&by=ada", "/document?number=" + number + "&format=ubl&by=ada", "/document?number=" + number + "&format=cii&by=ada",
			} {
				p := browsertest.Open(t, b, "about:blank", size[0], size[1])
				if err := (proto.EmulationSetEmulatedMedia{Features: []*proto.EmulationMediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}).Call(p); err != nil {
					t.Fatal(err)
				}
				p.MustNavigate(s.url + path).MustWaitLoad()
				browsertest.CheckAccessible(t, p, device+" "+scheme+" "+path)
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
	b := browsertest.Start(t)
	s := newSite(t)
	const jobs = 300
	for i := range jobs {
		s.fail(t, fmt.Sprint("down-", i), func(e *ledger.End) { e.Detail = fmt.Sprintf("dial tcp 10.0.0.%d:5432: refused", i) })
	}
	s.fail(t, "other", func(e *ledger.End) { e.Outcome, e.Detail = invoice.Conflict, "differs" })
	p := browsertest.Open(t, b, s.url, 390, 844)
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
	b := browsertest.Start(t)
	s := newSite(t)
	p := browsertest.Open(t, b, s.url, 1280, 900)
	p.MustElementR("#live", "The page is live")
	s.fail(t, "a")
	p.MustElementR("a", "1 failed job waits")
	s.pages.Close()
	p.MustElementR("#live", "connection is lost")
}
