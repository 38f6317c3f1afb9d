package client_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"go.uber.org/goleak"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
	"invoicer/worker/client"
)

func TestMain(m *testing.M) {
	// GORM never ends what sweeps its cache of prepared statements, which a caller may have on.
	sandboxtest.Main(m, goleak.IgnoreAnyFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"))
}

func job() *invoice.Job {
	return &invoice.Job{
		TransactionID: "T1", Currency: "GBP", IssuedAt: time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC),
		Lines: []invoice.Line{{Quantity: invoice.MustDecimal("6"), UnitPrice: invoice.MustDecimal("2.55")}},
	}
}

func TestEnqueue(t *testing.T) {
	t.Parallel()
	rdb, queue := rig.Connect(t, sandboxtest.Redis(t)), uuid.NewString()
	c, err := client.New(rdb, client.Options{Producer: "checkout", Retention: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	asked := job()
	receipt, err := c.Enqueue(t.Context(), asked, queue)
	if err != nil {
		t.Fatal(err)
	}
	info, err := asynq.NewInspectorFromRedisClient(rdb).GetTaskInfo(queue, receipt.JobID)
	if err != nil {
		t.Fatal(err)
	}
	if info.Type != client.TaskType || info.Queue != queue || info.Retention != time.Hour {
		t.Errorf("enqueued as %s in %s for %s", info.Type, info.Queue, info.Retention)
	}
	if info.MaxRetry < 1_000_000 {
		t.Errorf("the queue itself gives up after %d failures: contention and outages would use them up", info.MaxRetry)
	}
	decoded, err := invoice.Decode(info.Payload)
	if err != nil || decoded.Producer != "checkout" || decoded.TransactionID != "T1" {
		t.Errorf("payload %s, error %v", info.Payload, err)
	}
	if asked.Producer != "" {
		t.Error("the caller's job was changed")
	}
}

func TestEnqueueRefusesWhatCanNeverBeAnInvoice(t *testing.T) {
	t.Parallel()
	c, err := client.New(rig.Connect(t, sandboxtest.Redis(t)), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bad := job()
	bad.Currency, bad.TransactionID = "XYZ", ""
	var invalid *invoice.InvalidError
	if _, err := c.Enqueue(t.Context(), bad); !errors.As(err, &invalid) || len(invalid.Problems) != 2 {
		t.Errorf("error %v, want both fields named", err)
	}
}

// A billing service is a module of its own, and takes on neither the database nor the configuration library nor the server of the API.
func TestServiceOfItsOwnModule(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir, queue := t.TempDir(), uuid.NewString()
	if err := os.CopyFS(dir, os.DirFS("testdata/service")); err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"go.mod": "module billing\n\ngo 1.26.0\n\nrequire invoicer v0.0.0\n\nreplace invoicer => " + root + "\n",
		"go.sum": string(sums),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "INVOICER_REDIS_URL="+sandboxtest.Redis(t))
		out, err := cmd.Output()
		if err != nil {
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				t.Fatalf("%s %v: %v\n%s", name, args, err, exit.Stderr)
			}
			t.Fatalf("%s %v: %v", name, args, err)
		}
		return strings.TrimSpace(string(out))
	}
	run("go", "build", "-o", "billing", ".")
	for _, heavy := range []string{"gorm.io/", "spf13/viper", "jackc/pgx", "danielgtaylor/huma"} {
		if deps := run("go", "list", "-deps", "."); strings.Contains(deps, heavy) {
			t.Errorf("the service links %s", heavy)
		}
	}
	id := run(filepath.Join(dir, "billing"), queue)
	info, err := asynq.NewInspectorFromRedisClient(rig.Connect(t, sandboxtest.Redis(t))).GetTaskInfo(queue, id)
	if err != nil || info.State != asynq.TaskStatePending {
		t.Errorf("task %+v, error %v", info, err)
	}

	// What it says in a transaction of its own is said here by hand, since its driver is its own choice.
	b := setup(t)
	var statement []any
	if err := json.Unmarshal([]byte(run(filepath.Join(dir, "billing"), "bulk", "accept")), &statement); err != nil {
		t.Fatal(err)
	}
	query := strings.ReplaceAll(statement[0].(string), `"invoicer"`, `"`+b.Schema+`"`)
	b.Exec(t, query, statement[1:]...)
	if got := b.Text(t, "SELECT concat_ws(' ', transaction_id, producer, queue, state) FROM invoice_jobs"); got != "536365 checkout bulk accepted" {
		t.Errorf("accepted as %s", got)
	}
}
