package postgres_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"invoicer/invoice/handover"
	"invoicer/invoice/postgres"
)

// Among many hand-overs, lists are read by an index, also where the server plans for any argument; and no hand-over is left out where few match.
func TestListsOfHandoversUseTheIndex(t *testing.T) {
	t.Parallel()
	rows := 1_000_000
	if testing.Short() {
		rows = 50_000
	}
	b := channelled(t)
	b.invoiced(t, "T1")
	tx := b.begin(t)
	in(t, tx, "SET LOCAL session_replication_role = replica") // no trigger refuses what is planted
	in(t, tx, fmt.Sprintf(`INSERT INTO handovers (invoice_id, channel, address, state, their_id, answered_at, changed_at)
		SELECT 1, CASE WHEN n < 4 THEN 'old' ELSE 'authority' END, n::text, CASE WHEN n %% 5000 = 0 THEN 'rejected' ELSE 'accepted' END, 'their ' || n, now(), now() - interval '1 hour' FROM generate_series(1, %d) n`, rows))
	in(t, tx, "ANALYZE handovers")
	in(t, tx, "ANALYZE invoices")
	in(t, tx, "SET LOCAL plan_cache_mode = force_generic_plan")
	cases := map[string]struct {
		filter handover.Filter
		index  string
		before int64
	}{
		"all":                 {handover.Filter{Limit: 20}, "Index Scan Backward using handovers_pkey", 0},
		"the next page":       {handover.Filter{Limit: 20}, "Index Scan Backward using handovers_pkey", 40_000},
		"another side's id":   {handover.Filter{TheirID: "their 7"}, "using handovers_their_id_idx", 0},
		"of a state":          {handover.Filter{State: handover.Rejected, Limit: 20}, "Index Scan Backward using handovers_state_idx", 0},
		"of a frequent state": {handover.Filter{State: handover.Accepted, Channel: authority, Limit: 20}, "Index Scan Backward using handovers_", 0},
		"of a channel":        {handover.Filter{Channel: "old", Limit: 20}, "Index Scan Backward using handovers_pkey", 0},
		"since":               {handover.Filter{Since: time.Now(), Limit: 20}, "Index Scan Backward using handovers_pkey", 0},
	}
	for name, c := range cases {
		statement, args := postgres.ListHandovers(c.filter, c.before)
		in(t, tx, "PREPARE listed AS "+strings.ReplaceAll(statement, "invoicer.", ""))
		execute := "EXECUTE listed"
		if len(args) > 0 {
			var texts []string
			for _, arg := range args {
				if at, ok := arg.(time.Time); ok {
					arg = at.Format(time.RFC3339)
				}
				texts = append(texts, fmt.Sprintf("'%v'", arg))
			}
			execute += " (" + strings.Join(texts, ", ") + ")"
		}
		text := explained(t, tx, execute)
		in(t, tx, "DEALLOCATE listed")
		if !strings.Contains(text, c.index) || strings.Contains(text, "Seq Scan on handovers") || strings.Contains(text, "Sort") && c.filter.Limit > 0 {
			t.Errorf("%s:\n%s", name, text)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		filter handover.Filter
		want   int
	}{
		"few at the other end": {handover.Filter{Channel: "old", Limit: 20}, 3},
		"a part of them":       {handover.Filter{Channel: "old", Limit: 2}, 2},
		"more than one walk":   {handover.Filter{Channel: authority, State: handover.Accepted, Limit: 30_000}, 30_000},
		"since":                {handover.Filter{Since: time.Now().Add(-time.Minute), Limit: 20}, 1},
		"none":                 {handover.Filter{Channel: "none", Limit: 20}, 0},
		"no state":             {handover.Filter{State: "x' OR 'x' = 'x", Limit: 20}, 0},
		"of an issuer":         {handover.Filter{Issuers: []string{"ACME"}, Limit: 20}, 0},
		"of no name":           {handover.Filter{Issuers: []string{""}, State: handover.Rejected, Limit: 1000}, rows / 5000},
	} {
		begun := time.Now()
		list, err := b.store.Handovers.List(t.Context(), c.filter)
		if err != nil || len(list) != c.want {
			t.Errorf("%s: %d rows, %v", name, len(list), err)
		}
		for n := 1; n < len(list); n++ {
			if list[n].ID >= list[n-1].ID {
				t.Fatalf("%s: %d comes after %d", name, list[n].ID, list[n-1].ID)
			}
		}
		t.Logf("%s took %v", name, time.Since(begun))
	}
}

// explained returns the plan of a statement.
func explained(t *testing.T, tx *sql.Tx, statement string) string {
	t.Helper()
	lines, err := tx.QueryContext(t.Context(), "EXPLAIN "+statement)
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	var plan []string
	for lines.Next() {
		var line string
		if err := lines.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, line)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(plan, "\n")
}
