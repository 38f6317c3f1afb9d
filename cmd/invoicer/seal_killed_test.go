package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A sealingSite is a site with invoices and a worker, and a key to seal with.
type sealingSite struct {
	*site
	key      string
	invoices int
}

func newSealingSite(t *testing.T, invoices int) *sealingSite {
	t.Helper()
	s := &sealingSite{site: sharedSite(t), key: filepath.Join(t.TempDir(), "key.pem")}
	if err := os.WriteFile(s.key, []byte(sealingKey), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start(t, "worker")
	s.invoice(t, invoices)
	return s
}

// invoice makes more invoices.
func (s *sealingSite) invoice(t *testing.T, more int) {
	t.Helper()
	ids := make([]string, more)
	for i := range ids {
		ids[i] = fmt.Sprintf("T%06d", s.invoices+i)
	}
	s.enqueue(t, ids...)
	s.invoices += more
	s.awaitCount(t, s.invoices, "SELECT count(*) FROM invoices")
}

func (s *sealingSite) seal(t *testing.T, folder string) *process {
	t.Helper()
	return s.start(t, "seal", "--key", s.key, "--to", folder)
}

// audit wants all invoices to be sealed, and all to be well.
func (s *sealingSite) audit(t *testing.T, folder string) {
	t.Helper()
	code, stdout, stderr := s.run(t, "", "audit", "--seals", folder, "--json")
	var told struct {
		Seals struct{ Sealed, Unsealed int }
	}
	if err := json.Unmarshal([]byte(stdout), &told); code != exitOK || err != nil || told.Seals.Sealed != s.invoices || told.Seals.Unsealed != 0 {
		t.Fatalf("exit code %d, %v; %d sealed and %d not, want %d and 0: %s%s", code, err, told.Seals.Sealed, told.Seals.Unsealed, s.invoices, stdout, stderr)
	}
}

// rewrite changes a sealed invoice as an owner of the tables can, and wants each folder to tell.
func (s *sealingSite) rewrite(t *testing.T, folders ...string) {
	t.Helper()
	s.Exec(t, "ALTER TABLE invoices DISABLE TRIGGER USER")
	s.Exec(t, "UPDATE invoices SET customer_name = 'Eve' WHERE transaction_id = 'T000007'")
	s.Exec(t, "ALTER TABLE invoices ENABLE TRIGGER USER")
	for _, folder := range folders {
		code, stdout, _ := s.run(t, "", "audit", "--seals", folder)
		if code != exitAudit || strings.Count(stdout, "its texts are not those that were sealed") != 1 || !strings.Contains(stdout, "transaction_id=T000007 seal=1") {
			t.Errorf("%s: a rewritten invoice isn't found: exit code %d, %s", folder, code, stdout)
		}
	}
}

// names returns what is in the folder.
func names(t *testing.T, folder string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// killWhileSealing kills a process after so many changes of the folder, or after a while, whichever comes first.
func killWhileSealing(t *testing.T, p *process, folder string, changes int, while time.Duration) {
	t.Helper()
	late := time.After(while)
	for before := names(t, folder); changes > 0; {
		select {
		case <-late:
			changes = 0
		case <-p.ended:
			return
		default:
		}
		if now := names(t, folder); !slices.Equal(now, before) {
			before = now
			changes--
		}
	}
	_ = p.Process.Kill()
	<-p.ended
}

// However and whenever a seal is killed, the same command seals again, and the seals then tell what was rewritten. Nothing has to be
// mended by hand.
func TestHeavySealIsKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("heavy: make test-all runs it")
	}
	const seeds = 12
	s := newSealingSite(t, 3000)
	began := time.Now()
	s.must(t, "seal", "--key", s.key, "--to", t.TempDir())
	whole := time.Since(began)
	last := t.TempDir() // has a seal already when the next one is killed
	folders := []string{last}
	left := map[string]int{}
	for seed := range uint64(seeds) {
		t.Logf("seed %d", seed)
		draw := rand.New(rand.NewPCG(seed, 0))
		first := t.TempDir()
		folders = append(folders, first)
		s.invoice(t, 1+draw.IntN(5))
		for _, folder := range []string{first, last} {
			for range 1 + draw.IntN(2) {
				changes, while := 1+draw.IntN(9), time.Minute
				if draw.IntN(3) == 0 {
					changes, while = 100, time.Duration(draw.Int64N(int64(whole)))
				}
				killWhileSealing(t, s.seal(t, folder), folder, changes, while)
				left[strings.Join(kinds(names(t, folder)), " ")]++
			}
			if p := s.seal(t, folder); p.exit(t) != exitOK {
				t.Fatalf("seed %d: it isn't sealed again", seed)
			}
			s.audit(t, folder)
		}
	}
	t.Logf("the killed ones have left: %v", left)
	if len(left) < 4 {
		t.Errorf("they were all killed at the same points: %v", left)
	}
	s.rewrite(t, folders...)
}

// kinds returns what kinds of files these are, once each.
func kinds(names []string) (all []string) {
	for _, name := range names {
		if strings.HasPrefix(name, ".new-") {
			name = "temporary"
		}
		all = append(all, strings.TrimLeft(filepath.Ext("."+name), "."))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Of several that seal at the same time, at least one does, and the others say that nothing is to be sealed or that they were too late.
func TestSealsAtOnce(t *testing.T) {
	t.Parallel()
	s := newSealingSite(t, 300)
	folder := t.TempDir()
	for round := 1; round <= 4; round++ {
		if round > 1 {
			s.invoice(t, 3)
		}
		all := []*process{s.seal(t, folder), s.seal(t, folder), s.seal(t, folder)}
		sealed := 0
		for _, p := range all {
			switch code := p.exit(t); {
			case code == exitOK && strings.HasPrefix(p.stdout.String(), fmt.Sprintf("seal %d: ", round)):
				sealed++
			case code == exitOK && strings.HasPrefix(p.stdout.String(), "no invoices since seal "):
			case code == exitFailed && p.said("another seal was made in the folder meanwhile: seal again"):
			default:
				t.Errorf("exit code %d, %s%s", code, p.stdout.String(), p.stderr())
			}
		}
		if sealed != 1 {
			t.Errorf("round %d: %d have sealed", round, sealed)
		}
		s.audit(t, folder)
	}
	s.rewrite(t, folder)
}
