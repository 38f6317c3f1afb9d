package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"invoicer/internal/chaos"
	"invoicer/internal/doctor"
	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/witness"
	"invoicer/invoice"
)

// witnessed returns the transactions in a folder in the order in which they were written.
func (s *site) witnessed(t *testing.T, folder string) string {
	t.Helper()
	var ids []string
	err := witness.Each(t.Context(), folder, s.Text(t, "SELECT id::text FROM database_identity"), slog.New(slog.DiscardHandler), func(m invoice.Made, _ func() string) {
		if !slices.Contains(ids, m.TransactionID) { // a document may have several lines
			ids = append(ids, m.TransactionID)
		}
	})
	if err != nil {
		return err.Error()
	}
	return strings.Join(ids, " ")
}

func (s *site) awaitWitness(t *testing.T, folder, want string) {
	t.Helper()
	rig.Eventually(t, "a witness that has "+want, func() bool { return s.witnessed(t, folder) == want })
}

// What a database and Redis have lost together comes back from the witness: the same transactions get the same numbers and dates.
func TestTheWitnessBringsBackWhatIsLost(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	rig.DatabaseOn(t, p.primary.URL)
	folder := t.TempDir()
	s := newSiteOn(t, p.url(t), "invoicer", sandboxtest.PrivateRedis(t).URL).with("INVOICER_WITNESS_FOLDER=" + folder)
	s.must(t, "series", "open", "INV", "--date", "issue")
	worker := s.start(t, "worker")
	s.enqueue(t, "T1")
	s.awaitCount(t, 1, "SELECT count(*) FROM invoices")
	s.enqueue(t, "T2")
	s.awaitCount(t, 2, "SELECT count(*) FROM invoices")
	after := s.failOver(t, p, "L3", "L4", "L5")
	after.awaitWitness(t, folder, "T1 T2 L3 L4 L5")
	must(t, worker.Process.Kill())
	worker.exit(t)
	must(t, s.rdb.FlushAll(t.Context()).Err())
	s = after
	if got := s.numbers(t); got != "1:T1 2:T2" {
		t.Fatalf("the new primary has %s", got)
	}

	worker = s.start(t, "worker")
	s.enqueueSoon(t, "L5")
	worker.await(t, "series paused: it may have lost numbers")
	var recovered struct{ Numbers []recoveredNumber }
	must(t, json.Unmarshal([]byte(s.must(t, "series", "recover", "INV", "--yes", "--json", "--note", "the failover")), &recovered))
	var got []string
	for _, n := range recovered.Numbers {
		if n.DocumentDate == "" {
			t.Errorf("no date: %+v", n)
		}
		got = append(got, n.InvoiceNumber+":"+n.TransactionID+":"+n.Source)
	}
	if want := "INV-000003:L3:witness INV-000004:L4:witness INV-000005:L5:witness"; strings.Join(got, " ") != want {
		t.Errorf("recovered %q", got)
	}
	s.awaitCount(t, 3, "SELECT count(*) FROM invoices")
	s.enqueue(t, "L4", "L3")
	s.awaitCount(t, 5, "SELECT count(*) FROM invoices")
	s.enqueue(t, "N6")
	s.awaitCount(t, 6, "SELECT count(*) FROM invoices")
	if got := s.numbers(t); got != "1:T1 2:T2 3:L3 4:L4 5:L5 6:N6" {
		t.Errorf("the numbers are %s", got)
	}
	s.must(t, "audit")
	if worker.said("given out twice") {
		t.Error("a number was given out twice")
	}
}

// A worker adds what was there before, and what a crash between a commit and the witness has left out.
func TestTheWitnessCatchesUp(t *testing.T) {
	t.Parallel()
	s, folder := sharedSite(t), t.TempDir()
	before := s.start(t, "worker")
	s.enqueue(t, "T1")
	s.awaitCount(t, 1, "SELECT count(*) FROM invoices")
	must(t, before.Process.Kill())
	before.exit(t)
	s = s.with("INVOICER_WITNESS_FOLDER=" + folder)
	order := chaos.Order{Point: fault.Remembering, Action: chaos.Kill, Nth: 1}
	faulty := s.with(chaos.Variable+"="+order.String()).startProgram(t, faultyProgram, "worker")
	s.awaitWitness(t, folder, "T1")
	s.enqueue(t, "T2")
	if code := faulty.exit(t); code != -1 {
		t.Fatalf("it was to die, and exits with %d", code)
	}
	if made, told := s.numbers(t), s.witnessed(t, folder); made != "1:T1 2:T2" || told != "T1" {
		t.Fatalf("after the crash: %s, the witness has %s", made, told)
	}
	s.start(t, "worker")
	s.awaitWitness(t, folder, "T1 T2")
}

// Without the folder no worker starts. One that runs goes on, and writes later.
func TestWorkersWithoutTheirWitness(t *testing.T) {
	t.Parallel()
	s, parent := sharedSite(t), t.TempDir()
	folder := filepath.Join(parent, "witness")
	s = s.with("INVOICER_WITNESS_FOLDER=" + folder)
	if code, _, stderr := s.run(t, "", "worker"); code != exitFailed || !strings.Contains(stderr, "witness.folder: stat "+folder) || !strings.Contains(stderr, "make it, or mount it") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	s.diagnose(t).has(t, doctor.Broken, "witness", "witness.folder", folder, "mount the folder")
	must(t, os.Mkdir(folder, 0o700))
	if found := s.diagnose(t).of(doctor.Broken, "witness"); len(found) != 0 {
		t.Errorf("a folder without a fault: %+v", found)
	}
	if code, _, stderr := s.run(t, "", "series", "recover", "INV"); code == exitOK {
		t.Errorf("a recovery of no series: %s", stderr)
	}
	s.must(t, "series", "open", "INV")
	if code, _, stderr := s.run(t, "", "series", "recover", "INV", "--yes"); code != exitFailed || !strings.Contains(stderr, "has nothing of this database") {
		t.Errorf("a recovery from a folder that may not be mounted: exit code %d, %s", code, stderr)
	}
	order := chaos.Order{Point: fault.Remembering, Action: chaos.Stop, Nth: 1}
	worker := s.with(chaos.Variable+"="+order.String()).startProgram(t, faultyProgram, "worker")
	s.enqueue(t, "T1")
	worker.await(t, order.Done())
	must(t, os.Rename(folder, folder+".away")) // before the worker has a file there, and after it has read the folder
	rig.Eventually(t, "a warning", func() bool {
		worker.signal(t, syscall.SIGCONT) // it may not have stopped yet
		return worker.said("documents can't be written to the witness")
	})
	s.awaitAcknowledged(t)
	must(t, os.Rename(folder+".away", folder))
	s.awaitWitness(t, folder, "T1")
	s.enqueue(t, "T2")
	s.awaitWitness(t, folder, "T1 T2")
}
