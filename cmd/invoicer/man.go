//go:build man

package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra/doc"
)

// With the tag man, the program writes its manual pages into a folder instead of doing anything else. Only a release builds it so: what
// turns help into pages would be of no use in the program.
func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: invoicer-man FOLDER")
		os.Exit(exitUsage)
	}
	if err := writeManual(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "invoicer-man:", err)
		os.Exit(exitFailed)
	}
}

func writeManual(folder string) error {
	root := app{}.rootCommand()
	root.DisableAutoGenTag = true // its date would be that of the build
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH must be the time of the commit, in seconds: %w", err)
	}
	date := time.Unix(seconds, 0).UTC()
	return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "invoicer " + buildVersion().Version, Manual: "invoicer", Date: &date}, folder)
}
