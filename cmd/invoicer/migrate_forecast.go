package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/term"
	"invoicer/migrations"
)

// printForecast prints what is pending, and what it is going to lock.
func printForecast(cmd *cobra.Command, m *migrations.Migrator, cfg *config.Config) error {
	list, err := m.Forecast(cmd.Context())
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		if list == nil {
			list = []migrations.Forecast{}
		}
		return printJSON(cmd, list)
	}
	lines := forecastLines(list)
	if len(list) == 0 {
		lines = append(lines, fmt.Sprintf("schema %s has no table that a migration would lock\n", cfg.Database.Schema))
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), strings.Join(lines, ""))
	return err
}

// forecastLines says what each migration is going to do, a line each for what somebody waits for or what takes long.
func forecastLines(list []migrations.Forecast) []string {
	var lines []string
	for i := range list {
		f := &list[i]
		said := false
		say := func(format string, args ...any) {
			lines = append(lines, "will apply "+f.Name+": "+fmt.Sprintf(format, args...)+"\n")
			said = true
		}
		for j := range f.Indexes {
			index := &f.Indexes[j]
			say("builds %s on %s while others write, about %s", index.Name, index.Table, index.Takes())
		}
		for j := range f.Locks {
			l := &f.Locks[j]
			var takes string
			switch {
			case l.Rewrites:
				takes = "writes its " + term.Thousands(int(l.Rows)) + " rows anew, about " + l.Takes().String()
			case l.Reads && l.Takes() > 0:
				takes = "reads its " + term.Thousands(int(l.Rows)) + " rows, about " + l.Takes().String()
			case l.Waiters() == migrations.Nobody:
				continue // which is no news
			default:
				takes = "for a moment"
			}
			say("locks %s (%s): %s, %s", l.Table, strings.ToLower(l.Mode), l.Waiters(), takes)
		}
		if !said {
			say("locks nothing that anybody waits for")
		}
	}
	return lines
}
