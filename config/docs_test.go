package config_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"invoicer/config"
)

var update = flag.Bool("update", false, "write the table of keys into docs/configuration.md")

// The table in docs/configuration.md is made from Keys. After a change: go test ./config -run Documentation -update
func TestDocumentation(t *testing.T) {
	t.Parallel()
	const (
		path  = "../docs/configuration.md"
		begin = "<!-- keys: made by go test ./config -run Documentation -update -->\n"
		end   = "<!-- end of keys -->\n"
	)
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := bytes.Cut(page, []byte(begin))
	table, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		t.Fatalf("%s lacks the lines around its table", path)
	}
	want := keyTable()
	if *update {
		page = bytes.Join([][]byte{before, []byte(begin), []byte(want), []byte(end), after}, nil)
		if err := os.WriteFile(path, page, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(table) != want {
		t.Errorf("%s is out of date; run: go test ./config -run Documentation -update", path)
	}
}

func keyTable() string {
	var b strings.Builder
	b.WriteString("| key | default | meaning and allowed values | variable | flag |\n|---|---|---|---|---|\n")
	for _, k := range config.Keys() {
		fallback := "empty"
		if k.Default != "" {
			fallback = "`" + k.Default + "`"
		}
		meaning := k.Doc
		if _, allowed := k.Form(); allowed != "" {
			meaning += "; allowed: " + allowed
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` | `--%s` |\n", k.Name, fallback, meaning, k.Env(), k.Flag())
	}
	return b.String()
}
