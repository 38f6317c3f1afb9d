package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

const root = "../.."

// After a package or an import comes or goes: make architecture.
func TestPageIsUpToDate(t *testing.T) {
	t.Parallel()
	packages, err := list(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(root + "/" + page)
	if err != nil {
		t.Fatal(err)
	}
	_, got, _, err := split(content)
	if err != nil {
		t.Fatalf("%s: %v", page, err)
	}
	if got != section(packages) {
		t.Errorf("%s is out of date; run: make architecture", page)
	}
}

// made returns a package of a module m.
func made(name, doc string, imports ...string) Package {
	p := Package{ImportPath: "m/" + name, Doc: doc, Imports: imports}
	p.Module.Path = "m"
	return p
}

func TestSection(t *testing.T) {
	t.Parallel()
	got := section([]Package{
		made(command, "Command invoicer does all.", "fmt", "m/store", "m/domain", "github.com/spf13/cobra"),
		made("domain", "Package domain has a [Type]: it is small.", "strings"),
		made("internal/tool", "Command tool helps:", "m/domain"),
		made("store", "Package store keeps a | b.", "m/domain", "github.com/jackc/pgx/v5", "github.com/jackc/pgx/v5/pgconn", "gorm.io/gorm"),
	})
	for _, want := range []string{
		"    cmd_invoicer --> store\n",
		"    store --> domain\n",
		"| `cmd/invoicer` | does all | all that it needs, to connect them | `cobra` |\n",
		"| `domain` | has a Type: it is small |  |  |\n",
		"| `store` | keeps a \\| b | `domain` | `gorm`, `pgx` |\n",
		"| `internal/tool` | helps |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the section lacks %q:\n%s", want, got)
		}
	}
	for _, unwanted := range []string{"cmd_invoicer --> domain", "internal_tool"} {
		if strings.Contains(got, unwanted) {
			t.Errorf("the picture has %q:\n%s", unwanted, got)
		}
	}
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-no-such-flag"}, {"argument"}} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, &stdout, &stderr); code != 2 || stderr.Len() == 0 {
			t.Errorf("%q: exit code %d, %q; want 2 and a message", args, code, &stderr)
		}
	}
}
